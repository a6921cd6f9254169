/** `npm run package`: what is in the VSIX, and that it runs from a folder that knows nothing of the project. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const vsix = join(root, 'lucet-linux-x64.vsix');
const folder = mkdtempSync(join(tmpdir(), 'lucet-vsix-'));
const extension = join(folder, 'extension');

let printed = '';
beforeAll(() => {
  const packing = spawnSync(process.execPath, [join(root, 'scripts', 'package.mjs')], { encoding: 'utf8' });
  printed = packing.stdout + packing.stderr;
  expect(packing.status, printed).toBe(0);
  execFileSync('python3', ['-m', 'zipfile', '-e', vsix, folder]);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Without NODE_PATH and far from the project's node_modules: what is loaded is what was packed. */
const run = (file: string, args: readonly string[]) =>
  spawnSync(file, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', HOME: folder, LUCET_NODE: process.execPath },
  });
const tool = (name: string, ...args: string[]) =>
  run(process.execPath, [join(extension, 'bin', `${name}.js`), ...args]);

describe('lucet-linux-x64.vsix', () => {
  it('holds what the extension needs and nothing else', () => {
    const files = readdirSync(extension, { recursive: true, encoding: 'utf8' }).filter(f =>
      statSync(join(extension, f)).isFile(),
    );
    const shared = files.filter(f => /^dist\/chunk-\w+\.js$/.test(f));
    expect(shared.length).toBeGreaterThan(0);
    expect(files.filter(f => !shared.includes(f)).sort()).toMatchSnapshot();
    expect(statSync(vsix).size).toBeLessThan(4e6);
  });

  it('is packed without a warning', () => {
    expect(printed).not.toMatch(/warn/i);
    expect(printed).toMatch(/^[^\n]*lucet-linux-x64\.vsix: [\d.]+ MB\n$/m);
  });

  it('has an icon of 128 by 128 pixels, as the list of extensions wants it', () => {
    const { icon } = JSON.parse(readFileSync(join(extension, 'package.json'), 'utf8'));
    const png = readFileSync(join(extension, icon));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([128, 128]);
    expect(readFileSync(join(folder, 'extension.vsixmanifest'), 'utf8')).toContain(
      `<Icon>extension/${icon}</Icon>`,
    );
  });

  it('has a manifest without what is for developers, for this platform', () => {
    const manifest = JSON.parse(readFileSync(join(extension, 'package.json'), 'utf8'));
    const without = ['scripts', 'devDependencies', 'dependencies', 'private', 'exports', 'bin', 'os', 'cpu'];
    expect(without.filter(key => key in manifest)).toEqual([]);
    expect(readFileSync(join(folder, 'extension.vsixmanifest'), 'utf8')).toContain(
      'TargetPlatform="linux-x64"',
    );
  });

  it('compiles, runs and disassembles', () => {
    const wat = join(folder, 'answer.wat');
    writeFileSync(wat, '(module (func (export "answer") (result i32) i32.const 6 i32.const 7 i32.mul))');
    const so = join(folder, 'answer.so');
    expect(tool('lucetc-wasi', wat, '-o', so)).toMatchObject({ status: 0, stderr: '' });
    const lucetWasi = join(extension, 'dist', 'native', 'lucet-wasi');
    // What unpacked it here keeps no modes; VS Code does, of what the archive says.
    const modes =
      'import sys,zipfile; print(oct(zipfile.ZipFile(sys.argv[1]).getinfo(sys.argv[2]).external_attr >> 16))';
    expect(run('python3', ['-c', modes, vsix, 'extension/dist/native/lucet-wasi']).stdout).toMatch(/755$/m);
    chmodSync(lucetWasi, 0o755);
    expect(run(lucetWasi, ['--invoke', 'answer', so])).toMatchObject({ status: 0, stdout: '42\n' });
    expect(run(lucetWasi, ['--invoke', 'answer', wat])).toMatchObject({ status: 0, stdout: '42\n' });
    expect(tool('lucet-objdump', '-d', so).stdout).toMatch(/mov eax, 0x2a|imul/);
  });
});
