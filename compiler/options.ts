/** What can be asked of the compiler. The command line's names for it are in cli/command-line.ts. */
import type { CpuFeature, MemoryMode } from './abi/artifact.ts';
import { DEFAULT_FEATURES, type FeatureSet } from './features.ts';

export interface CompileOptions {
  /** 0: straightforward code; 1 and 2: optimised (1: cheap passes only). */
  readonly optLevel: 0 | 1 | 2;
  /** Extensions the code may use. Resolved by target.ts from --target-cpu and --target-feature. */
  readonly features: ReadonlySet<CpuFeature>;
  /** Extensions of WebAssembly that modules may use (features.ts). */
  readonly wasmFeatures: FeatureSet;
  /** What code relies on to stay in bounds (abi/artifact.ts). */
  readonly memory: MemoryMode;
  /** Bytes of address space a memory's slot reserves (guarded): accesses below it need no check. */
  readonly reservedSize: number;
  /** NaNs whose bits the specification leaves open are the canonical one (wasm/canonical-nans.ts). */
  readonly canonicalizeNans: boolean;
  /** Count the operators that run, and yield when a bound is spent (wasm/count.ts). */
  readonly countInstructions: boolean;
  /** Sequence points and homes for all values (wasm/debug-code.ts); at level 0 only. */
  readonly debugCode: boolean;
  readonly debugInfo: boolean;
  /** Worker threads; 1: compile on the calling thread. */
  readonly workers: number;
  /** module -> name -> symbol (--bindings) */
  readonly bindings: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Run the IR verifier and the allocation checker (always on in tests). */
  readonly verify: boolean;
}

/** What lowering a body to intermediate code depends on. */
export type LowerOptions = Pick<
  CompileOptions,
  'memory' | 'optLevel' | 'canonicalizeNans' | 'countInstructions' | 'debugCode'
>;

/** The defaults: optimised, guarded, for any machine of the x86-64-v2 level (2009), on the calling thread. */
export function defaultOptions(given: Partial<CompileOptions> = {}): CompileOptions {
  return {
    optLevel: 2,
    features: new Set<CpuFeature>(['sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt']),
    wasmFeatures: DEFAULT_FEATURES,
    memory: 'guarded',
    reservedSize: 8 * 2 ** 30,
    canonicalizeNans: false,
    countInstructions: false,
    debugCode: false,
    debugInfo: true,
    workers: 1,
    bindings: new Map(),
    verify: false,
    ...given,
  };
}
