/**
 * `npm run demo`: the whole way on the programs of examples/: C source -> .wasm (clang from npm) -> .so (lucetc-wasi)
 * -> run (lucet-wasi), with sizes and times, a trap explained included. Exits 1 if anything is not as it should be.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { clang } from './clang.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const examples = join(root, 'examples');
const out = join(root, 'dist', 'demo');

interface Run {
  readonly args: readonly string[];
  /** Options of lucet-wasi. */
  readonly options?: readonly string[];
  readonly exit: number;
  /** What must be printed on stdout, and on stderr, somewhere. */
  readonly stdout: string;
  readonly stderr?: readonly RegExp[];
}

interface Example {
  readonly source: string;
  readonly about: string;
  readonly runs: (work: string) => readonly Run[];
}

const EXAMPLES: readonly Example[] = [
  {
    source: 'hello.c',
    about: 'the smallest program, without and with an argument',
    runs: () => [
      { args: [], exit: 0, stdout: 'Hello, world!\n' },
      { args: ['world'], exit: 0, stdout: 'Hello from Lucet, world!\n' },
    ],
  },
  {
    source: 'files.c',
    about: 'reads and writes files, in the one folder it was granted',
    runs: work => {
      writeFileSync(join(work, 'poem.txt'), 'one two three\nfour five\n');
      return [
        {
          options: ['--dir', `${work}::/data`],
          args: ['/data/poem.txt', '/data/report.txt'],
          exit: 0,
          stdout: 'wrote /data/report.txt: 2 lines, 5 words, 24 bytes\n',
        },
        { args: ['/data/poem.txt', '/data/report.txt'], exit: 1, stdout: '', stderr: [/poem\.txt/] },
      ];
    },
  },
  {
    source: 'trap.c',
    about: 'reads outside of its heap, three calls deep',
    runs: () => [
      { args: [], exit: 134, stdout: 'summing\n', stderr: [/HeapOutOfBounds/, /read_cell/, /trap\.c:\d+/] },
    ],
  },
  {
    source: 'primes.c',
    about: 'computes for a second',
    runs: () => [{ args: [], exit: 0, stdout: '2433654 primes below 40000000, 148933 below 2000000\n' }],
  },
];

const kb = (n: number) => `${(n / 1024).toFixed(1)} KB`;
const ms = (n: number) => `${n.toFixed(0)} ms`;

function tool(
  name: string,
  args: readonly string[],
): { status: number; stdout: string; stderr: string; ms: number } {
  const from = performance.now();
  const options = { encoding: 'utf8', cwd: root } as const;
  const r =
    name === 'lucet-wasi'
      ? spawnSync(join(root, 'bin', name), args, options)
      : spawnSync(process.execPath, [join(root, 'bin', `${name}.js`), ...args], options);
  if (r.error) throw r.error;
  return { status: r.status ?? 128, stdout: r.stdout, stderr: r.stderr, ms: performance.now() - from };
}

/** What a run printed, or did, other than expected; null if all is well. */
function mismatch(run: Run, got: { status: number; stdout: string; stderr: string }): string | null {
  if (got.status !== run.exit) return `exit code ${got.status}, expected ${run.exit}`;
  if (got.stdout !== run.stdout) return `stdout is not ${JSON.stringify(run.stdout)}`;
  const missing = run.stderr?.find(re => !re.test(got.stderr));
  return missing ? `stderr lacks ${missing}` : null;
}

const indent = (text: string) => text.replace(/^(?=.)/gm, '    ');

async function demo(): Promise<number> {
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'lucet-demo-'));
  let failed = 0;
  try {
    for (const { source, about, runs } of EXAMPLES) {
      const stem = basename(source, '.c');
      const wasm = join(out, `${stem}.wasm`);
      const so = join(out, `${stem}.so`);
      console.log(`\n${pc.bold(`examples/${source}`)}: ${about}`);

      const from = performance.now();
      // Compiled under the path that it has from the project's folder: that is where a trap's report will look for it.
      const path = `examples/${source}`;
      const text = readFileSync(join(examples, source), 'utf8');
      writeFileSync(wasm, await clang({ [path]: text }, ['-g', '-O1', '-fdebug-compilation-dir=.']));
      console.log(
        `  clang       ${kb(statSync(wasm).size)} of wasm with debug information, ${ms(performance.now() - from)}`,
      );

      const compiled = tool('lucetc-wasi', [wasm, '-o', so]);
      if (compiled.status !== 0) {
        failed++;
        console.log(pc.red(`  lucetc-wasi failed:\n${indent(compiled.stderr)}`));
        continue;
      }
      console.log(
        `  lucetc-wasi ${kb(statSync(so).size)} of native code, tables and debug information, ${ms(compiled.ms)}`,
      );

      for (const run of runs(work)) {
        const options = run.options ?? [];
        const got = tool('lucet-wasi', [...options, so, ...run.args]);
        console.log(pc.cyan(`  $ lucet-wasi ${[...options, relative(root, so), ...run.args].join(' ')}`));
        process.stdout.write(indent(got.stdout) + pc.yellow(indent(got.stderr)));
        const wrong = mismatch(run, got);
        if (wrong) failed++;
        console.log(
          `  ${wrong ? pc.red(`NOT as expected: ${wrong}`) : pc.green('as expected')}: exit code ${got.status}, ${ms(got.ms)}`,
        );
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(
    failed === 0
      ? pc.green('\nAll examples did what they should.')
      : pc.red(`\n${failed} of the runs failed.`),
  );
  return failed === 0 ? 0 : 1;
}

process.exitCode = await demo();
