/**
 * `npm run bench:instances -- [--json] [--rounds N] [--only live|borders|cycles]`: making, running and dropping
 * instances; calls across the border; many instances at a time. Lucet's guarded and dense regions, V8, and wasmtime
 * where `LUCET_WASMTIME` names its library (docs/instances.md says how to get it), in one run. What takes less time
 * than JavaScript's way in is measured by bench/native.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../compiler/index.ts';
import { scriptOptions } from '../scripts/options.ts';
import { guests } from './instances-modules.ts';
import { type Row, scriptRows } from './instances-script.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const USAGE = `Usage: npm run bench:instances -- [options]
  --only PART   live, borders or cycles (default: all)
  --rounds N    of each measurement (default 100)
  --json        rows {engine, metric, p50, p99, unit}
`;
const values = scriptOptions(USAGE, {
  json: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '100' },
  only: { type: 'string' },
});
if (!(Number(values.rounds) >= 1) || !['live', 'borders', 'cycles', undefined].includes(values.only)) {
  process.stderr.write(USAGE);
  process.exit(1);
}

/** Metrics are printed in the order in which they first appear. */
function table(rows: readonly Row[]): string {
  const engines = ['lucet-guarded', 'lucet-dense', 'v8', 'wasmtime', 'system'].filter(e =>
    rows.some(r => r.engine === e),
  );
  const metrics = [...new Set(rows.map(r => r.metric))];
  const cell = (r: Row | undefined): string => {
    if (r === undefined) return '–';
    const digits = (n: number) =>
      n >= 1000 ? Math.round(n).toLocaleString('en') : String(Number(n.toPrecision(3)));
    return r.p99 > 0 && r.p99 !== r.p50 ? `${digits(r.p50)} / ${digits(r.p99)}` : digits(r.p50);
  };
  const lines = metrics.map(metric => {
    const of = rows.filter(r => r.metric === metric);
    return [`${metric} (${of[0]!.unit})`, ...engines.map(e => cell(of.find(r => r.engine === e)))];
  });
  const all = [['p50 / p99', ...engines], ...lines];
  const widths = all[0]!.map((_, c) => Math.max(...all.map(line => line[c]!.length)));
  return all
    .map(line =>
      line.map((text, c) => (c === 0 ? text.padEnd(widths[c]!) : text.padStart(widths[c]!))).join('  '),
    )
    .join('\n');
}

function nativeRows(files: readonly string[]): Row[] {
  execFileSync('make', ['-s', '-C', join(root, 'runtime/native'), '../../dist/native/instances'], {
    stdio: 'inherit',
  });
  const options = ['--rounds', values.rounds];
  if (values.only !== undefined) options.push('--only', values.only);
  const { LUCET_WASMTIME: wasmtime } = process.env;
  if (wasmtime) options.push('--wasmtime', wasmtime);
  else console.error('wasmtime: left out, as LUCET_WASMTIME names no library');
  const run = spawnSync(join(root, 'dist/native/instances'), [...options, ...files], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 24,
  });
  if (run.status !== 0) process.exitCode = 1;
  return run.stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Row);
}

const modules = await guests(root);
const work = mkdtempSync(join(tmpdir(), 'lucet-instances-'));
try {
  const files = Object.entries(modules).flatMap(([name, wasm]) => {
    const paths = [`${name}.so`, `${name}-dense.so`, `${name}.wasm`].map(f => join(work, f));
    writeFileSync(paths[0]!, compile(wasm, {}));
    writeFileSync(paths[1]!, compile(wasm, { memory: 'dense' }));
    writeFileSync(paths[2]!, wasm);
    return paths;
  });
  const rows = [...nativeRows(files), ...scriptRows(modules, Number(values.rounds), values.only)];
  console.log(values.json ? JSON.stringify(rows, null, 1) : table(rows));
} finally {
  rmSync(work, { recursive: true, force: true });
}
