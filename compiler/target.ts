/** What machine to compile for: triples, CPU models and feature switches, as data. */
import { CPU_FEATURES, type CpuFeature } from './abi/artifact.ts';
import { CompileError } from './diagnostics.ts';

/** Triples that are accepted for --target; all mean the one machine there is so far. */
const X64_TRIPLES = new Set([
  'x86_64',
  'x86_64-linux',
  'x86_64-linux-gnu',
  'x86_64-unknown-linux',
  'x86_64-unknown-linux-gnu',
]);

const V2: readonly CpuFeature[] = ['sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt'];
const V3: readonly CpuFeature[] = [...V2, 'lzcnt', 'bmi1', 'bmi2', 'avx', 'avx2', 'fma', 'f16c', 'movbe'];
const V4: readonly CpuFeature[] = [...V3, 'avx512f', 'avx512vl', 'avx512dq', 'avx512bw'];

/**
 * CPU models (x86-64 psABI, "micro-architecture levels"). `baseline` is what Lucet asks of any x86-64 machine: up to
 * SSE4.1.
 */
const MODELS: Readonly<Record<string, readonly CpuFeature[]>> = {
  baseline: ['sse3', 'ssse3', 'sse4.1'],
  'x86-64-v2': V2,
  'x86-64-v3': V3,
  'x86-64-v4': V4,
};

/** Names in /proc/cpuinfo where they differ from ours. */
const CPUINFO_NAMES: Partial<Record<CpuFeature, string>> = {
  sse3: 'pni',
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  lzcnt: 'abm',
};

/** The features a /proc/cpuinfo text shows. */
export function featuresFromCpuinfo(text: string): Set<CpuFeature> {
  const line = /^flags\s*:\s*(.*)$/m.exec(text)?.[1] ?? '';
  const flags = new Set(line.split(/\s+/));
  return new Set(CPU_FEATURES.filter(f => flags.has(CPUINFO_NAMES[f] ?? f)));
}

export function checkTriple(triple: string): void {
  if (!X64_TRIPLES.has(triple)) {
    throw new CompileError(
      `target '${triple}' is not supported (supported: ${[...X64_TRIPLES].join(', ')})`,
      -1,
      'usage',
    );
  }
}

/**
 * Resolve --target-cpu and --target-feature.
 * @param native features of this machine, for `native`; null when they are not known
 * @param switches `+name` or `-name`
 */
export function resolveFeatures(
  cpu: string,
  switches: readonly string[],
  native: ReadonlySet<CpuFeature> | null,
): Set<CpuFeature> {
  let base: Iterable<CpuFeature> | undefined = MODELS[cpu];
  if (cpu === 'native') base = native ?? MODELS['x86-64-v2'];
  if (!base) {
    throw new CompileError(
      `CPU '${cpu}' is not known (known: native, ${Object.keys(MODELS).join(', ')})`,
      -1,
      'usage',
    );
  }
  const set = new Set(base);
  for (const s of switches) {
    const name = s.slice(1) as CpuFeature;
    if (!/^[+-]/.test(s) || !CPU_FEATURES.includes(name)) {
      throw new CompileError(
        `'${s}' is no target feature (write +NAME or -NAME; names: ${CPU_FEATURES.join(', ')})`,
        -1,
        'usage',
      );
    }
    if (s[0] === '+') set.add(name);
    else if (MODELS.baseline!.includes(name)) {
      throw new CompileError(
        `target feature ${name} can't be switched off: it belongs to the baseline`,
        -1,
        'usage',
      );
    } else set.delete(name);
  }
  return set;
}
