#!/usr/bin/env node
// Where the C headers and the library are, as arguments for a compiler.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const include = join(root, 'runtime', 'native');
const library = join(root, 'dist', 'native');

const OPTIONS = {
  '--cflags': () => `-I${quote(include)}`,
  // The path goes into the program, so that it finds the library when it is run.
  '--libs': () => `-L${quote(library)} -llucet -Wl,-rpath,${quote(library)}`,
  '--include-dir': () => include,
  '--library-dir': () => library,
  '--version': () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
};

const HELP = `usage: lucet-config OPTION…

  --cflags        flags to compile C or C++ that includes lucet.h or wasi.h
  --libs          flags to link with liblucet.so
  --include-dir   the folder of the headers
  --library-dir   the folder of liblucet.so
  --version       the version of Lucet

  cc program.c $(lucet-config --cflags --libs) -o program
`;

/** As one word of a shell, where it is substituted into a command line that is evaluated; plain paths stay as they are. */
function quote(path) {
  return /^[\w./@+-]*$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function fail(message) {
  process.stderr.write(`lucet-config: ${message}\n`);
  process.exit(1);
}

function print(text) {
  try {
    writeFileSync(1, text);
  } catch (e) {
    // Whoever reads no further has what they want.
    if (e.code !== 'EPIPE') fail(`can't write standard output: ${e.message}`);
  }
}

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  print(HELP);
  process.exit(0);
}
if (args.length === 0) fail('no option is given (see lucet-config --help)');
const unknown = args.find(a => !Object.hasOwn(OPTIONS, a));
if (unknown !== undefined) fail(`unknown option ${unknown} (see lucet-config --help)`);
if (!existsSync(join(library, 'liblucet.so')))
  fail('not built yet; run "npm run build" in the project\'s folder');
print(`${args.map(a => OPTIONS[a]()).join(' ')}\n`);
