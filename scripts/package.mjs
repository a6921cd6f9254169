// `npm run package`: lucet-linux-x64.vsix. The extension is laid out in dist/vsix/ from a list of what it needs, and
// only that is packed: the project's own folder has much that is of no use to users, and a list of what to leave out
// would be wrong at the next change.
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createVSIX } from '@vscode/vsce';
import { bundle, root, TOOLS } from './bundle.mjs';

const TARGET = 'linux-x64';
const stage = join(root, 'dist', 'vsix');
const dist = join(stage, 'dist');
const packagePath = join(root, `lucet-${TARGET}.vsix`);

/** Path in the project -> path in the extension. */
const FILES = {
  LICENSE: 'LICENSE',
  'CHANGELOG.md': 'CHANGELOG.md',
  'docs/trap-report.schema.json': 'docs/trap-report.schema.json',
  'bin/lucetc-wasi.js': 'bin/lucetc-wasi.js',
  'bin/lucet-objdump.js': 'bin/lucet-objdump.js',
  media: 'media',
  'dist/native/liblucet.so': 'dist/native/liblucet.so',
  'dist/native/lucet-wasi': 'dist/native/lucet-wasi',
};

/** Of each package, what is loaded when it runs on Linux with the GNU C library; licences go along. */
const PACKAGES = {
  koffi: [
    'package.json',
    'LICENSE.txt',
    'index.js',
    'index.cjs',
    'src/koffi/index.js',
    'src/koffi/index.cjs',
    'src/koffi/src/static.js',
    'src/koffi/src/static.cjs',
  ],
  '@koromix/koffi-linux-x64': ['package.json', 'index.js', 'linux_x64/koffi.node'],
  wabt: ['package.json', 'LICENSE', 'index.js'],
  'gecko-profiler-demangle': ['package.json', 'LICENSE-APACHE', 'LICENSE-MIT', 'index_bg.wasm'],
  'iced-x86': ['package.json', 'LICENSE.txt', 'iced_x86.js', 'iced_x86_bg.wasm'],
};

/** The manifest without what is for those who work on it, or who have it from npm. */
function manifest() {
  const {
    scripts: _scripts,
    dependencies: _dependencies,
    devDependencies: _devDependencies,
    files: _files,
    private: _private,
    exports: _exports,
    bin: _bin,
    os: _os,
    cpu: _cpu,
    ...rest
  } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return `${JSON.stringify(rest, null, 2)}\n`;
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true, dereference: true });
}

rmSync(stage, { recursive: true, force: true });
await bundle({ dist, tools: TOOLS, minify: true, sourcemap: false });
writeFileSync(join(stage, 'package.json'), manifest());
// Links of docs/ lead elsewhere from the root.
const readme = readFileSync(join(root, 'docs/extension.md'), 'utf8');
writeFileSync(
  join(stage, 'README.md'),
  readme.replaceAll('](../', '](').replaceAll('](trap-report', '](docs/trap-report'),
);
for (const [from, to] of Object.entries(FILES)) copy(join(root, from), join(stage, to));
for (const [name, files] of Object.entries(PACKAGES)) {
  for (const file of files)
    copy(join(root, 'node_modules', name, file), join(dist, 'node_modules', name, file));
}
copy(join(root, '.vscodeignore'), join(stage, '.vscodeignore'));
await createVSIX({
  cwd: stage,
  packagePath,
  target: TARGET,
  // They lie beside the bundles already, reduced to what is loaded.
  dependencies: false,
  rewriteRelativeLinks: false,
  allowMissingRepository: true,
});
console.log(`${packagePath}: ${(statSync(packagePath).size / 1e6).toFixed(2)} MB`);
