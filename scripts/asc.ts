/**
 * AssemblyScript to WebAssembly, by the compiler that comes from npm. What it makes is kept as clang's is (clang.ts).
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const modules = resolve(import.meta.dirname, '../node_modules');
const KEPT = join(modules, '.cache/lucet-asc');

/**
 * Writes sources and the module of the first one, named like it, into a folder.
 * @param files name -> text
 * @param flags of asc
 * @throws with asc's messages
 */
export function asc(dir: string, files: Readonly<Record<string, string>>, flags: readonly string[]): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const [first] = Object.keys(files);
  const module = `${first!.replace(/\.ts$/, '')}.wasm`;
  const { version } = JSON.parse(readFileSync(join(modules, 'assemblyscript/package.json'), 'utf8')) as {
    version: string;
  };
  const key = createHash('sha256')
    .update(JSON.stringify([version, files, flags]))
    .digest('hex');
  const kept = join(KEPT, key);
  if (!existsSync(kept)) keep(kept, files, [first!, '-o', module, ...flags]);
  for (const name of [module, `${module}.map`])
    if (existsSync(join(kept, name))) writeFileSync(join(dir, name), readFileSync(join(kept, name)));
}

function keep(kept: string, files: Readonly<Record<string, string>>, args: readonly string[]): void {
  const work = mkdtempSync(join(tmpdir(), 'lucet-asc-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text);
    execFileSync(process.execPath, [join(modules, 'assemblyscript/bin/asc.js'), ...args], {
      cwd: work,
      stdio: 'pipe',
    });
    // By a rename: other processes see all of it or nothing.
    const partial = `${kept}.${process.pid}`;
    mkdirSync(partial, { recursive: true });
    for (const name of [args[2]!, `${args[2]}.map`])
      if (existsSync(join(work, name))) writeFileSync(join(partial, name), readFileSync(join(work, name)));
    if (!existsSync(kept)) renameSync(partial, kept);
    rmSync(partial, { recursive: true, force: true });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
