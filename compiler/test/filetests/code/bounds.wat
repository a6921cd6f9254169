; Bounds checks (wasm/bounds.ts, opt/bounds-checks.ts).

=== dense-check-covers-a-nearer-one memory=dense
(module (memory 1)
  (func (export "f") (param i32) (result i64) (i64.add (i64.load offset=8 (local.get 0)) (i64.load (local.get 0)))))
---
cmp rcx,rax
jb
ret
call qword ptr [r15-0x50]
; bounds-check=1

=== dense-check-does-not-cover-a-farther-one memory=dense
(module (memory 1)
  (func (export "f") (param i32) (result i64) (i64.add (i64.load (local.get 0)) (i64.load offset=8 (local.get 0)))))
---
cmp rdx,rax
jb
cmp rcx,rax
jb
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
;

=== dense-least-length-too-small-for-a-difference memory=dense
(module (memory 0)
  (func (export "f") (param i32) (result i64) (i64.add (i64.load offset=8 (local.get 0)) (i64.load (local.get 0)))))
---
cmp [r15-8],rcx
jb
ret
call qword ptr [r15-0x50]
; bounds-check=1

=== guarded-accesses-have-no-checks
(module (memory 1)
  (func (export "f") (param i32) (result i64) (i64.add (i64.load offset=8 (local.get 0)) (i64.load (local.get 0)))))
---
ret
;

=== dense-loop-compares-with-one-limit memory=dense
(module (memory 1)
  (func (export "f") (param i32 i32) (result f64) (local f64)
    (loop
      (local.set 2 (f64.add (local.get 2) (f64.mul (f64.load (local.get 0)) (f64.load (local.get 1)))))
      (local.set 1 (i32.add (local.get 1) (i32.const 8)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 8)))))
    (local.get 2)))
---
cmp rsi,rax
jb
cmp rsi,rcx
jb
jne
ret
call qword ptr [r15-0x50]
call qword ptr [r15-0x50]
; flags=1
