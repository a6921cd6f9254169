// Arrays, of numbers and of strings, in arrays, of fixed length, and typed ones.
import { at, list, show } from "./show";

function total(values: f64[], weights: StaticArray<i16>): f64 {
  let sum = 0.0;
  for (let i = 0; i < values.length; i++) sum += values[i] * weights[i];
  at("total"); // #BP total
  list("values", values.join(", "));
  list("weights", weights.join(", "));
  show("sum", sum);
  show("i", values.length);
  return sum;
}

export function _start(): void {
  const numbers: i32[] = [3, -1, 1 << 30];
  numbers.push(7);
  const words = ["one", "t\"wo", ""];
  const bytes = new Uint8Array(3);
  bytes[1] = 200;
  const wide: u64[] = [u64.MAX_VALUE, 0];
  const rows = [[1, 2], [3]];
  const empty: f32[] = [];
  const sum = total([0.5, -2.25], [2, -4]);
  at("main"); // #BP main
  list("numbers", numbers.join(", "));
  list("words", "\"one\", \"t\\\"wo\", \"\"");
  list("bytes", bytes.join(", "));
  list("wide", wide.join(", "));
  list("rows", "[" + rows[0].join(", ") + "], [" + rows[1].join(", ") + "]");
  list("empty", "");
  show("sum", sum);
}
