;; Floats, recursion, and locals set in branches. The functions of show.wat are put into the line of `(module`.
(module
  (data (i32.const 1024) "#down\n\00")
  (data (i32.const 1040) "$x=\00")
  (data (i32.const 1056) "$depth=\00")
  (data (i32.const 1072) "$half=\00")
  (data (i32.const 1088) "#main\n\00")
  (data (i32.const 1104) "$total=\00")
  (data (i32.const 1120) "$small=\00")

  (func $halve (param $x f64) (param $depth i32) (result f64)
    (local $half f32)
    (if (i32.lt_s (local.get $depth) (i32.const 3))
      (then (local.set $half (f32.demote_f64 (f64.div (local.get $x) (f64.const 2)))))
      (else (local.set $half (f32.const -7))))
    (call $at (i32.const 1024)) ;; #BP down
    (call $show (i32.const 1040) (i64.trunc_f64_s (local.get $x)))
    (call $show (i32.const 1056) (i64.extend_i32_s (local.get $depth)))
    (call $show (i32.const 1072) (i64.trunc_f32_s (local.get $half)))
    (if (result f64) (i32.lt_s (local.get $depth) (i32.const 3))
      (then
        (f64.add
          (local.get $x)
          (call $halve (f64.promote_f32 (local.get $half)) (i32.add (local.get $depth) (i32.const 1)))))
      (else (local.get $x))))

  (func (export "_start") (local $total f64) (local $small f32)
    (local.set $total (call $halve (f64.const 4096) (i32.const 0)))
    (local.set $small (f32.neg (f32.const 12)))
    (call $at (i32.const 1088)) ;; #BP main
    (call $show (i32.const 1104) (i64.trunc_f64_s (local.get $total)))
    (call $show (i32.const 1120) (i64.trunc_f32_s (local.get $small))))
)
