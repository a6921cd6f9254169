; The head of an interpreter loop, emitted again in place of each jump to it (backend/x64/emit.ts).

=== dispatch-is-copied-to-the-end-of-each-operation
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32)
    (loop $next
      (block $end (block $op3 (block $op2 (block $op1 (block $op0
        (br_table $op0 $op1 $op2 $op3 $end (i32.load8_u (local.get $pc))))
      (local.set $acc (i32.add (local.get $acc) (i32.const 5)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.mul (local.get $acc) (i32.const 7)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.xor (local.get $acc) (i32.const 99)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.rotl (local.get $acc) (i32.const 3)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
    )
    (local.get $acc)))
---
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
ret
; dispatch-copy=4

=== dispatch-is-not-copied-at-level-1 level=1
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32)
    (loop $next
      (block $end (block $op3 (block $op2 (block $op1 (block $op0
        (br_table $op0 $op1 $op2 $op3 $end (i32.load8_u (local.get $pc))))
      (local.set $acc (i32.add (local.get $acc) (i32.const 5)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.mul (local.get $acc) (i32.const 7)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.xor (local.get $acc) (i32.const 99)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.rotl (local.get $acc) (i32.const 3)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
    )
    (local.get $acc)))
---
cmp edx,4
jae
jmp rdx
jmp
jmp
jmp
jmp
ret
;

=== dispatch-that-is-long-stays-one
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32)
    (loop $next
      (i32.store offset=0 (local.get $acc) (i32.mul (local.get $acc) (i32.const 3)))
      (i32.store offset=4 (local.get $acc) (i32.mul (local.get $acc) (i32.const 80)))
      (i32.store offset=8 (local.get $acc) (i32.mul (local.get $acc) (i32.const 157)))
      (i32.store offset=12 (local.get $acc) (i32.mul (local.get $acc) (i32.const 234)))
      (i32.store offset=16 (local.get $acc) (i32.mul (local.get $acc) (i32.const 311)))
      (i32.store offset=20 (local.get $acc) (i32.mul (local.get $acc) (i32.const 388)))
      (i32.store offset=24 (local.get $acc) (i32.mul (local.get $acc) (i32.const 465)))
      (i32.store offset=28 (local.get $acc) (i32.mul (local.get $acc) (i32.const 542)))
      (i32.store offset=32 (local.get $acc) (i32.mul (local.get $acc) (i32.const 619)))
      (i32.store offset=36 (local.get $acc) (i32.mul (local.get $acc) (i32.const 696)))
      (i32.store offset=40 (local.get $acc) (i32.mul (local.get $acc) (i32.const 773)))
      (i32.store offset=44 (local.get $acc) (i32.mul (local.get $acc) (i32.const 850)))
      (i32.store offset=48 (local.get $acc) (i32.mul (local.get $acc) (i32.const 927)))
      (i32.store offset=52 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1004)))
      (i32.store offset=56 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1081)))
      (i32.store offset=60 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1158)))
      (i32.store offset=64 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1235)))
      (i32.store offset=68 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1312)))
      (i32.store offset=72 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1389)))
      (i32.store offset=76 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1466)))
      (i32.store offset=80 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1543)))
      (i32.store offset=84 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1620)))
      (i32.store offset=88 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1697)))
      (i32.store offset=92 (local.get $acc) (i32.mul (local.get $acc) (i32.const 1774)))
      (block $end (block $op3 (block $op2 (block $op1 (block $op0
        (br_table $op0 $op1 $op2 $op3 $end (i32.load8_u (local.get $pc))))
      (local.set $acc (i32.add (local.get $acc) (i32.const 5)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.mul (local.get $acc) (i32.const 7)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.xor (local.get $acc) (i32.const 99)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
      (local.set $acc (i32.rotl (local.get $acc) (i32.const 3)))(local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $next))
    )
    (local.get $acc)))
---
cmp edx,4
jae
jmp rdx
jmp
jmp
jmp
jmp
ret
;

=== dispatch-needs-a-table
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32)
    (loop $next
      (local.set $acc (i32.add (local.get $acc) (i32.load8_u (local.get $pc))))
      (local.set $pc (i32.add (local.get $pc) (i32.const 1)))
      (br_if $next (local.get $acc)))
    (local.get $acc)))
---
test ecx,ecx
jne
ret
;

=== what-is-fetched-for-a-dispatch-is-copied-with-it
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32) (local $op i32)
    (loop $next
      (block $fetch
        (block $end (block $op3 (block $op2 (block $op1 (block $op0
          (br_table $op0 $op1 $op2 $op3 $end (local.get $op)))
        (local.set $acc (i32.add (local.get $acc) (i32.const 5))) (br $fetch))
        (local.set $acc (i32.mul (local.get $acc) (i32.const 7))) (br $fetch))
        (local.set $acc (i32.xor (local.get $acc) (i32.const 99))) (br $fetch))
        (local.set $acc (i32.rotl (local.get $acc) (i32.const 3))) (br $fetch))
        (return (local.get $acc)))
      (local.set $pc (i32.add (local.get $pc) (i32.const 1)))
      (local.set $op (i32.load8_u (local.get $pc)))
      (br $next))
    (unreachable)))
---
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
cmp edx,4
jae
jmp rdx
jmp
ret
; dispatch-copy=6

=== what-few-jump-to-is-not-copied-with-a-dispatch
(module (memory 1)
  (func $f (export "f") (param $pc i32) (param $acc i32) (result i32) (local $op i32)
    (loop $next
      (block $fetch
        (block $end (block $op3 (block $op2 (block $op1 (block $op0
          (br_table $op0 $op1 $op2 $op3 $end (local.get $op)))
        (local.set $acc (i32.add (local.get $acc) (i32.const 5))) (br $fetch))
        (local.set $acc (i32.mul (local.get $acc) (i32.const 7))) (br $fetch))
        (return (i32.const 7)))
        (return (i32.const 8)))
        (return (local.get $acc)))
      (local.set $pc (i32.add (local.get $pc) (i32.const 1)))
      (local.set $op (i32.load8_u (local.get $pc)))
      (br $next))
    (unreachable)))
---
cmp edx,4
jae
jmp rdx
jmp
cmp edx,4
jae
jmp rdx
ret
ret
ret
; dispatch-copy=1
