// Runs a WASI command in Node's own WASI: `node node.mjs PROGRAM DIRECTORY ARGS…`.
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [program, directory, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: ['guest', ...args], preopens: { '/': directory } });
const module = await WebAssembly.compile(readFileSync(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
