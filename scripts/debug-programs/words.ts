// Strings, constants' and made ones.
import { at, show } from "./show";

function repeat(word: string, times: i32): string {
  let result = "";
  for (let i = 0; i < times; i++) {
    result += word;
    at("longer"); // #BP longer
    show("word", word);
    show("times", times);
    show("result", result);
    show("i", i);
  }
  return result;
}

export function _start(): void {
  const twice = repeat("ha", 2);
  const accents = repeat("é☃", 1);
  const empty = repeat("never", 0);
  const length = twice.length + accents.length;
  at("said"); // #BP said
  show("twice", twice);
  show("accents", accents);
  show("empty", empty);
  show("length", length);
}
