; Calls through tables that never change (wasm/table-images.ts), and through those that may.

=== image-of-one-type-compares-no-type
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $b))
)
---
cmp edi,2
jae
call rcx
ret
call qword ptr [r15-0x50]
; call-image=1

=== image-of-two-types-compares-the-type
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $c))
)
---
cmp edi,2
jae
cmp dword ptr [rcx+rax*8],0
jne
call
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-single=1

=== image-with-a-null-compares-the-type
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table 3 funcref) (elem (i32.const 0) $a $b)
)
---
cmp edi,3
jae
cmp dword ptr [rax],0
jne
call rcx
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-image=1

=== image-at-level-0 level=0
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $b))
)
---
cmp edi,2
jae
call rcx
ret
call qword ptr [r15-0x50]
; call-image=1

=== image-of-a-constant-index-is-a-direct-call
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 1)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $b))
)
---
call
ret
; call-constant=1

=== constant-index-of-another-type-traps
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 1)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $c))
)
---
cmp dword ptr [rax+8],0
jne
call
ret
call qword ptr [r15-0x50]
; call-single=1

=== no-image-of-an-exported-table
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table (export "t") funcref (elem $a $b))
)
---
cmp edi,2
jae
cmp edx,[rcx]
jne
call rcx
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
;

=== no-image-of-a-table-that-is-written
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $b))
  (func (table.set 0 (i32.const 0) (ref.null func)))
)
---
cmp edi,2
jae
cmp edx,[rcx]
jne
call rcx
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
;

=== no-direct-call-through-an-exported-table
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 1)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table (export "t") funcref (elem $a $b))
)
---
cmp edx,[rcx]
jne
call rcx
ret
call qword ptr [r15-0x50]
;

=== one-function-of-a-type-is-called-directly-behind-the-checks
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $u) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $c $b $c))
)
---
cmp edi,4
jae
cmp dword ptr [rcx+rax*8],1
jne
call
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-single=1

=== one-function-in-all-needs-no-comparison-of-types
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $b $b))
)
---
cmp edi,2
jae
call
ret
call qword ptr [r15-0x50]
; call-single=1

=== one-function-beside-nulls-keeps-the-comparison
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table 3 funcref) (elem (i32.const 0) $b)
)
---
cmp edi,3
jae
cmp dword ptr [rcx+rax*8],0
jne
call
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-single=1

=== two-functions-of-a-type-are-not-one
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $c $b))
)
---
cmp edi,3
jae
cmp dword ptr [rax],0
jne
call rcx
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-image=1

=== no-function-of-a-type-traps
(module
  (type $t (func (param i32) (result i32)))
  (type $u (func (result i32)))
  (func $f (export "f") (param i32) (result i32) (call_indirect (type $u) (local.get 0)))
  (func $a (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $b (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func $c (type $u) (i32.const 3))
  (table funcref (elem $a $b))
)
---
cmp edi,2
jae
cmp dword ptr [rax],1
jne
call rcx
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; call-image=1
