/**
 * A folder of C programs (NAME.c, headers beside them) as workloads: WebAssembly by npm's clang, and, so that it can be
 * said how far from native code Lucet's is, the source beside it. What a program must print is what the host's own
 * compiler makes it print.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clang } from '../scripts/clang.ts';
import { findProgram, nativeCompiler, ROOT, scratchFolder } from './engine-cc.ts';
import { type Expected, findWorkloads, type Workload } from './workload.ts';

const ending = (folder: string, end: string): string[] =>
  readdirSync(folder).filter(name => name.endsWith(end));

/** Does a folder hold sources rather than modules? */
export function hasSources(path: string): boolean {
  return statSync(path).isDirectory() && ending(path, '.c').length > 0;
}

function expectedOf(source: string, scratch: string): Expected | null {
  const cc = findProgram('gcc') ? 'gcc' : nativeCompiler();
  if (cc === undefined) return null;
  const program = join(scratch, 'expected');
  // At -O1, since what is judged by it are -O3's of other compilers.
  execFileSync(cc, [
    ...['-O1', '-w', source, join(ROOT, 'bench', 'native', 'native-host.c')],
    ...['-lm', '-o', program],
  ]);
  const { status, stdout } = spawnSync(program, {
    env: { LUCET_BENCH_TIME: join(scratch, 'time') },
    encoding: 'utf8',
  });
  return { exit: status ?? -1, stdout, stderr: '' };
}

/**
 * @param folder NAME.c, and headers
 * @param flags of clang for WebAssembly, e.g. ['-O3', '-msimd128']
 * @returns the workloads, in a folder that goes with this process
 */
export async function buildPrograms(folder: string, flags: readonly string[]): Promise<Workload[]> {
  const scratch = scratchFolder();
  const headers = ending(folder, '.h');
  const texts = Object.fromEntries(headers.map(name => [name, readFileSync(join(folder, name), 'utf8')]));
  const expected: Record<string, Expected> = {};
  for (const file of ending(folder, '.c')) {
    const name = file.slice(0, -2);
    const source = join(folder, file);
    mkdirSync(join(scratch, name));
    for (const each of [file, ...headers]) copyFileSync(join(folder, each), join(scratch, name, each));
    const files = { [file]: readFileSync(source, 'utf8'), ...texts };
    writeFileSync(join(scratch, name, `${name}.wasm`), await clang(files, flags));
    const prints = expectedOf(source, scratch);
    if (prints) expected[name] = prints;
  }
  writeFileSync(join(scratch, 'expected.json'), JSON.stringify(expected));
  return findWorkloads(scratch, []);
}
