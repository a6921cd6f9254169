/**
 * `npm run bench:wasi [-- --json] [--rounds N]`: WASI calls per second in lucet-wasi, Node's own WASI and, where
 * LUCET_WASMTIME names its library, wasmtime; the engines take turns in one run. Each measures itself inside of the
 * guest, so nothing of starting and compiling is counted.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clang } from '../../scripts/clang.ts';
import { scriptOptions } from '../../scripts/options.ts';

const USAGE = `Usage: npm run bench:wasi -- [options]
  --rounds N    of each engine (default 5)
  --json        rows
`;

/** As built: dist/, with bench/wasi in the project's folder. */
const dist = dirname(fileURLToPath(import.meta.url));
const source = join(dist, '../bench/wasi');

const OPERATIONS = [
  { name: 'write', n: 200_000, what: '1-byte fd_write' },
  { name: 'read', n: 20_000, what: '64 KiB fd_read' },
  { name: 'clock', n: 2_000_000, what: 'clock_time_get' },
  { name: 'open', n: 50_000, what: 'path_open + fd_close' },
  { name: 'readdir', n: 500_000, what: 'fd_readdir, entries' },
] as const;

interface Engine {
  readonly name: string;
  readonly command: readonly string[];
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function main(): Promise<void> {
  const values = scriptOptions(USAGE, { json: { type: 'boolean' }, rounds: { type: 'string' } });
  const rounds = Number(values.rounds ?? 5);
  const wasmtime = process.env.LUCET_WASMTIME;
  const dir = mkdtempSync(join(tmpdir(), 'lucet-bench-wasi-'));
  const sink = openSync('/dev/null', 'w');
  try {
    const at = (name: string): string => join(dir, name);
    mkdirSync(at('world/folder'), { recursive: true });
    writeFileSync(at('world/data'), Buffer.alloc(4 << 20));
    for (let i = 0; i < 200; i++) writeFileSync(at(`world/folder/entry-${i}`), '');
    writeFileSync(
      at('guest.wasm'),
      await clang({ 'guest.c': readFileSync(join(source, 'guest.c'), 'utf8') }, ['-O2']),
    );
    execFileSync(process.execPath, [join(dist, 'lucetc-wasi.js'), at('guest.wasm'), '-o', at('guest.so')]);
    const engines: Engine[] = [
      {
        name: 'lucet',
        command: [join(dist, 'native/lucet-wasi'), '--dir', `${at('world')}::/`, at('guest.so')],
      },
      {
        name: 'node',
        command: [process.execPath, '--no-warnings', join(source, 'node.mjs'), at('guest.wasm'), at('world')],
      },
    ];
    if (wasmtime !== undefined && existsSync(wasmtime)) {
      const driver = [process.execPath, join(dist, 'bench-wasi-wasmtime.js')];
      execFileSync(driver[0]!, [driver[1]!, '--precompile', wasmtime, at('guest.wasm'), at('guest.cwasm')]);
      engines.push({ name: 'wasmtime', command: [...driver, wasmtime, at('guest.cwasm'), at('world')] });
    }
    const run = (e: Engine, operation: string, n: number): number => {
      const [command, ...args] = [...e.command, operation, String(n)];
      const { status, stderr } = spawnSync(command!, args, {
        stdio: ['ignore', sink, 'pipe'],
        encoding: 'utf8',
      });
      const [ns, done] = stderr.trim().split(' ').map(Number);
      if (status !== 0 || !ns || !done) throw new Error(`${e.name} ${operation}: exit ${status}: ${stderr}`);
      return ns / done;
    };
    const rows: { engine: string; operation: string; nsPerCall: number; callsPerSecond: number }[] = [];
    for (const o of OPERATIONS) {
      const times = new Map(engines.map(e => [e, [] as number[]]));
      for (let r = 0; r < rounds; r++) for (const e of engines) times.get(e)!.push(run(e, o.name, o.n));
      for (const e of engines) {
        const nsPerCall = median(times.get(e)!);
        rows.push({ engine: e.name, operation: o.what, nsPerCall, callsPerSecond: 1e9 / nsPerCall });
      }
    }
    const starts = await startTimes(dir, wasmtime, sink);
    if (values.json) console.log(JSON.stringify({ calls: rows, start: starts }, null, 2));
    else {
      print(engines, rows);
      const cells = starts.map(r => `${r.engine} ${r.median.toFixed(2)} ms (least ${r.least.toFixed(2)})`);
      console.log(`whole process that prints a line, compiled beforehand: ${cells.join(', ')}`);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

interface StartTime {
  readonly engine: string;
  /** Milliseconds. */
  readonly median: number;
  readonly least: number;
}

/** Whole processes in turns: from starting to having ended. */
async function startTimes(dir: string, wasmtime: string | undefined, sink: number): Promise<StartTime[]> {
  const at = (name: string): string => join(dir, name);
  const hello = '#include <unistd.h>\nint main(void) { return write(1, "hello\\n", 6) != 6; }\n';
  writeFileSync(at('hello.wasm'), await clang({ 'hello.c': hello }, ['-O2']));
  execFileSync(process.execPath, [join(dist, 'lucetc-wasi.js'), at('hello.wasm'), '-o', at('hello.so')]);
  execFileSync('cc', ['-O2', '-std=gnu11', join(source, 'start.c'), '-o', at('start')]);
  const commands = [{ engine: 'lucet', command: [join(dist, 'native/lucet-wasi'), at('hello.so')] }];
  if (wasmtime !== undefined && existsSync(wasmtime)) {
    const driver = join(dist, 'bench-wasi-wasmtime.js');
    execFileSync(process.execPath, [driver, '--precompile', wasmtime, at('hello.wasm'), at('hello.cwasm')]);
    commands.push({ engine: 'wasmtime', command: [at('start'), wasmtime, at('hello.cwasm')] });
  }
  const all = commands.flatMap(({ command }, k) => (k === 0 ? command : ['--', ...command]));
  const { status, stderr } = spawnSync(at('start'), ['--time', '100', ...all], {
    stdio: ['ignore', sink, 'pipe'],
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`timing whole processes: ${stderr}`);
  return stderr
    .trim()
    .split('\n')
    .map((line, k) => {
      const times = line.split(' ').map(ns => Number(ns) / 1e6);
      return { engine: commands[k]!.engine, median: median(times), least: Math.min(...times) };
    });
}

function print(
  engines: readonly Engine[],
  rows: readonly { engine: string; operation: string; nsPerCall: number; callsPerSecond: number }[],
): void {
  const of = (operation: string, engine: string): number =>
    rows.find(r => r.operation === operation && r.engine === engine)!.callsPerSecond;
  console.log(`${'calls per second'.padEnd(22)}${engines.map(e => e.name.padStart(24)).join('')}`);
  for (const { what } of OPERATIONS) {
    const cells = engines.map(e => {
      const ratio =
        e.name === 'lucet' ? '' : ` (ours: x${(of(what, 'lucet') / of(what, e.name)).toFixed(1)})`;
      return `${Math.round(of(what, e.name)).toLocaleString('en')}${ratio}`.padStart(24);
    });
    console.log(`${what.padEnd(22)}${cells.join('')}`);
  }
}

await main();
