import type { Module } from './module.ts';
import { imageFunctions } from './table-images.ts';

/** Position of a function in the escape order (the index of its funcref record), or -1: it does not escape. */
export function escapePosition(module: Module, func: number): number {
  const list = module.escaping;
  let low = 0;
  let high = list.length - 1;
  while (low <= high) {
    const mid = (low + high) >> 1;
    const f = list[mid]!;
    if (f === func) return mid;
    if (f < func) low = mid + 1;
    else high = mid - 1;
  }
  return -1;
}

const inImages = new WeakMap<Module, ReadonlySet<number>>();

/** Whether it can be reached by its address: it escapes, or is in a table's image. */
export function hasAddress(module: Module, func: number): boolean {
  let functions = inImages.get(module);
  if (!functions) inImages.set(module, (functions = imageFunctions(module.tableImages)));
  return functions.has(func) || escapePosition(module, func) >= 0;
}
