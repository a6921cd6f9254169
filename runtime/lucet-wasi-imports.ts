/** Why a module's imports can't be satisfied, in words that help whoever built it. */
import type { ImportInfo, Module } from './module.ts';
import { isWasiFunction } from './wasi.ts';

/** A builder of modules that need another host, and how it shows in their imports. */
interface Origin {
  readonly matches: (i: ImportInfo) => boolean;
  readonly advice: string;
}

const ORIGINS: readonly Origin[] = [
  {
    matches: i =>
      /^(?:wbg|__wbindgen_placeholder__|__wbindgen_externref_xform__)$/.test(i.module) ||
      /^__wbindgen_|^__wbg_/.test(i.name),
    advice:
      'The module was built with wasm-bindgen, for a JavaScript host. Build the program for wasm32-wasi (Rust: --target wasm32-wasip1) without wasm-bindgen.',
  },
  {
    matches: i =>
      i.module === 'a' ||
      (i.module === 'env' &&
        /^_?emscripten_|^__syscall_|^invoke_[vijfd]+$|^__cxa_|^_?(?:embind|emval)_|^__assert_fail$|^abort_on_/.test(
          i.name,
        )),
    advice:
      'The module was built with Emscripten, for a JavaScript host. Build the program for wasm32-wasi (wasi-sdk, or any clang with a WASI sysroot), or with emcc -sSTANDALONE_WASM.',
  },
  {
    matches: i => i.module === 'go' || i.module === 'gojs',
    advice: 'The module was built by Go for a JavaScript host. Build it with GOOS=wasip1 GOARCH=wasm.',
  },
  {
    matches: i => i.module === 'env' && /^(?:abort|seed|trace|console\.log)$/.test(i.name),
    advice:
      'The module looks like AssemblyScript for a JavaScript host. Build it with the WASI shim (@assemblyscript/wasi-shim).',
  },
  {
    matches: i => /^wasi:|^cm32p2|^\[export\]/.test(i.module),
    advice: 'The module is part of a WASI 0.2 component. Build it for WASI preview 1 (wasm32-wasip1).',
  },
  {
    matches: i => i.module === 'wasi' && i.name === 'thread-spawn',
    advice: 'The module was built for WASI with threads (wasm32-wasip1-threads). Build it for wasm32-wasip1.',
  },
];

/** Names shown of a longer list. */
const SHOWN = 8;

/** What WASI does not provide, as a message; null: everything is there. */
export function missingImports(module: Module): string | null {
  const missing = module.imports.filter(i => i.type.kind !== 'func' || !isWasiFunction(i.module, i.name));
  if (missing.length === 0) return null;
  const lines = missing
    .slice(0, SHOWN)
    .map(i => `  ${i.type.kind === 'func' ? 'function' : i.type.kind} ${i.module}.${i.name}`);
  if (missing.length > SHOWN) lines.push(`  and ${missing.length - SHOWN} more`);
  const origin = ORIGINS.find(o => missing.some(o.matches));
  const what = missing.length === 1 ? 'an import that is' : `${missing.length} imports that are`;
  return [
    `${module.label} needs ${what} not provided:`,
    ...lines,
    origin?.advice ??
      'Only WASI preview 1 is provided. Programs are built for it with the target wasm32-wasi.',
  ].join('\n');
}
