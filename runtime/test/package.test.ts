/**
 * What `npm pack` makes, unpacked into an empty project: what README says of embedding it. Its dependencies are the
 * project's own, linked; with LUCET_INSTALL=1 npm installs all of it.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeWat } from '../../compiler/wat/translate.ts';
import { describeNative } from './support/guest.ts';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const project = mkdtempSync(join(tmpdir(), 'lucet-package-'));
const bin = join(project, 'node_modules', '.bin');
const run = (file: string, ...args: string[]) =>
  execute(file, args, { cwd: project, env: { PATH: `${bin}:${process.env.PATH}`, HOME: project } });

/** Puts the packed files where npm would. */
async function unpack(tarball: string): Promise<void> {
  const modules = join(project, 'node_modules');
  mkdirSync(bin, { recursive: true });
  await run('tar', '-xzf', tarball, '-C', modules, '--transform', 's,^package,lucet,');
  for (const name of Object.keys(manifest.dependencies))
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  for (const [name, file] of Object.entries<string>(manifest.bin))
    symlinkSync(join(modules, 'lucet', file), join(bin, name));
}

const wat = `(module (import "env" "log" (func $log (param i32)))
  (func (export "run") (param i32) (result i32) (call $log (local.get 0)) (i32.mul (local.get 0) (i32.const 2))))`;

beforeAll(async () => {
  // The rest of what `prepack` does has been done: all tests need it.
  await execute(process.execPath, [join(root, 'scripts/types.mjs')]);
  const packed = await execute('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
    cwd: root,
    maxBuffer: 64 << 20,
  });
  const tarball = join(project, JSON.parse(packed.stdout)[0].filename);
  writeFileSync(join(project, 'package.json'), '{"type": "module"}\n');
  if (process.env.LUCET_INSTALL)
    await execute('npm', ['install', '--no-audit', '--no-fund', tarball], { cwd: project });
  else await unpack(tarball);
  const types = join(project, 'node_modules', '@types');
  mkdirSync(types, { recursive: true });
  symlinkSync(join(root, 'node_modules/@types/node'), join(types, 'node'));
  symlinkSync(join(root, 'node_modules/undici-types'), join(project, 'node_modules/undici-types'));
  writeFileSync(join(project, 'app.wasm'), await encodeWat('app.wat', Buffer.from(wat)));
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const example = /^## Embedding\n[\s\S]*?```ts\n([\s\S]*?)```/m.exec(readme)![1]!;
/**
 * All that is written in TypeScript, in one run of its compiler, which takes seconds to begin: what it complains of.
 */
async function compileTypeScript(): Promise<string> {
  writeFileSync(join(project, 'example.ts'), example);
  writeFileSync(
    join(project, 'wrong.ts'),
    "import { compile } from 'lucet';\nexport const n: number = compile;\n",
  );
  writeFileSync(
    join(project, 'both.cts'),
    "import lucet = require('lucet');\nimport('lucet').then(m => console.log(m.Instance === lucet.Instance, lucet.hasLibrary()));\n",
  );
  const options = ['--strict', '--module', 'nodenext', '--types', 'node'];
  const files = ['example.ts', 'wrong.ts', 'both.cts'];
  const { stdout } = await run(join(root, 'node_modules/.bin/tsc'), ...options, ...files).catch(e => e);
  return stdout;
}

describeNative('the npm package', () => {
  it("runs README's example, with its types checked, also when it is required", async () => {
    expect(await compileTypeScript()).toMatch(
      /^wrong\.ts\(2,14\): error TS2322: .*Uint8Array.*\n(?: .*\n)*$/,
    );
    expect((await run(process.execPath, 'example.js')).stdout).toBe('42\n42\n84\n');
    expect((await run(process.execPath, 'both.cjs')).stdout).toBe('true true\n');
  });

  it('has commands that run', async () => {
    await run('lucetc', join(root, 'examples/embed.wat'), '-o', 'embed.so');
    expect((await run('lucet-wasi', '--invoke', 'gcd', 'embed.so', '48', '36').catch(e => e)).stderr).toMatch(
      /host\.log/,
    );
    expect((await run('lucet-objdump', 'embed.so')).stdout).toContain('gcd');
    expect((await run('lucet-config', '--version')).stdout).toBe(`${manifest.version}\n`);
    await expect(run('lucet-config', '--lib')).rejects.toMatchObject({
      code: 1,
      stderr: 'lucet-config: unknown option --lib (see lucet-config --help)\n',
    });
  });

  it('has the debug adapter, which runs what it is asked to', async () => {
    expect((await run('lucet-dap', '--version')).stdout).toBe(`lucet-dap ${manifest.version}\n`);
    await expect(run('lucet-dap', '--port=1')).rejects.toMatchObject({
      code: 1,
      stderr: 'lucet-dap: unknown option --port=1 (see lucet-dap --help)\n',
    });
    const adapter = spawn(join(bin, 'lucet-dap'), { cwd: project, stdio: ['pipe', 'pipe', 'inherit'] });
    const ask = (seq: number, command: string, args: object) => {
      const text = JSON.stringify({ seq, type: 'request', command, arguments: args });
      adapter.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    };
    writeFileSync(
      join(project, 'exits.wasm'),
      await encodeWat(
        'exits.wat',
        Buffer.from(`(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))`),
      ),
    );
    ask(1, 'initialize', { adapterID: 'lucet' });
    ask(2, 'launch', { program: join(project, 'exits.wasm') });
    ask(3, 'configurationDone', {});
    let said = '';
    for await (const chunk of adapter.stdout) {
      said += chunk;
      if (said.includes('"terminated"')) break;
    }
    adapter.kill();
    expect(said).toMatch(/"event":"exited","body":\{"exitCode":7\}/);
  });

  it('has what a C program takes, where lucet-config says', async () => {
    await run('lucetc', 'node_modules/lucet/examples/embed.wat', '-o', 'embed.so');
    const command =
      'cc -Wall -Werror node_modules/lucet/examples/embed.c $(lucet-config --cflags --libs) -o embed';
    expect(readme).toContain(command.replace('-Wall -Werror node_modules/lucet/examples/', ''));
    await run('sh', '-c', command);
    expect((await run('./embed', 'embed.so')).stdout).toMatch(/^gcd 21$/m);
    writeFileSync(join(project, 'wasi.c'), '#include <wasi.h>\nint main(void) { return 0; }\n');
    await run('sh', '-c', 'cc -Wall -Werror wasi.c $(lucet-config --cflags --libs) -o wasi && ./wasi');
  });

  it('holds nothing of the tests or of the machine that packed it', async () => {
    const { stdout } = await run('tar', '-tzf', `lucet-${manifest.version}.tgz`);
    expect(stdout).not.toMatch(/\/test\/|\.map$|node_modules/m);
    const bundle = readFileSync(join(project, 'node_modules/lucet/dist/lucet.cjs'), 'utf8');
    expect(bundle.includes(root)).toBe(false);
  });
});
