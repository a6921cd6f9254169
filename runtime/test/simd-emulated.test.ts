/**
 * Vectors on a processor with AVX-512 against V8, whatever this machine is: by the emulator Bochs. It takes a while, so
 * LUCET_EMULATE=1 asks for it.
 */
import { expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { emulate, hasEmulator } from './emulated/emulator.ts';
import {
  ALL,
  AT,
  bytes,
  expectedResults,
  image,
  normal,
  RESULT,
  ROUNDS,
  STRIDE,
} from './support/vector-cases.ts';

it.runIf(process.env.LUCET_EMULATE === '1')(
  'every operator on a processor with AVX-512',
  { timeout: 300_000 },
  () => {
    if (!hasEmulator())
      throw new Error('there is no emulator: install the Debian packages bochs, bochs-term, bochsbios');
    const features = resolveFeatures('x86-64-v4', [], null);
    const artifact = compile(bytes, { optLevel: 2, features, debugInfo: false, verify: true });
    expect(readArtifact(artifact).cpuFeatures).toContain('avx512vl');
    const got = emulate('corei7_skylake_x', {
      ...{ artifact, image, at: AT, rounds: ROUNDS, stride: STRIDE, result: RESULT },
      functions: ALL.map((_, i) => i),
    });
    const expected = expectedResults();
    const wrong: string[] = [];
    ALL.forEach((c, i) => {
      for (let k = 0; k < ROUNDS; k++) {
        const at = 16 * (i * ROUNDS + k);
        const result = normal(got.subarray(at, at + 16), c.float);
        if (result === expected[i]![k]) continue;
        const given = Buffer.from(image.subarray(k * STRIDE, k * STRIDE + RESULT)).toString('hex');
        wrong.push(`${c.name} of ${given}: ${result}, V8 has ${expected[i]![k]}`);
        break;
      }
    });
    expect(wrong).toEqual([]);
  },
);
