/** Guests for tests, from WebAssembly text, compiled by this project's compiler. */
import { afterAll, describe } from 'vitest';
import { type CompileOptions, compile } from '../../../compiler/index.ts';
import { wat } from '../../../compiler/test/support/wasm.ts';
import { hasLibrary, type Imports, Instance, type InstanceOptions, Module, Region } from '../../index.ts';

/** Tests that run guests: skipped, with a message, where the native library isn't built. */
export function describeNative(name: string, body: () => void): void {
  if (!hasLibrary()) {
    console.error(`SKIPPED: ${name}: the native library is not built (npm run build)`);
    describe.skip(name, body);
    return;
  }
  describe(name, body);
}

/** One region for a test file. */
export class Guests {
  readonly region: Region = Region.create({ capacity: 256 });
  readonly #modules: Module[] = [];

  constructor() {
    afterAll(() => {
      this.region.dispose();
      for (const m of this.#modules) m.dispose();
    });
  }

  /** @param source text, or a binary module */
  async module(source: string | Uint8Array, options: Partial<CompileOptions> = {}): Promise<Module> {
    const bytes = typeof source === 'string' ? await wat(source) : source;
    const module = Module.fromBytes(compile(bytes, { verify: true, ...options }));
    this.#modules.push(module);
    return module;
  }

  async instance(
    source: string | Uint8Array,
    imports: Imports = {},
    options: InstanceOptions = {},
  ): Promise<Instance> {
    return Instance.create(this.region, await this.module(source), imports, options);
  }
}
