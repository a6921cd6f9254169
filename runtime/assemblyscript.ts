/**
 * `env.abort`, which AssemblyScript programs call when they give up. Its message is in the explanation of the trap
 * (runtime/native/assemblyscript.c).
 */
import { native } from './ffi.ts';
import type { Imports, NativeImports } from './linkage.ts';

/** LUCET_ASSEMBLYSCRIPT_TOLD */
const told = Buffer.alloc(12288);

const functions: NativeImports = {
  lookup(module, name) {
    const signature: [string | null] = [null];
    const address = name.includes('\0') ? 0 : native().lucet_assemblyscript_lookup(module, name, signature);
    return address === 0 ? null : { function: address, data: 0, signature: signature[0]! };
  },
};

/**
 * For Linkage.create, beside other imports: `env.abort`, which traps (Unreachable), with message, file, line and column
 * in the report's explanation. It serves any number of instances. A module that imports more from "env" needs an object
 * of its own there.
 */
export const assemblyScriptImports: Imports = { env: functions };

/**
 * "message, at file:line:column": what an instance said as it aborted; null: nothing. Told once. @param instance the
 * native handle
 */
export function toldAtAbort(instance: number): string | null {
  const length = native().lucet_assemblyscript_told(instance, told);
  return length === 0 ? null : told.toString('utf8', 0, length);
}
