// The JavaScript bundles: command-line tools (ES modules that share chunks), the extension's processes (CommonJS), and
// the scripts of its webviews.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { notices } from './notices.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/**
 * Packages that carry native code or WebAssembly: loaded from node_modules when first needed. The first three go into
 * the VSIX.
 */
export const RUNTIME_PACKAGES = ['koffi', 'wabt', 'iced-x86'];
const EXTERNAL = [
  ...RUNTIME_PACKAGES,
  'binaryen',
  '@yowasp/clang',
  'playwright-core',
  '@vscode/test-electron',
  'mocha',
  'vscode',
];

/** What users get. Name in dist -> entry; the CLI entries call main() of the module beside them. */
export const TOOLS = {
  lucetc: 'compiler/cli/lucetc-main.ts',
  'lucetc-wasi': 'compiler/cli/lucetc-wasi-main.ts',
  'compiler-worker': 'compiler/threads/worker.ts',
  'lucet-objdump': 'compiler/cli/objdump-main.ts',
  'module-tool': 'extension/tool/main.ts',
  'wat-server': 'extension/server/main.ts',
  'wat-check': 'extension/server/check-worker.ts',
};

/** What is only of use in the project's folder. */
export const DEVELOPMENT_TOOLS = {
  spec: 'scripts/spec/main.ts',
  'wasi-suite': 'scripts/wasi-suite.ts',
  'wasi-mutants': 'scripts/wasi-mutants.ts',
  'wasi-programs': 'scripts/wasi-programs.ts',
  programs: 'scripts/programs.ts',
  fuzz: 'scripts/fuzz/main.ts',
  hostile: 'scripts/hostile.ts',
  'hostile-memory': 'scripts/hostile-memory.ts',
  scale: 'scripts/scale.ts',
  'code-size': 'scripts/code-size.ts',
  traps: 'scripts/trap-suite.ts',
  'debug-programs': 'scripts/debug-programs.ts',
  bench: 'bench/bench.ts',
  'bench-instances': 'bench/instances.ts',
  'bench-live': 'bench/instances-live.ts',
  'bench-debug': 'bench/debug.ts',
  'bench-wasi': 'bench/wasi/bench.ts',
  'bench-wasi-wasmtime': 'bench/wasi/wasmtime.ts',
  'http-per-request': 'examples/http-per-request/main.ts',
  'http-per-request-server': 'examples/http-per-request/server.ts',
  'bench-child': 'bench/child.ts',
  demo: 'scripts/demo.ts',
  'gen-abi': 'scripts/gen-abi.ts',
  'vscode-drive': 'extension/test/vscode/drive.ts',
  'vscode-electron': 'extension/test/vscode/electron.ts',
  'gen-cli': 'scripts/gen-cli.ts',
};

/**
 * As CommonJS: the extension, the debug adapter, and what compiles for a launch. One CommonJS file takes a tenth less
 * of a compilation's time than ES modules in chunks do.
 */
const EDITOR = {
  extension: 'extension/extension.ts',
  'debug-adapter': 'debug-adapter/main.ts',
  'lucet-wasi-helper': 'runtime/lucet-wasi-helper.ts',
};

/**
 * `import … from 'lucet'`. CommonJS, which both kinds of modules can load: two builds of it would be two runtimes in
 * one process.
 */
const LIBRARY = { lucet: 'runtime/lucet.ts' };

/** The suite that runs in the editor. */
const EDITOR_TESTS = { 'vscode-suite': 'extension/test/vscode/suite.ts' };

/** Scripts of webview pages. */
const PAGES = {
  trap: 'extension/webview/trap.ts',
  inspector: 'extension/webview/inspector.ts',
};

/** @param {{dist: string, tools: Record<string, string>, minify: boolean, sourcemap: boolean}} options */
export async function bundle({ dist, tools, minify, sourcemap }) {
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node20',
    sourcemap,
    minify,
    keepNames: minify,
    external: EXTERNAL,
    define: { LUCET_VERSION: JSON.stringify(version) },
    // Licences are in a file of their own.
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  };
  mkdirSync(dist, { recursive: true });
  writeFileSync(join(dist, 'package.json'), '{"type":"module"}\n');
  const built = await Promise.all([
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
      entryPoints: 'gen-abi' in tools ? { ...EDITOR, ...LIBRARY, ...EDITOR_TESTS } : EDITOR,
      outdir: dist,
      banner: { js: "const lucetUrl = require('node:url').pathToFileURL(__filename).href;" },
      outExtension: { '.js': '.cjs' },
      define: { ...common.define, 'import.meta.url': 'lucetUrl' },
    }),
    build({
      ...common,
      format: 'iife',
      platform: 'browser',
      target: 'es2022',
      entryPoints: PAGES,
      outdir: join(dist, 'webview'),
    }),
  ]);
  // Chunks are named for what is in them: those of earlier builds are nobody's.
  const chunks = new Set(Object.keys(built[0].metafile.outputs).map(path => basename(path)));
  for (const file of readdirSync(dist)) {
    if (/^chunk-\w+\.js(\.map)?$/.test(file) && !chunks.has(file)) rmSync(join(dist, file));
  }
  const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  writeFileSync(join(dist, 'THIRD_PARTY_NOTICES.txt'), notices(root, inputs));
}
