/**
 * `npm run bench:debug [-- --runs N] [--json FILE]`: how long a person waits for the debugger, on a module with 1 MB of
 * code and its DWARF: from F5 (the adapter's process starts) to the first breakpoint, when the module has never been
 * compiled and when it has; and for each kind of step, from the request until its frame is known.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import { decodeModule } from '../compiler/wasm/decode.ts';
import { clang } from '../scripts/clang.ts';

const ADAPTER = resolve(import.meta.dirname, 'debug-adapter.cjs');
const FUNCTIONS = 3_800;
const GROUP = 100;
const STEPS = 200;

/** A loop over 3,800 functions, each about 260 bytes of unoptimised code. */
function source(): string {
  const lines = ['#include <stdio.h>', 'struct state { int a, b; double c; };'];
  for (let i = 0; i < FUNCTIONS; i++)
    lines.push(
      `static int f${i}(struct state *s, int n) {`,
      `  int sum = n;`,
      `  for (int i = 0; i < n; i++) {`,
      `    s->a = s->a * ${i + 3} + i;`,
      `    if ((s->a & ${(i % 7) + 1}) != 0) s->b ^= sum; else s->c += s->a * 0.5;`,
      `    sum += s->b % ${i + 11};`,
      `  }`,
      `  return sum;`,
      `}`,
    );
  // Functions of a person's size: clang takes minutes for one with all the calls.
  for (let from = 0; from < FUNCTIONS; from += GROUP) {
    lines.push(`static int group${from}(struct state *s) {`, '  int all = 0;');
    for (let i = from; i < Math.min(from + GROUP, FUNCTIONS); i++)
      lines.push(`  all += f${i}(s, 3);${i === 0 ? ' // HERE' : ''}`);
    lines.push('  return all;', '}');
  }
  lines.push('int main(void) {', '  struct state s = {1, 2, 3.0};', '  int all = 0;', '  for (;;) {');
  for (let from = 0; from < FUNCTIONS; from += GROUP) lines.push(`    all += group${from}(&s);`);
  lines.push('    if (all == 1) break;', '  }', '  printf("%d\\n", all);', '  return 0;', '}');
  return lines.join('\n');
}

interface Row {
  readonly metric: string;
  readonly p50: number;
  readonly p99: number;
  readonly unit: 'ms';
}

function row(metric: string, ms: number[]): Row {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (q: number): number =>
    Number(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!.toFixed(2));
  return { metric, p50: at(0.5), p99: at(0.99), unit: 'ms' };
}

/** Kept: npm's clang takes minutes for it. */
const dir = resolve(import.meta.dirname, 'bench-debug');
const module = join(dir, 'large.wasm');
const text = source();
const line = text.split('\n').findIndex(l => l.includes('// HERE')) + 1;
const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const runs = Number(option('--runs') ?? 5);

/** A session that stands at its breakpoint, and the time that took. */
async function launch(cache: string): Promise<{ client: DebugClient; ms: number }> {
  const client = new DebugClient(
    'node',
    ADAPTER,
    'lucet',
    { env: { ...process.env, XDG_CACHE_HOME: cache } },
    true,
  );
  client.defaultTimeout = 120_000;
  const from = performance.now();
  await client.start();
  await client.initializeRequest();
  const stopped = client.waitForEvent('stopped');
  const launched = client.launchRequest({ program: module, cwd: dir } as never);
  await client.waitForEvent('initialized');
  await client.setBreakpointsRequest({ source: { path: join(dir, 'large.c') }, breakpoints: [{ line }] });
  await client.configurationDoneRequest();
  await launched;
  await stopped;
  await top(client);
  return { client, ms: performance.now() - from };
}

async function top(client: DebugClient): Promise<void> {
  const { stackFrames } = (await client.stackTraceRequest({ threadId: 1, levels: 20 })).body;
  const { scopes } = (await client.scopesRequest({ frameId: stackFrames[0]!.id })).body;
  await client.variablesRequest({ variablesReference: scopes[0]!.variablesReference });
}

async function step(client: DebugClient, command: 'next' | 'stepIn' | 'stepOut'): Promise<number> {
  const from = performance.now();
  const stopped = client.waitForEvent('stopped');
  await client.send(command, { threadId: 1 });
  await stopped;
  await top(client);
  return performance.now() - from;
}

mkdirSync(dir, { recursive: true });
const caches = mkdtempSync(join(tmpdir(), 'lucet-bench-debug-'));
try {
  if (!existsSync(module) || readFileSync(join(dir, 'large.c'), 'utf8') !== text) {
    console.error('compiling the program to debug ...');
    const made = await clang({ 'large.c': text }, ['-g', '-O0', `-fdebug-compilation-dir=${dir}`]);
    writeFileSync(join(dir, 'large.c'), text);
    writeFileSync(module, made);
  }
  const wasm = readFileSync(module);
  const bodies = decodeModule(wasm).bodies;
  const code = bodies.reduce((sum, b) => sum + b.end - b.start, 0);
  console.log(
    `${(code / 1e6).toFixed(2)} MB of code, ${(wasm.length / 1e6).toFixed(2)} MB with its debug information`,
  );

  const first: number[] = [];
  const again: number[] = [];
  const steps = { next: [] as number[], stepIn: [] as number[], stepOut: [] as number[] };
  for (let i = 0; i < runs; i++) {
    const cache = join(caches, `${i}`);
    const cold = await launch(cache);
    first.push(cold.ms);
    await cold.client.stop();
    const warm = await launch(cache);
    again.push(warm.ms);
    if (i === runs - 1)
      for (let n = 0; n < STEPS; n++) {
        steps.stepIn.push(await step(warm.client, 'stepIn'));
        steps.next.push(await step(warm.client, 'next'));
        steps.stepOut.push(await step(warm.client, 'stepOut'));
        await step(warm.client, 'next');
      }
    await warm.client.stop();
  }
  const rows = [
    row('F5 to the first breakpoint, never compiled', first),
    row('F5 to the first breakpoint, compiled before', again),
    row('step over', steps.next),
    row('step into', steps.stepIn),
    row('step out', steps.stepOut),
  ];
  for (const r of rows) console.log(`${r.metric.padEnd(44)} p50 ${r.p50} ms   p99 ${r.p99} ms`);
  const json = option('--json');
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
} finally {
  rmSync(caches, { recursive: true, force: true });
}
