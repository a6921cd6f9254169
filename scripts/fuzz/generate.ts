/**
 * Makes random modules, two of three with Binaryen, which turns random bytes into a valid module that ends
 * (`wasm-opt --translate-to-fuzz`), and one of our own (dense.ts, bounds.ts, loops.ts).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { boundsModule } from './bounds.ts';
import { denseModule } from './dense.ts';
import { loopsModule } from './loops.ts';
import { Random } from './random.ts';
import { observable, withCanonicalNans, withImports } from './rewrite.ts';
import { WasmOpt } from './wasm-opt.ts';

const FEATURES = [
  '--mvp-features',
  '--enable-mutable-globals',
  '--enable-sign-ext',
  '--enable-nontrapping-float-to-int',
  '--enable-bulk-memory',
  '--enable-bulk-memory-opt',
  '--enable-reference-types',
  '--enable-multivalue',
];

/** Of every second module of Binaryen's. */
const MORE_FEATURES = ['--enable-simd', '--enable-tail-call', '--enable-extended-const'];

/** What half of Binaryen's modules go through: code as compilers write it. */
const PASSES: readonly (readonly string[])[] = [
  ['-O1'],
  ['-O2'],
  ['-O3'],
  ['-O4'],
  ['-Os'],
  ['--fuzz-passes'],
  ['--inlining-optimizing', '--simplify-locals', '--coalesce-locals'],
  ['--ssa', '--local-cse', '--merge-locals'],
  ['--precompute-propagate', '--licm', '--vacuum'],
  ['--optimize-instructions', '--remove-unused-brs', '--code-folding'],
];

/** Bytes of randomness for one module. */
const MIN_SIZE = 200;
const MAX_SIZE = 30_000;

function ownModule(random: Random): Uint8Array {
  switch (random.below(5)) {
    case 0:
      return boundsModule(random);
    case 1:
      return withCanonicalNans(loopsModule(random));
    default:
      return withCanonicalNans(denseModule(random));
  }
}

export class Generator {
  readonly #wasmOpt = new WasmOpt();
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Module `index` of a run. @throws when Binaryen fails */
  async generate(seed: number, index: number): Promise<Uint8Array> {
    const random = new Random(seed, index);
    const made = observable(index % 3 === 1 ? ownModule(random) : await this.#binaryen(random, index));
    return random.below(4) === 0 ? withImports(made) : made;
  }

  async #binaryen(random: Random, index: number): Promise<Uint8Array> {
    const size = Math.round(MIN_SIZE * (MAX_SIZE / MIN_SIZE) ** (random.u32() / 2 ** 32));
    const input = join(this.#folder, 'random.bin');
    const output = join(this.#folder, 'random.wasm');
    writeFileSync(input, random.bytes(size));
    // Binaryen's instrumentation makes every float go through a call: half of the modules have ours, which leaves
    // arithmetic alone.
    const denan = random.below(2) === 0;
    const args = ['-ttf', input, '-o', output, '--quiet', ...FEATURES];
    if (random.below(2) === 0) args.push(...MORE_FEATURES);
    if (denan) args.push('--denan');
    if (index % 3 === 2) args.push(...random.pick(PASSES));
    const complaint = await this.#wasmOpt.run(args);
    if (complaint !== null) throw new Error(`wasm-opt ${args.join(' ')}: ${complaint}`);
    const bytes = readFileSync(output);
    return denan ? bytes : withCanonicalNans(bytes);
  }
}
