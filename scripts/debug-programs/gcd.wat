;; Loops and calls over 32- and 64-bit numbers. The functions of show.wat are put into the line of `(module`.
(module
  (data (i32.const 1024) "#step\n\00")
  (data (i32.const 1040) "$a=\00")
  (data (i32.const 1056) "$b=\00")
  (data (i32.const 1072) "$rest=\00")
  (data (i32.const 1088) "#main\n\00")
  (data (i32.const 1104) "$first=\00")
  (data (i32.const 1120) "$second=\00")

  (func $gcd (param $a i64) (param $b i64) (result i64)
    (local $rest i64)
    (loop $again
      (local.set $rest (i64.rem_u (local.get $a) (local.get $b)))
      (call $at (i32.const 1024)) ;; #BP step
      (call $show (i32.const 1040) (local.get $a))
      (call $show (i32.const 1056) (local.get $b))
      (call $show (i32.const 1072) (local.get $rest))
      (local.set $a (local.get $b))
      (local.set $b (local.get $rest))
      (br_if $again (i64.ne (local.get $b) (i64.const 0))))
    (local.get $a))

  (func (export "_start") (local $first i32) (local $second i64)
    (local.set $first (i32.wrap_i64 (call $gcd (i64.const 1071) (i64.const 462))))
    (local.set $second (i64.sub (i64.const 0) (call $gcd (i64.const 6_000_000_000) (i64.const 9_000_000_000))))
    (call $at (i32.const 1088)) ;; #BP main
    (call $show (i32.const 1104) (i64.extend_i32_s (local.get $first)))
    (call $show (i32.const 1120) (local.get $second)))
)
