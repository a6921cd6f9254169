// Builds everything into dist/: bundles (scripts/bundle.mjs), the header that the C side is compiled with, and the
// native library. `node scripts/build.mjs [--no-native] [--minify] [--types]`; the last also writes the declarations
// that TypeScript finds in the npm package.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundle, DEVELOPMENT_TOOLS, TOOLS } from './bundle.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const KNOWN = ['--no-native', '--minify', '--types'];
const flags = new Set(process.argv.slice(2));
for (const f of flags) {
  if (!KNOWN.includes(f)) {
    console.error(`build: unknown option ${f} (known: ${KNOWN.join(', ')})`);
    process.exit(1);
  }
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Headers that the native code has from TypeScript. */
async function headers() {
  const { abiHeader } = await import(pathToFileURL(join(dist, 'gen-abi.js')).href);
  const { optionsHeader } = await import(pathToFileURL(join(dist, 'gen-cli.js')).href);
  writeHeader('runtime/native/abi.h', abiHeader());
  writeHeader('runtime/native/cli/options_text.h', optionsHeader(version));
}

function writeHeader(name, text) {
  const path = join(root, name);
  let old = '';
  try {
    old = readFileSync(path, 'utf8');
  } catch {}
  // Only written when it changed, so that make does not rebuild for nothing.
  if (old !== text) writeFileSync(path, text);
}

await bundle({
  dist,
  tools: { ...TOOLS, ...DEVELOPMENT_TOOLS },
  minify: flags.has('--minify'),
  sourcemap: true,
});
await headers();
if (flags.has('--types')) await import('./types.mjs');
if (!flags.has('--no-native')) {
  execFileSync('make', ['-s', '-C', join(root, 'runtime/native'), '-j2'], { stdio: 'inherit' });
}
