/** What the debug adapter uses of the runtime beside its public interface. */
import { frameBases } from '../compiler/debuginfo/shadow-stack.ts';
import { AT, native, Status, shared } from './ffi.ts';
import type { TrappedInstance } from './raw-trap.ts';
import type { ModuleSymbols } from './symbols.ts';
import type { GuestState } from './trap-facts.ts';

export { bitsText } from '../compiler/wasm/types.ts';
export { demangle } from './demangle.ts';
export { instanceState } from './raw-trap.ts';
export { callName, valuesIn } from './trap-report.ts';

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

/** False: not all of it is inside. */
export function writeInstanceMemory(
  instance: TrappedInstance,
  memory: number,
  address: number,
  bytes: Uint8Array,
): boolean {
  const handle = instance.handle();
  if (handle === 0) return false;
  const base = native().lucet_instance_memory(handle, memory, shared().out);
  const size = shared().block.word(AT.OUT);
  if (base === 0 || !(address >= 0 && address + bytes.length <= size)) return false;
  if (bytes.length > 0) native().copyIn(base + address, bytes, bytes.length);
  return true;
}

/** False: there is no such global, or it is immutable. */
export function setInstanceGlobal(instance: TrappedInstance, index: number, bits: bigint): boolean {
  const handle = instance.handle();
  if (handle === 0) return false;
  const { block, out } = shared();
  block.u64[AT.OUT >> 3] = BigInt.asUintN(64, bits);
  block.u64[(AT.OUT >> 3) + 1] = 0n;
  return native().lucet_instance_global_set(handle, index, out) === Status.Ok;
}
