// Loops, branches, recursion.
import { at, show } from "./show";

function fibonacci(n: i32): i32 {
  if (n < 2) {
    at("leaf"); // #BP leaf
    show("n", n);
    // Locals of WebAssembly begin as 0.
    show("before", 0);
    show("last", 0);
    return n;
  }
  const before = fibonacci(n - 2);
  const last = fibonacci(n - 1);
  at("sum"); // #BP sum
  show("n", n);
  show("before", before);
  show("last", last);
  return before + last;
}

function collatz(start: u64): i32 {
  let steps = 0;
  let highest: u64 = start;
  while (start != 1) {
    const odd = <i32>(start & 1);
    switch (odd) {
      case 1:
        start = 3 * start + 1;
        break;
      default:
        start >>= 1;
    }
    if (start > highest) highest = start;
    steps++;
    if (steps % 4 != 0) continue;
    at("fourth"); // #BP fourth
    show("start", start);
    show("steps", steps);
    show("highest", highest);
    show("odd", odd);
  }
  return steps;
}

export function _start(): void {
  const f = fibonacci(5);
  const c = collatz(27);
  let row = 0, column = 0, found = -1;
  for (; row < 5 && found < 0; row++) {
    for (column = 0; column < 5; column++) {
      if (row * column == 6) {
        found = row * 10 + column;
        break;
      }
    }
  }
  at("end"); // #BP end
  show("f", f);
  show("c", c);
  show("row", row);
  show("column", column);
  show("found", found);
}
