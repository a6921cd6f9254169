/** What the debug adapter uses of the runtime beside its public door. */
import { frameBases } from '../compiler/debuginfo/shadow-stack.ts';
import type { ModuleSymbols } from './symbols.ts';
import type { GuestState } from './trap-facts.ts';

export { demangle } from './demangle.ts';
export { compileSource } from './lucet-wasi-compile.ts';
export { operatorAt } from './operators.ts';
export { customSections } from './symbols.ts';
export { shownName } from './trap-explain.ts';
export { bitsText, functionNameAt } from './trap-report.ts';

/** See shadow-stack.ts: for each frame, locals that are known to hold an address of its frame in memory. */
export function frameBasesOf(
  frames: readonly { readonly kind: string; readonly functionIndex: number; readonly wasmOffset: number }[],
  symbols: ModuleSymbols,
  state: GuestState,
): (ReadonlyMap<number, number> | null)[] {
  if (symbols.wasm === null) return [];
  const end = frames.findIndex(f => f.kind !== 'wasm');
  const own = end < 0 ? frames : frames.slice(0, end);
  return frameBases(own, { bytes: symbols.wasm, body: f => symbols.body(f) }, global => {
    const v = state.global(global);
    return v === null ? null : Number(BigInt.asUintN(32, v));
  });
}
export { type Coredump, CoredumpError, readCoredump } from './coredump-reader.ts';
