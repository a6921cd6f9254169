; memory.copy and memory.fill of few bytes (wasm/small-copies.ts).

=== a-small-copy-is-loads-and-stores
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const 40))))
---
ret
; copy-inline=1

=== a-small-fill-is-stores
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.fill (local.get 0) (local.get 1) (i32.const 21))))
---
ret
; fill-inline=1

=== a-small-copy-is-checked-as-a-whole-in-dense-code memory=dense
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const 40))))
---
cmp rdx,rcx
jb
cmp rdx,rax
jb
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; copy-inline=1

=== a-large-copy-is-a-call
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const 193))))
---
call qword ptr [r15-0x18]
ret
;

=== a-copy-of-a-number-that-varies-is-a-call
(module (memory 1)
  (func (export "f") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2))))
---
call qword ptr [r15-0x18]
ret
;

=== a-copy-of-nothing-is-a-call-that-checks
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const 0))))
---
call qword ptr [r15-0x18]
ret
;

=== without-optimisation-a-small-fill-is-a-call level=0
(module (memory 1)
  (func (export "f") (param i32 i32) (memory.fill (local.get 0) (local.get 1) (i32.const 21))))
---
call qword ptr [r15-0x18]
ret
;
