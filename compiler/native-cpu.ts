/** The processor features of this machine. */
import { readFileSync } from 'node:fs';
import type { CpuFeature } from './abi/artifact.ts';
import { featuresFromCpuinfo } from './target.ts';

let cached: Set<CpuFeature> | null | undefined;

/** null where it can't be found out. */
export function nativeFeatures(): ReadonlySet<CpuFeature> | null {
  if (cached === undefined) {
    try {
      cached = featuresFromCpuinfo(readFileSync('/proc/cpuinfo', 'utf8'));
    } catch {
      cached = null;
    }
  }
  return cached;
}
