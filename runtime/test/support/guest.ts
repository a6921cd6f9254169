/** Guests for tests, from WebAssembly text, compiled by this project's compiler. */
import { afterAll, describe } from 'vitest';
import { compile } from '../../../compiler/index.ts';
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

  async module(text: string): Promise<Module> {
    const module = Module.fromBytes(compile(await wat(text), { verify: true }));
    this.#modules.push(module);
    return module;
  }

  async instance(text: string, imports: Imports = {}, options: InstanceOptions = {}): Promise<Instance> {
    return Instance.create(this.region, await this.module(text), imports, options);
  }
}
