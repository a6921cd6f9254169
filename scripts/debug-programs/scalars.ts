// Every scalar type at its limits, and conversions between them.
import { at, show } from "./show";

let calls: i32 = 0;

function limits(small: i8, byte: u8, short: i16, port: u16, whole: i32, long: i64, single: f32, double: f64, flag: bool): f64 {
  calls++;
  let all: f64 = <f64>small + <f64>short + double;
  at("limits"); // #BP limits
  show("small", small);
  show("byte", byte);
  show("short", short);
  show("port", port);
  show("whole", whole);
  show("long", long);
  show("single", single);
  show("double", double);
  show("flag", <i32>flag);
  show("all", all);
  if (flag) {
    all = -all;
    whole = ~whole;
    long = long + 1;
    single *= 2;
    at("flagged"); // #BP flagged
    show("small", small);
    show("byte", byte);
    show("short", short);
    show("port", port);
    show("whole", whole);
    show("long", long);
    show("single", single);
    show("double", double);
    show("flag", <i32>flag);
    show("all", all);
  }
  return all;
}

export function _start(): void {
  const first = limits(-128, 255, -32768, 65535, i32.MIN_VALUE, i64.MIN_VALUE, 0.5, f64.MAX_VALUE, false);
  const second = limits(127, 1, 32767, 80, i32.MAX_VALUE, i64.MAX_VALUE, -1.25, 1e-300, true);
  const infinite = first / <f64>(calls - 2);
  at("done"); // #BP done
  show("first", first);
  show("second", second);
  show("infinite", infinite);
}
