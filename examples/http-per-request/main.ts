/**
 * `npm run example:http [-- --seconds N]`: starts the server, loads it over loopback for that long (default: 10
 * seconds), in turns the WASI program and the plain function, and compares. Every response is checked. Exits with 1 if
 * one is wrong, or if the server's memory grows.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clang } from '../../scripts/clang.ts';
import { scriptOptions } from '../../scripts/options.ts';
import { handleInJavaScript } from './guest.ts';

const CONNECTIONS = 16;
const TURN_MS = 500;
/** Of the least to the most memory that the server had after its first turns. */
const MOST_GROWTH = 1.1;
/** About so many times the server's memory is asked for, which takes a whole collection. */
const MEMORY_SAMPLES = 12;
const WHICH = ['guest', 'javascript'] as const;
/** Until then V8 compiles. */
const WARM_UP_MS = 30_000;
/**
 * Node's young generation (MiB) is at its full size from the beginning. Left to itself it grows for some 100,000
 * requests, as much under the plain function as under instances, which would hide what an instance leaves behind.
 */
const YOUNG = ['--min-semi-space-size=16', '--max-semi-space-size=16'];

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

function post(port: number, path: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const r = request({ agent, host: '127.0.0.1', port, path, method: 'POST' }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    r.once('error', reject);
    r.end(body);
  });
}

/** Requests answered in one turn. @throws if an answer is wrong */
async function turn(port: number, milliseconds: number): Promise<number> {
  const until = performance.now() + milliseconds;
  let answered = 0;
  const connection = async (number: number): Promise<void> => {
    for (let k = 0; performance.now() < until; k++) {
      const path = `/page/${number}/${k}`;
      const body = `request ${k} of connection ${number}, ${'word '.repeat(k % 50)}`;
      const expected = handleInJavaScript(Buffer.from(`POST ${path}\n${body}`)).body.toString();
      const { status, text } = await post(port, path, body);
      if (status !== 200 || text !== expected)
        throw new Error(`${path}: ${status} ${text}, expected ${expected}`);
      answered++;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, k) => connection(k)));
  return answered;
}

interface Usage {
  /** Bytes resident. */
  readonly memory: number;
  /** Microseconds of processor time since the server's start. */
  readonly processor: number;
}

async function usage(server: ChildProcess, question: 'memory' | 'processor'): Promise<Usage> {
  server.send(question);
  const [message] = (await once(server, 'message')) as [Usage];
  return message;
}

async function main(): Promise<number> {
  const values = scriptOptions('Usage: npm run example:http -- [--seconds N] [--json]\n', {
    seconds: { type: 'string' },
    json: { type: 'boolean' },
  });
  const seconds = Number(values.seconds ?? 10);
  if (!(seconds >= 2 && seconds <= 3600)) {
    console.error('--seconds: from 2 to 3600');
    return 1;
  }
  const here = dirname(fileURLToPath(import.meta.url));
  const dir = mkdtempSync(join(tmpdir(), 'lucet-http-'));
  const source = readFileSync(join(here, '../examples/http-per-request/handler.c'), 'utf8');
  const wasm = join(dir, 'handler.wasm');
  writeFileSync(wasm, await clang({ 'handler.c': source }, ['-O2']));
  const server = fork(join(here, 'http-per-request-server.js'), [wasm], {
    execArgv: ['--expose-gc', ...YOUNG],
  });
  try {
    const [ports] = (await once(server, 'message')) as [{ guest: number; javascript: number }];
    // A guest that crashes is an error for one request only.
    const crash = await post(ports.guest, '/crash', '');
    if (crash.status !== 502 || !/out of bounds/.test(crash.text))
      throw new Error(`crash: ${crash.status} ${crash.text}`);
    const total = { guest: 0, javascript: 0 };
    const microseconds = { guest: 0, javascript: 0 };
    const turns = Math.max(2, Math.round((seconds * 1000) / TURN_MS / 2));
    const sizes: number[] = [];
    const warmUp = Math.min(turns / 3, WARM_UP_MS / TURN_MS / 2);
    // An odd number, so that each of the two comes first behind a collection as often as the other.
    const every = 2 * Math.floor(turns / MEMORY_SAMPLES / 2) + 1;
    let counted = 0;
    for (let k = 0; k < turns; k++) {
      // Whoever comes first has the server as a garbage collection left it.
      for (const which of k % 2 === 0 ? WHICH : [...WHICH].reverse()) {
        const before = await usage(server, 'processor');
        const answered = await turn(ports[which], TURN_MS);
        const after = await usage(server, 'processor');
        if (k < warmUp) continue;
        total[which] += answered;
        microseconds[which] += after.processor - before.processor;
      }
      if (k < warmUp) continue;
      counted += TURN_MS / 1000;
      if (k % every === 0) sizes.push((await usage(server, 'memory')).memory);
    }
    const half = sizes.slice(Math.floor(sizes.length / 2));
    const result = {
      instancesPerSecond: Math.round(total.guest / counted),
      functionPerSecond: Math.round(total.javascript / counted),
      ratio: total.guest / total.javascript,
      instanceProcessor: microseconds.guest / total.guest,
      functionProcessor: microseconds.javascript / total.javascript,
      firstRss: sizes[0]!,
      lastRss: sizes.at(-1)!,
      growth: Math.max(...half) / Math.max(...sizes.slice(0, half.length)),
    };
    if (values.json) console.log(JSON.stringify(result));
    else {
      const mb = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
      console.log(`a new instance for each request: ${result.instancesPerSecond} requests/s`);
      console.log(`a plain function:                ${result.functionPerSecond} requests/s`);
      console.log(
        `ratio: ${(100 * result.ratio).toFixed(0)} %; all ${total.guest + total.javascript} responses right`,
      );
      console.log(
        `server's processor time: ${result.instanceProcessor.toFixed(1)} and ${result.functionProcessor.toFixed(1)} µs a request`,
      );
      console.log(`server's memory: ${mb(result.firstRss)} at first, ${mb(result.lastRss)} at last`);
    }
    return result.growth <= MOST_GROWTH ? 0 : 1;
  } finally {
    server.kill();
    agent.destroy();
    rmSync(dir, { recursive: true });
  }
}

process.exitCode = await main();
