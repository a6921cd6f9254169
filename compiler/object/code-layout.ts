/**
 * Where each function's code and constants lie in .text and .rodata, and what else must be known of all functions
 * before any is written.
 */
import { type CompiledFunc, pointCount } from '../backend/code.ts';
import { bug } from '../diagnostics.ts';
import { alignUp } from './bytes.ts';

export const CODE_ALIGN = 16;

/**
 * Filled by `add`, once for each function. The linker has few loops over all functions, and these only call methods:
 * the JavaScript engine compiles a method that does the work for one function after a few thousand calls, within the
 * first module, but a loop that does the work itself only when the module has been linked.
 */
export class CodeLayout {
  /** Offsets by function and thunk index. */
  readonly code: Float64Array;
  readonly rodata: Float64Array;
  /** Number of those that have code. */
  present = 0;
  /** Those that have landing pads. */
  readonly landing: CompiledFunc[] = [];
  textSize = 0;
  /** Of all constants. */
  rodataSize = 0;
  pcMapBytes = 0;
  // What goes into the tables of debug code.
  debugFunctions = 0;
  locals = 0;
  points = 0;
  operandTypes = 0;

  /** @param count of functions and thunks */
  constructor(count: number) {
    this.code = new Float64Array(count);
    this.rodata = new Float64Array(count);
  }

  /** In the order of indices. */
  add(index: number, f: CompiledFunc | null): void {
    const { textSize, rodataSize } = this;
    this.code[index] = textSize;
    this.rodata[index] = rodataSize;
    if (!f) return;
    if (f.index !== index) bug(`function ${f.index} stands at ${index}`);
    this.present++;
    this.textSize = alignUp(textSize + f.code.length, CODE_ALIGN);
    if (f.rodata.length > 0) this.rodataSize = alignUp(rodataSize + f.rodata.length, CODE_ALIGN);
    this.pcMapBytes += f.pcMap.length;
    if (f.landings.length > 0) this.landing.push(f);
    const { debug } = f;
    if (debug === null) return;
    this.debugFunctions++;
    this.locals += debug.localCount;
    this.points += pointCount(debug);
    this.operandTypes += debug.operandTypes.length;
  }
}
