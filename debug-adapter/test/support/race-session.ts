/**
 * Sessions that are ended while requests are under way, of one adapter that serves them all: what one leaves behind
 * meets the next. A program is brought somewhere, then a burst of requests goes out with an end of the session anywhere
 * in it, and at once, or not, the next session begins, with the same program, as after a restart.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../../scripts/fuzz/random.ts';
import type { AdapterServer } from './adapter-server.ts';
import { delay, type RawSocket } from './raw-client.ts';

export const SOURCE = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
struct part { int numbers[100]; struct part *next; double weight; };
static struct part all[2000];
static int total;
int step(int n) {
  struct part local[40]; // STEP
  memset(local, n, sizeof local);
  local[0].next = &all[n % 2000]; // SET
  all[n % 2000].numbers[n % 100] += local[3].numbers[4]; // ADD
  return total += n; // RETURN
}
int main(int argc, char **argv) {
  char c, line[16];
  for (int n = 0;; n++) { // LOOP
    step(n);
    switch (argv[1][0]) {
      case 'r': if (read(0, line, sizeof line) < 1) return 1; break;
      case 'f': printf("%d floods the console\\n", n); break;
      case 's': usleep(n % 2 ? 500 : 100000); break;
      case 't': if (n == 3) return *(int *)0x7fff0000; break;
      case 'e': if (n == 3) exit(3); break;
    }
  }
}
`;
const MARKS = ['STEP', 'SET', 'ADD', 'RETURN', 'LOOP'];
const LINES = MARKS.map(mark => SOURCE.split('\n').findIndex(l => l.includes(`// ${mark}`)) + 1);
const MODES = ['read', 'flood', 'sleep', 'spin', 'trap', 'exit'] as const;
const EXPRESSIONS = [
  'all',
  'local',
  'all[5].numbers',
  'total = 5',
  'local[0].next->next',
  '*&all[1]',
  '$mem32[1024]',
  '((',
];
const ENDS = [
  'disconnect',
  'disconnect',
  'restart',
  'terminate',
  'terminate-disconnect',
  'gone',
  'half',
] as const;
/** Milliseconds after which something hangs. */
const PATIENCE = 15_000;

/** What sessions came to see: an attack on nothing proves nothing. */
export const seen = { stops: 0, exits: 0 };

export class RaceSession {
  private readonly log: string[] = [];
  private readonly faults: string[] = [];
  private ids: { frames: number[]; variables: number[] } = { frames: [0], variables: [0] };

  private constructor(
    private readonly random: Random,
    private readonly client: RawSocket,
    private readonly dir: string,
    private readonly mode: (typeof MODES)[number],
  ) {}

  /** One to its end, in peace. */
  static async first(server: AdapterServer, dir: string): Promise<void> {
    const client = await server.connectRaw();
    await client.launch({ program: join(dir, 'race.wasm'), cwd: dir, args: ['exit'] });
    await client.event('terminated');
    await client.request('disassemble', { memoryReference: '0x10', instructionCount: 1 });
    await client.request('disconnect');
    client.socket.end();
    await client.ended;
  }

  /** @returns what was wrong; '': nothing */
  static async run(random: Random, server: AdapterServer, dir: string, count: number): Promise<string> {
    const before = { files: server.openFiles().length, threads: server.threadCount };
    const input = openSync(join(dir, 'input'), constants.O_RDWR | constants.O_NONBLOCK);
    const all: Promise<string>[] = [];
    for (let n = 0; n < count && server.isAlive; n++) {
      const seed = new Random(random.below(2 ** 31));
      const session = new RaceSession(seed, await server.connectRaw(), dir, MODES[n % MODES.length]!);
      all.push(session.whole(input));
      // The next one begins when this one has ended, or when it is about to.
      await (random.below(2) === 0 ? all.at(-1) : session.isEnding);
    }
    const faults = (await Promise.all(all)).filter(f => f !== '');
    closeSync(input);
    if (!server.isAlive) faults.push('the adapter has ended');
    if (/^\s+at /m.test(server.stderr)) faults.push(server.stderr);
    const left = (): string[] => [
      ...(server.isAlive && server.openFiles().length > before.files
        ? [`left open: ${server.openFiles().sort().join(' ')}`]
        : []),
      ...(server.isAlive && server.threadCount > before.threads + THREADS_KEPT ? ['threads are left'] : []),
    ];
    for (let n = 0; n < PATIENCE / 50 && left().length > 0; n++) await delay(50);
    return [...faults, ...left()].join('\n\n');
  }

  private isConfigured = false;
  private ending: () => void = () => {};
  readonly isEnding = new Promise<void>(resolve => {
    this.ending = resolve;
  });

  private of<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!;
  }

  private chance(percent: number): boolean {
    return this.random.below(100) < percent;
  }

  private send(command: string, args?: object): number {
    const seq = this.client.send(command, args);
    this.log.push(`${seq} ${command} ${JSON.stringify(args ?? {}).slice(0, 120)}`);
    return seq;
  }

  private readonly requests: readonly (() => number)[] = [
    () => this.send('pause', { threadId: 1 }),
    () => this.send('pause', { threadId: 1 }),
    () => this.send('continue', { threadId: 1 }),
    () => this.send('next', { threadId: 1 }),
    () => this.send('stepIn', { threadId: 1 }),
    () => this.send('stepOut', { threadId: 1 }),
    () => this.send('stackTrace', { threadId: 1 }),
    () => this.send('scopes', { frameId: this.of(this.ids.frames) }),
    () => this.send('variables', { variablesReference: this.of(this.ids.variables) }),
    () => this.send('evaluate', { expression: this.of(EXPRESSIONS), frameId: this.of(this.ids.frames) }),
    () => this.send('evaluate', { expression: this.of(EXPRESSIONS) }),
    () => this.breakpoints(),
    () => this.breakpoints(),
    () =>
      this.send('setDataBreakpoints', { breakpoints: [{ dataId: `${1024 + 4 * this.random.below(9)}:4` }] }),
    () => this.send('readMemory', { memoryReference: '0', count: 1 << 24 }),
    () => this.send('writeMemory', { memoryReference: '1024', data: 'AAAA' }),
    () => this.send('disassemble', { memoryReference: '0x10', instructionCount: 2000 }),
    () => this.send('threads'),
  ];

  private breakpoints(): number {
    const lines = LINES.filter(() => this.chance(15));
    return this.send('setBreakpoints', {
      source: { path: join(this.dir, 'race.c') },
      breakpoints: lines.map(line => ({ line, ...(this.chance(30) ? { condition: 'n % 5 == 1' } : {}) })),
    });
  }

  private async whole(input: number): Promise<string> {
    const { client } = this;
    const end = this.of(ENDS);
    try {
      const launch = await this.begin();
      for (let n = this.random.below(4); n > 0; n--) await this.act(launch, input);
      await this.burst(end);
      await this.close(end);
    } catch (e) {
      this.faults.push(String(e));
      client.socket.destroy();
    }
    this.ending();
    for (const { event } of client.messages) {
      if (event === 'stopped') seen.stops++;
      if (event === 'exited') seen.exits++;
    }
    const faults = [...this.faults, ...client.faults];
    return faults.length === 0 ? '' : `${this.log.join('\n')}\n=> ${faults.join('\n=> ')}`;
  }

  /** @returns the number of its request to launch */
  private async begin(): Promise<number> {
    const { client } = this;
    this.send('initialize', { adapterID: 'lucet' });
    const launch = this.send('launch', {
      program: join(this.dir, 'race.wasm'),
      cwd: this.dir,
      args: [this.mode],
      stdin: join(this.dir, 'input'),
      stopOnEntry: this.chance(10),
    });
    // Now and then it is ended while it compiles.
    if (this.chance(8)) return launch;
    await client.until(
      m => m.event === 'initialized' || (m.type === 'response' && m.request_seq === launch),
      'initialized',
      PATIENCE,
    );
    this.breakpoints();
    this.isConfigured = this.chance(95);
    if (this.isConfigured) this.send('configurationDone');
    return launch;
  }

  /** Something whose end is waited for, so that what comes behind it meets the program elsewhere. */
  private async act(launch: number, input: number): Promise<void> {
    const { client } = this;
    if (this.chance(30)) writeSync(input, 'some input\n');
    if (this.chance(30)) await delay(this.random.below(8));
    if (!this.isConfigured || (await client.response(launch)).success !== true) return;
    const from = client.messages.length;
    this.send('pause', { threadId: 1 });
    const isOver = (): boolean => client.messages.some(m => m.event === 'exited' || m.event === 'terminated');
    const isStopped = (): boolean => client.messages.some((m, i) => i >= from && m.event === 'stopped');
    // One that is stopped already stops no second time.
    for (let n = 0; n < 40 && !isStopped() && !isOver(); n++) await delay(5);
    const trace = await client.response(this.send('stackTrace', { threadId: 1, levels: 20 }));
    const frames = (trace.body?.stackFrames ?? []) as { id: number }[];
    if (frames.length === 0) return;
    this.ids.frames = frames.map(f => f.id);
    const scopes = await client.response(this.send('scopes', { frameId: this.of(this.ids.frames) }));
    const found = ((scopes.body?.scopes ?? []) as { variablesReference: number }[]).map(
      s => s.variablesReference,
    );
    if (found.length > 0) this.ids.variables = found;
    if (this.chance(50)) this.send('variables', { variablesReference: this.of(this.ids.variables) });
    if (this.chance(70)) this.send('continue', { threadId: 1 });
  }

  private async burst(end: (typeof ENDS)[number]): Promise<void> {
    const count = this.random.below(9);
    const at = this.random.below(count + 1);
    const pauses = this.chance(30);
    for (let n = 0; n <= count; n++) {
      if (n === at) this.finish(end);
      else this.of(this.requests)();
      if (pauses) await delay(this.random.below(3));
    }
  }

  private finish(end: (typeof ENDS)[number]): void {
    this.log.push(`== ${end}`);
    this.ending();
    switch (end) {
      case 'disconnect':
        this.send('disconnect', {});
        return;
      case 'restart':
        this.send('disconnect', { restart: true, terminateDebuggee: true });
        return;
      case 'terminate':
        this.send('terminate', {});
        return;
      case 'terminate-disconnect':
        this.send('terminate', {});
        this.send('disconnect', {});
        return;
      case 'gone':
        this.client.socket.destroy();
        return;
      case 'half':
        this.client.socket.end();
    }
  }

  private async close(end: (typeof ENDS)[number]): Promise<void> {
    const { client } = this;
    if (end === 'gone') return;
    if (end === 'terminate') {
      await client.until(m => m.event === 'terminated', 'event terminated', PATIENCE);
      await client.response(this.send('disconnect', {}));
    }
    const disconnect = [...client.sent].find(([, command]) => command === 'disconnect')?.[0];
    if (disconnect !== undefined) await client.response(disconnect);
    // Who serves several leaves it to the client to hang up.
    client.socket.end();
    const isOver = await Promise.race([client.ended.then(() => true), delay(PATIENCE).then(() => false)]);
    if (!isOver) this.faults.push('the connection is not closed');
    client.socket.destroy();
    if (end !== 'half')
      for (const request of client.unanswered()) this.faults.push(`no response to ${request}`);
  }
}

/** Of the system's pools, which begin theirs when they are first needed. */
const THREADS_KEPT = 12;
