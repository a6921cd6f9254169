/**
 * Builds the programs that are debugged in tests (scripts/debug-programs/), each by its language's own compiler,
 * without optimisation.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import { translateWat } from '../compiler/wasm/wat.ts';
import { asc } from './asc.ts';
import { clang } from './clang.ts';
import { type DebugProgram, writeProgram } from './debug-check.ts';

const root = resolve(import.meta.dirname, '..');
export const PROGRAMS = join(root, 'scripts/debug-programs');
const RUSTC = '/usr/bin/rustc';

export const hasRust = (): boolean =>
  existsSync(RUSTC) && spawnSync('wasm-ld-14', ['--version']).status === 0;

/**
 * @param name a file of PROGRAMS
 * @param text what is built in its place, if another
 */
export async function buildProgram(
  name: string,
  dir: string,
  text = readFileSync(join(PROGRAMS, name), 'utf8'),
): Promise<DebugProgram> {
  const base = name.replace(/\.\w+$/, '');
  const out = join(dir, `${base}.wasm`);
  const source = join(dir, name);
  switch (extname(name)) {
    case '.rs':
      for (const file of [name, 'show.rs']) copyFileSync(join(PROGRAMS, file), join(dir, file));
      execFileSync(
        RUSTC,
        ['--target', 'wasm32-wasi', '-g', '-C', 'linker=wasm-ld-14', '-A', 'warnings', source, '-o', out],
        { stdio: 'pipe' },
      );
      return { program: out, wasm: readFileSync(out), source };
    case '.ts':
      asc(dir, { [name]: text, 'show.ts': readFileSync(join(PROGRAMS, 'show.ts'), 'utf8') }, [
        '--sourceMap',
        '--debug',
        '--use',
        'abort=',
      ]);
      return { program: out, wasm: readFileSync(out), source };
    case '.wat': {
      // In front, where imports have to be, and in one line: the program's own stay where they are.
      const show = readFileSync(join(PROGRAMS, 'show.wat'), 'utf8').replace(/;;.*/g, '').replace(/\s+/g, ' ');
      const whole = text.replace(/^\(module/m, () => `(module ${show}`);
      writeFileSync(source, whole);
      return { program: source, wasm: await translateWat(name, Buffer.from(whole)), source };
    }
    default: {
      const files = { [name]: text, 'show.h': readFileSync(join(PROGRAMS, 'show.h'), 'utf8') };
      const flags = ['-O0', '-g', '-fno-exceptions', '-fdebug-compilation-dir=.'];
      return writeProgram(dir, name, text, await clang(files, flags));
    }
  }
}
