/**
 * `npm run wasi-mutants [-- GUARD…]`: takes each protection of runtime/native/wasi_guards.h out in turn and wants an
 * attack to succeed (runtime/native/test/wasi_attack/ to fail). One that can be missed without that protects nothing,
 * or isn't tested. Exits with 1 then.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = join(dirname(fileURLToPath(import.meta.url)), '../runtime/native');
/** A build and a run; what hangs is ended by its own alarm long before. */
const LIMIT_MS = 300_000;

const FLAGS = [
  '-std=gnu11',
  '-g',
  '-O0',
  '-pthread',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
];

interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

function run(command: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout: LIMIT_MS, killSignal: 'SIGKILL' });
    let output = '';
    const take = (text: string): void => {
      if (output.length < 4096) output += text;
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, output }));
  });
}

/** Outcome of the attacks without a protection. @throws if the program can't be built */
async function attackWithout(guard: string, dir: string): Promise<Outcome> {
  const program = join(dir, guard);
  const world = join(dir, `${guard}-world`);
  mkdirSync(world);
  const attacks = readdirSync(join(native, 'test/wasi_attack')).map(f => `test/wasi_attack/${f}`);
  const sources = [...readdirSync(native), 'test/wasi_host.c', ...attacks].filter(f =>
    /^(?:test\/wasi_attack\/\w+|(?:test\/)?wasi\w*)\.c$/.test(f),
  );
  const built = await run('cc', [
    ...FLAGS,
    `-DLUCET_GUARD_OFF=GUARD_${guard}`,
    ...sources.map(f => join(native, f)),
    '-o',
    program,
  ]);
  if (built.code !== 0) throw new Error(`without ${guard}: it can't be built:\n${built.output}`);
  return run(program, [world]);
}

async function main(): Promise<number> {
  const header = readFileSync(join(native, 'wasi_guards.h'), 'utf8');
  const known = [...header.matchAll(/^ {2}X\((\w+)\)/gm)].map(m => m[1]!);
  const asked = process.argv.slice(2);
  const wrong = asked.find(g => !known.includes(g));
  if (wrong !== undefined) {
    console.error(`there is no protection ${wrong}; known: ${known.join(', ')}`);
    return 1;
  }
  const guards = ['NONE', ...(asked.length > 0 ? asked : known)];
  const dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-mutants-'));
  let passed = 0;
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (let guard = guards.shift(); guard !== undefined; guard = guards.shift()) {
      const { code, signal, output } = await attackWithout(guard, dir);
      const resisted = code === 0;
      const good = resisted === (guard === 'NONE');
      if (good) passed++;
      else failed++;
      const first = output.trim().split('\n', 1)[0]!.slice(0, 120);
      const how = signal ?? `exit ${code}`;
      console.log(
        `${good ? 'ok    ' : 'FAILED'} ${guard}: ${resisted ? 'attacks fail' : how}${first === '' ? '' : `: ${first}`}`,
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
