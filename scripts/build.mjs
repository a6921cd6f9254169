// Builds everything into dist/: bundles of the command-line tools, the compiler's worker, the extension and the debug adapter, and the
// native library. `node scripts/build.mjs [--no-native] [--minify]`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const flags = new Set(process.argv.slice(2));
for (const f of flags) {
  if (f !== '--no-native' && f !== '--minify') {
    console.error(`build: unknown option ${f} (known: --no-native, --minify)`);
    process.exit(1);
  }
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  minify: flags.has('--minify'),
  // Packages that carry native code, WebAssembly or are large: loaded from node_modules when first needed.
  external: ['koffi', 'wabt', 'iced-x86', 'binaryen', '@yowasp/clang', 'vscode'],
  define: { LUCET_VERSION: JSON.stringify(version) },
  logLevel: 'warning',
};

/** Name in dist -> entry. The CLI entries call main() of the module beside them. */
const tools = {
  lucetc: 'compiler/lucetc-main.ts',
  'lucetc-wasi': 'compiler/lucetc-wasi-main.ts',
  'compiler-worker': 'compiler/worker.ts',
  'lucet-objdump': 'compiler/objdump-main.ts',
  'lucet-wasi': 'runtime/lucet-wasi-main.ts',
  spec: 'scripts/spec-main.ts',
  'wasi-suite': 'scripts/wasi-suite.ts',
  fuzz: 'scripts/fuzz.ts',
  hostile: 'scripts/hostile.ts',
  bench: 'bench/bench.ts',
  demo: 'scripts/demo.ts',
  'gen-abi': 'scripts/gen-abi.ts',
};

async function abiHeader() {
  const { abiHeader } = await import(pathToFileURL(join(dist, 'gen-abi.js')).href);
  const path = join(root, 'runtime/native/abi.h');
  const text = abiHeader();
  let old = '';
  try {
    old = readFileSync(path, 'utf8');
  } catch {}
  // Only written when it changed, so that make does not rebuild for nothing.
  if (old !== text) writeFileSync(path, text);
}

mkdirSync(dist, { recursive: true });
writeFileSync(join(dist, 'package.json'), '{"type":"module"}\n');
await Promise.all([
  build({
    ...common,
    format: 'esm',
    splitting: true,
    entryPoints: tools,
    outdir: dist,
    chunkNames: 'chunk-[hash]',
    banner: {
      js: "import { createRequire as lucetRequire } from 'node:module'; const require = lucetRequire(import.meta.url);",
    },
  }),
  build({
    ...common,
    format: 'cjs',
    entryPoints: { extension: 'extension/extension.ts', 'debug-adapter': 'debug-adapter/main.ts' },
    outdir: dist,
    outExtension: { '.js': '.cjs' },
    define: { ...common.define, 'import.meta.url': '__filename' },
  }),
]);
await abiHeader();
if (!flags.has('--no-native')) {
  execFileSync('make', ['-s', '-C', join(root, 'runtime/native'), '-j2'], { stdio: 'inherit' });
}
