/**
 * Runs a WASI command in wasmtime through its C API: `node wasmtime.js LIBRARY PROGRAM DIRECTORY ARGS…`, or with
 * `--precompile` before them: writes PROGRAM compiled to DIRECTORY (a path then). A PROGRAM that was precompiled is
 * loaded as it is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import koffi from 'koffi';

/**
 * Size in bytes of the functions' results and parameters by letter: p address, z size_t, s string, b bytes, B bool, v
 * nothing.
 */
const TYPES: Readonly<Record<string, string>> = {
  p: 'uintptr_t',
  z: 'size_t',
  s: 'str',
  b: 'const uint8_t *',
  B: 'bool',
  v: 'void',
};
const SIGNATURES = {
  wasm_engine_new: 'p',
  wasmtime_module_new: 'ppbzp',
  wasmtime_module_serialize: 'ppp',
  wasmtime_module_deserialize: 'ppbzp',
  wasmtime_store_new: 'pppp',
  wasmtime_store_context: 'pp',
  wasi_config_new: 'p',
  wasi_config_set_argv: 'Bpzp',
  wasi_config_inherit_stdin: 'vp',
  wasi_config_inherit_stdout: 'vp',
  wasi_config_inherit_stderr: 'vp',
  wasi_config_preopen_dir: 'Bpsszz',
  wasmtime_context_set_wasi: 'ppp',
  wasmtime_linker_new: 'pp',
  wasmtime_linker_define_wasi: 'pp',
  wasmtime_linker_instantiate: 'pppppp',
  wasmtime_instance_export_get: 'Bppszp',
  wasmtime_func_call: 'ppppzpzp',
  wasmtime_error_message: 'vpp',
  wasmtime_error_exit_status: 'Bpp',
} as const;

/** Reading and writing, directories and files. */
const ALL = 3;

const argv = process.argv.slice(2);
const precompile = argv[0] === '--precompile';
if (precompile) argv.shift();
const [library, program, directory, ...args] = argv as [string, string, string, ...string[]];
const lib = koffi.load(library);
const c = Object.fromEntries(
  Object.entries(SIGNATURES).map(([name, [result, ...params]]) => [
    name,
    lib.func(
      name,
      TYPES[result!]!,
      params.map(p => TYPES[p]!),
    ),
  ]),
) as unknown as Record<keyof typeof SIGNATURES, (...values: unknown[]) => number>;

const block = Buffer.alloc(8192);
const at = Number(koffi.address(block));
const pointer = (offset: number): number => Number(block.readBigUInt64LE(offset));
function vector(): Buffer {
  return Buffer.from(new Uint8Array(koffi.view(block.readBigUInt64LE(8), pointer(0))));
}
function check(error: number): void {
  if (error === 0) return;
  if (c.wasmtime_error_exit_status(error, at + 16)) process.exit(block.readInt32LE(16));
  c.wasmtime_error_message(error, at);
  throw new Error(`wasmtime: ${vector()}`);
}

const engine = c.wasm_engine_new();
const bytes = readFileSync(program);
if (bytes[0] === 0) check(c.wasmtime_module_new(engine, bytes, bytes.length, at + 64));
else check(c.wasmtime_module_deserialize(engine, bytes, bytes.length, at + 64));
const module = pointer(64);
if (precompile) {
  check(c.wasmtime_module_serialize(module, at));
  writeFileSync(directory, vector());
  process.exit(0);
}
const store = c.wasmtime_store_new(engine, 0, 0);
const context = c.wasmtime_store_context(store);
const wasi = c.wasi_config_new();
const strings = ['guest', ...args].map(s => Buffer.from(`${s}\0`.padEnd(64, '\0')));
strings.forEach((s, i) => {
  block.writeBigUInt64LE(BigInt(koffi.address(s)), 1024 + 8 * i);
});
c.wasi_config_set_argv(wasi, strings.length, at + 1024);
c.wasi_config_inherit_stdin(wasi);
c.wasi_config_inherit_stdout(wasi);
c.wasi_config_inherit_stderr(wasi);
c.wasi_config_preopen_dir(wasi, directory, '/', ALL, ALL);
check(c.wasmtime_context_set_wasi(context, wasi));
const linker = c.wasmtime_linker_new(engine);
check(c.wasmtime_linker_define_wasi(linker));
block.writeBigUInt64LE(0n, 128);
check(c.wasmtime_linker_instantiate(linker, context, module, at + 256, at + 128));
c.wasmtime_instance_export_get(context, at + 256, '_start', 6, at + 512);
// wasmtime_extern_t: the kind, then the function.
check(c.wasmtime_func_call(context, at + 520, 0, 0, 0, 0, at + 128));
