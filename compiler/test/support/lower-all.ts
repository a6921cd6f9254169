/** Decode a module and lower everything in it, with the verifier behind each function. */

import { layoutVmctx, type VmctxLayout } from '../../abi/vmctx.ts';
import { Func } from '../../ir/func.ts';
import { type VerifyContext, verify } from '../../ir/verify.ts';
import { defaultOptions } from '../../options.ts';
import { buildThunk, thunkCount } from '../../thunks.ts';
import { decodeModule } from '../../wasm/decode.ts';
import { lowerFunction } from '../../wasm/lower.ts';
import type { Module } from '../../wasm/module.ts';
import { irType } from '../../wasm/types.ts';

export function layoutOf(module: Module): VmctxLayout {
  return layoutVmctx({
    memories: module.memories.length,
    tables: module.tables.length,
    globals: module.globalTypes.length,
    funcImports: module.importedFunctions,
  });
}

export function signatures(module: Module): VerifyContext {
  const type = (t: number) => {
    const { params, results } = module.types[t]!;
    return { params: params.map(irType), results: results.map(irType) };
  };
  const func = (i: number) => type(module.functions[i]!);
  return { func, import: func, type };
}

/** Functions and thunks by index. */
export function lowerModule(module: Module, localsInMemory = false): Map<number, Func> {
  const layout = layoutOf(module);
  const context = signatures(module);
  const funcs = new Map<number, Func>();
  for (let i = 0; i < module.functions.length + thunkCount(module); i++) {
    const func = new Func();
    if (i >= module.importedFunctions && i < module.functions.length)
      lowerFunction(module, i, layout, func, defaultOptions(), {}, localsInMemory);
    else if (!buildThunk(module, i, func)) continue;
    verify(func, context);
    funcs.set(i, func);
  }
  return funcs;
}

export function decodeAndLower(bytes: Uint8Array): { module: Module; funcs: Map<number, Func> } {
  const module = decodeModule(bytes);
  return { module, funcs: lowerModule(module) };
}
