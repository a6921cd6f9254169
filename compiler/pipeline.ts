/**
 * Every pass, in order, on one screen.
 *
 *   bytes ──decode──▶ Module ──┐ for each function and thunk
 *                              ├─ lower      decode + validate + build SSA, one walk     wasm/lower.ts, thunks.ts
 *                              ├─ optimize   (levels 1, 2)                               opt/pipeline.ts
 *                              ├─ select     SSA -> machine rows over virtual registers  backend/x64/lower.ts
 *                              ├─ allocate   registers, spills, moves                    backend/regalloc.ts
 *                              ├─ emit       bytes, relocations, pc map                  backend/x64/emit.ts
 *                              │  or, for debuggers, all of that at once                 singlepass/compile.ts
 *                              └──▶ CompiledFunc[] ──link──▶ .so                         object/artifact-writer.ts
 *
 * A function's code depends on nothing but the module, the options and its index: that is why any number of workers
 * gives the same bytes.
 */
import { layoutVmctx, type VmctxLayout } from './abi/vmctx.ts';
import { Arena } from './backend/arena.ts';
import { checkAllocation } from './backend/checker.ts';
import type { CompiledFunc } from './backend/code.ts';
import { MachFunc } from './backend/mach.ts';
import { allocate } from './backend/regalloc.ts';
import { Emitter } from './backend/x64/emit.ts';
import { Lowering } from './backend/x64/lower.ts';
import { X64_REGS } from './backend/x64/regs.ts';
import { irWords, ModuleBudget } from './budget.ts';
import { Cfg } from './ir/cfg.ts';
import { Func } from './ir/func.ts';
import { type Signature, type VerifyContext, verify } from './ir/verify.ts';
import { optimize } from './opt/pipeline.ts';
import type { CompileOptions } from './options.ts';
import { SinglePass, singlePassApplies } from './singlepass/compile.ts';
import { buildThunk, thunkCount } from './thunks.ts';
import { lowerFunction } from './wasm/lower.ts';
import type { Module } from './wasm/module.ts';
import { irType } from './wasm/types.ts';

/** How often each optimisation fired, by name. */
export type Counters = Record<string, number>;

export function moduleLayout(module: Module): VmctxLayout {
  return layoutVmctx({
    memories: module.memories.length,
    tables: module.tables.length,
    globals: module.globalTypes.length,
    funcImports: module.importedFunctions,
  });
}

/** Number of indices that may have code: all functions, then all thunks. */
export function codeCount(module: Module): number {
  return module.functions.length + thunkCount(module);
}

/** What the IR verifier may know of a module. */
function verifyContext(module: Module): VerifyContext {
  const types = module.types.map(
    (t): Signature => ({ params: t.params.map(irType), results: t.results.map(irType) }),
  );
  return {
    type: i => types[i],
    func: i => types[module.functions[i]!],
    // Function imports come first in the function index space.
    import: i => types[module.functions[i]!],
  };
}

/** Compiles functions of one module, one after the other; all scratch state is kept and reused. */
export class FunctionCompiler {
  readonly counters: Counters = {};
  /** Holds the results. */
  readonly arena = new Arena();
  private readonly layout: VmctxLayout;
  private readonly signatures: VerifyContext;
  private readonly func = new Func();
  private readonly cfg = new Cfg();
  private readonly mach = new MachFunc();
  private readonly lowering: Lowering;
  private readonly emitter: Emitter;
  private readonly singlePass: SinglePass | null;
  private readonly budget: ModuleBudget;
  /** Of all functions so far. */
  irWords = 0;

  constructor(
    private readonly module: Module,
    private readonly options: CompileOptions,
  ) {
    this.layout = moduleLayout(module);
    this.budget = new ModuleBudget(module);
    this.signatures = verifyContext(module);
    this.lowering = new Lowering({ module, layout: this.layout, features: options.features });
    this.emitter = new Emitter({
      checksStack: options.memory === 'dense',
      copiesDispatch: options.optLevel === 2,
      reusesFlags: options.optLevel > 0,
      arena: this.arena,
    });
    this.singlePass = singlePassApplies(module, options)
      ? new SinglePass(module, this.layout, options, this.arena)
      : null;
  }

  /** The optimised SSA of a function or thunk; null where an index has no code. Valid until the next call. */
  ssa(index: number): Func | null {
    const { module, options, func } = this;
    func.reset(index, module.names.functions.get(index) ?? '');
    if (index >= module.importedFunctions && index < module.functions.length) {
      lowerFunction(module, index, this.layout, func, options, this.counters);
      const words = irWords(func);
      this.irWords += words;
      this.budget.takeIr(words);
    } else if (!buildThunk(module, index, func)) {
      return null;
    }
    if (options.verify) verify(func, this.signatures);
    if (options.optLevel > 0) {
      optimize(func, options.optLevel, this.counters, {
        importedMemories: module.importedMemories,
        ...(options.verify ? { after: () => verify(func, this.signatures) } : {}),
      });
    }
    return func;
  }

  /** Throws CompileError when the function is invalid, or all that were compiled are too much for the module. */
  compile(index: number): CompiledFunc | null {
    const compiled = this.inOnePass(index) ?? this.throughSsa(index);
    this.budget.takeCode(compiled);
    return compiled;
  }

  /** Code for debuggers, where the single pass can make it. */
  private inOnePass(index: number): CompiledFunc | null {
    const { module, singlePass, counters } = this;
    if (!singlePass) return null;
    if (index < module.importedFunctions || index >= module.functions.length) {
      const thunk = singlePass.thunk(index);
      if (thunk) counters['single-pass-thunk'] = (counters['single-pass-thunk'] ?? 0) + 1;
      return thunk;
    }
    const compiled = singlePass.compile(index);
    if (compiled) counters['single-pass'] = (counters['single-pass'] ?? 0) + 1;
    else counters['single-pass-left'] = (counters['single-pass-left'] ?? 0) + 1;
    return compiled;
  }

  private throughSsa(index: number): CompiledFunc | null {
    const func = this.ssa(index);
    if (!func) return null;
    const { mach, options } = this;
    this.cfg.compute(func);
    mach.reset();
    const unit = this.lowering.lower(func, this.cfg, mach);
    this.count('branch-moves', allocate(mach, X64_REGS, { level: options.optLevel }));
    if (options.verify) checkAllocation(mach, X64_REGS);
    const { emitter } = this;
    const copies = emitter.dispatchCopies;
    const reused = emitter.flagsReused;
    const compiled = emitter.emit(func, mach, unit);
    this.count('dispatch-copy', emitter.dispatchCopies - copies);
    this.count('flags', emitter.flagsReused - reused);
    return compiled;
  }

  private count(name: string, times: number): void {
    if (times > 0) this.counters[name] = (this.counters[name] ?? 0) + times;
  }
}
