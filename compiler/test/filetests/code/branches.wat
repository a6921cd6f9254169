; Comparisons whose flags are there already (backend/x64/emit-flags.ts), and moves in front of a branch (backend/regalloc-branches.ts).

=== a-subtraction-has-compared-its-result-with-zero level=1
(module (memory 1)
  (func $f (export "f") (param $p i32) (param $n i32)
    (loop $next
      (i32.store8 (local.get $p) (i32.const 0))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
---
jne
ret
; flags=1

=== the-sign-of-a-sum-is-that-of-its-comparison-with-zero
(module
  (func $f (export "f") (param $a i32) (param $b i32) (result i32)
    (if (i32.lt_s (local.tee $a (i32.add (local.get $a) (local.get $b))) (i32.const 0))
      (then (return (i32.mul (local.get $a) (local.get $a)))))
    (i32.div_u (local.get $a) (local.get $b))))
---
jns
ret
ret
; flags=1

=== a-sum-above-zero-may-be-one-that-overflowed
(module
  (func $f (export "f") (param $a i32) (param $b i32) (result i32)
    (if (i32.gt_s (local.tee $a (i32.add (local.get $a) (local.get $b))) (i32.const 0))
      (then (return (i32.mul (local.get $a) (local.get $a)))))
    (i32.div_u (local.get $a) (local.get $b))))
---
test eax,eax
jle
ret
ret
;

=== a-conjunction-does-not-overflow
(module
  (func $f (export "f") (param $a i32) (param $b i32) (result i32)
    (if (i32.gt_s (local.tee $a (i32.and (local.get $a) (local.get $b))) (i32.const 0))
      (then (return (i32.mul (local.get $a) (local.get $a)))))
    (i32.div_u (local.get $a) (local.get $b))))
---
jle
ret
ret
; flags=1

=== a-product-leaves-no-zero-flag
(module
  (func $f (export "f") (param $a i32) (param $b i32) (result i32)
    (if (local.tee $a (i32.mul (local.get $a) (local.get $b)))
      (then (return (i32.mul (local.get $a) (local.get $a)))))
    (i32.div_u (local.get $a) (local.get $b))))
---
test eax,eax
je
ret
ret
;

=== flags-that-were-changed-since-are-set-again
(module (memory 1)
  (func $f (export "f") (param $p i32) (param $n i32) (param $k i32) (result i32)
    (loop $next
      (local.set $n (i32.sub (local.get $n) (local.get $k)))
      (i32.store (local.get $p) (i32.add (i32.load (local.get $p)) (local.get $n)))
      (br_if $next (local.get $n)))
    (local.get $p)))
---
test esi,esi
jne
ret
;

=== the-low-half-of-a-sum-is-not-the-sum
(module
  (func $f (export "f") (param $a i64) (param $b i64) (result i64)
    (if (i32.wrap_i64 (local.tee $a (i64.add (local.get $a) (local.get $b))))
      (then (return (i64.mul (local.get $a) (local.get $a)))))
    (i64.div_u (local.get $a) (local.get $b))))
---
test eax,eax
je
ret
ret
;

=== one-comparison-for-two-selects
(module
  (func $f (export "f") (param $a i32) (param $b i32) (param $c i32) (param $d i32) (result i32 i32)
    (local $less i32)
    (local.set $less (i32.lt_u (local.get $a) (local.get $b)))
    (select (local.get $c) (local.get $d) (local.get $less))
    (select (local.get $d) (local.get $c) (local.get $less))))
---
cmp edi,esi
ret
; flags=1

=== floats-that-have-changed-are-compared-again
(module
  (func $f (export "f") (param $a f64) (param $b f64) (param $c i32) (param $d i32) (result i32 i32)
    (select (local.get $c) (local.get $d) (f64.lt (local.get $a) (local.get $b)))
    (local.set $a (f64.add (local.get $a) (local.get $b)))
    (select (local.get $d) (local.get $c) (f64.lt (local.get $a) (local.get $b)))))
---
ucomisd xmm1,xmm0
ucomisd xmm1,xmm0
ret
;

=== floats-that-have-been-chosen-are-compared-again
(module
  (func $f (export "f") (param $a f64) (param $b f64) (result f64 f64)
    (local.set $a (select (local.get $b) (local.get $a) (f64.le (local.get $a) (local.get $b))))
    (local.get $a)
    (select (local.get $b) (local.get $a) (f64.le (local.get $a) (local.get $b)))))
---
ucomisd xmm1,xmm0
jb
ucomisd xmm1,xmm0
jb
ret
;

=== moves-of-a-loops-end-stand-in-front-of-its-branch
(module (memory 1)
  (func $f (export "f") (param $p i32) (param $q i32) (param $n i32) (result i32)
    (local $t i32)
    (loop $next
      (i32.store (local.get $p) (local.get $n))
      (local.set $t (local.get $p)) (local.set $p (local.get $q)) (local.set $q (local.get $t))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 3))) (i32.const 100))))
    (local.get $n)))
---
cmp edx,0x64
jb
ret
; branch-moves=1

=== not-where-what-they-overwrite-is-wanted-behind-the-loop
(module (memory 1)
  (func $f (export "f") (param $p i32) (result i32)
    (local $next i32)
    (loop $again
      (local.set $next (i32.load (local.get $p)))
      (if (local.get $next)
        (then (local.set $p (local.get $next)) (br $again))))
    (local.get $p)))
---
test ecx,ecx
je
jmp
ret
;
