/** Demangling: names of C++ and Rust functions as their authors wrote them. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as glue from 'gecko-profiler-demangle/index_bg.js';

/** Longer names are left as they are: demangling is not linear in their length. */
const MAX_LENGTH = 4096;
const cache = new Map<string, string>();
const MAX_CACHED = 10_000;

let state: 'unused' | 'ready' | 'failed' = 'unused';

function load(): void {
  try {
    const path = createRequire(import.meta.url).resolve('gecko-profiler-demangle/index_bg.wasm');
    const module = new WebAssembly.Module(readFileSync(path));
    const { exports } = new WebAssembly.Instance(module, {
      './index_bg.js': glue as unknown as Record<string, CallableFunction>,
    });
    glue.__wbg_set_wasm(exports);
    (exports.__wbindgen_start as () => void)();
    state = 'ready';
  } catch {
    // Mangled names are still names.
    state = 'failed';
  }
}

/** `_ZN1r4main17h0123456789abcdefE` -> `r::main`. Other names come back as they are. */
export function demangle(name: string): string {
  if (!/^_{1,2}[ZR]/.test(name) || name.length > MAX_LENGTH) return name;
  const known = cache.get(name);
  if (known !== undefined) return known;
  if (state === 'unused') load();
  let result = name;
  if (state === 'ready') {
    try {
      result = glue.demangle_any(name);
    } catch {
      // The demangler trapped: take a fresh instance for the next name.
      state = 'unused';
    }
  }
  result = result.replace(/::h[0-9a-f]{16}$/, '');
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(name, result);
  return result;
}
