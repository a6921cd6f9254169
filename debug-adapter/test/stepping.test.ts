/** Breakpoints and steps over a C program at -O0, run by a test double of the guest, through the protocol. */
import { PassThrough } from 'node:stream';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { clang } from '../../scripts/clang.ts';
import { LucetSession } from '../session.ts';
import type { DebugTarget } from '../target.ts';
import { SimTarget } from './support/sim-target.ts';

const SOURCE = `int total = 0;
struct pair { int a, b; };
int add(int a, int b) {
  int sum = a + b; // ADD
  return sum; // RETURN
}
int fact(int n) {
  if (n <= 1) // FACT
    return 1;
  return n * fact(n - 1); // AGAIN
}
static inline __attribute__((always_inline)) int twice(int n) {
  int result = 2 * n; // COPIED
  return result;
}
void go(void) {
  struct pair p = {3, 4}; // FIRST
  int x = add(p.a, p.b); // CALL
  for (int i = 0; i < 5; i++) // LOOP
    total += i * x; // BODY
  total += fact(4); // FACTORIAL
  total = total + 1; // LAST
  total = twice(total) + twice(x); // TWICE
}
void spin(void) {
  for (;;)
    total++; // SPIN
}
`;
const LINES = SOURCE.split('\n');
const line = (mark: string): number => LINES.findIndex(l => l.includes(`// ${mark}`)) + 1;

let artifact: Uint8Array;
beforeAll(async () => {
  const flags = [
    '-g',
    '-O0',
    '-nostdlib',
    '-Wl,--no-entry',
    '-Wl,--export=go',
    '-Wl,--export=spin',
    '-fdebug-compilation-dir=/src',
  ];
  artifact = compile(await clang({ 'prog.c': SOURCE }, flags));
}, 120_000);

class TestSession extends LucetSession {
  static target: DebugTarget;
  protected override async openTarget(): Promise<DebugTarget> {
    return TestSession.target;
  }
}

/** The protocol over streams, in this process. */
class Client {
  private readonly toSession = new PassThrough();
  private readonly fromSession = new PassThrough();
  private readonly session = new TestSession();
  private seq = 1;
  private buffer = '';
  private readonly answers = new Map<number, (r: DebugProtocol.Response) => void>();
  private readonly events: DebugProtocol.Event[] = [];
  private waiting: (() => void) | null = null;

  constructor() {
    this.session.setRunAsServer(true);
    this.fromSession.setEncoding('utf8').on('data', (text: string) => this.receive(text));
    this.session.start(this.toSession, this.fromSession);
  }

  private receive(text: string): void {
    this.buffer += text;
    for (;;) {
      const m = /^Content-Length: (\d+)\r\n\r\n/.exec(this.buffer);
      if (m === null || this.buffer.length < m[0].length + Number(m[1])) return;
      const message = JSON.parse(
        this.buffer.slice(m[0].length, m[0].length + Number(m[1])),
      ) as DebugProtocol.ProtocolMessage;
      this.buffer = this.buffer.slice(m[0].length + Number(m[1]));
      if (message.type === 'response') {
        const response = message as DebugProtocol.Response;
        this.answers.get(response.request_seq)?.(response);
      } else {
        this.events.push(message as DebugProtocol.Event);
        this.waiting?.();
      }
    }
  }

  async request<T extends object = object>(command: string, args: object = {}): Promise<T> {
    const seq = this.seq++;
    const text = JSON.stringify({ seq, type: 'request', command, arguments: args });
    const answer = new Promise<DebugProtocol.Response>(resolve => this.answers.set(seq, resolve));
    this.toSession.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    const response = await answer;
    if (!response.success) throw new Error(response.message);
    return response.body as T;
  }

  /** The next event of a kind; those before it are passed over, but kept in `log`. */
  readonly log: DebugProtocol.Event[] = [];
  async event(name: string): Promise<DebugProtocol.Event> {
    for (;;) {
      while (this.events.length > 0) {
        const e = this.events.shift()!;
        this.log.push(e);
        if (e.event === name) return e;
      }
      await new Promise<void>(resolve => {
        this.waiting = resolve;
      });
    }
  }
}

let client: Client;
let target: SimTarget;
beforeEach(() => {
  const probe = new SimTarget(artifact, 0);
  const go = probe.symbols.artifact.findExport('go')!.index;
  target = new SimTarget(artifact, go);
  TestSession.target = target;
  client = new Client();
});
afterEach(async () => {
  await client.request('disconnect');
});

type Breakpoints = DebugProtocol.SetBreakpointsResponse['body'];

/** Starts with breakpoints on lines; the answers. */
async function launch(breakpoints: object[], functions: object[] = []): Promise<DebugProtocol.Breakpoint[]> {
  await client.request('initialize', { adapterID: 'lucet', pathFormat: 'path' });
  const launched = client.request('launch', { program: '/src/prog.wasm' });
  await client.event('initialized');
  const { breakpoints: set } = await client.request<Breakpoints>('setBreakpoints', {
    source: { path: '/src/prog.c' },
    breakpoints,
  });
  if (functions.length > 0) {
    const wanted = { breakpoints: functions };
    const more = await client.request<Breakpoints>('setFunctionBreakpoints', wanted);
    set.push(...more.breakpoints);
  }
  await client.request('configurationDone');
  await launched;
  return set;
}

async function stack(): Promise<DebugProtocol.StackFrame[]> {
  const args = { threadId: 1 };
  return (await client.request<DebugProtocol.StackTraceResponse['body']>('stackTrace', args)).stackFrames;
}

async function where(): Promise<string> {
  return (await stack()).map(f => `${f.name}:${f.line}`).join(' ');
}

async function stop(): Promise<string> {
  const e = (await client.event('stopped')) as DebugProtocol.StoppedEvent;
  return `${e.body.reason} ${await where()}`;
}

async function step(command: 'next' | 'stepIn' | 'stepOut' | 'continue'): Promise<string> {
  await client.request(command, { threadId: 1 });
  return stop();
}

async function evaluate(expression: string): Promise<string> {
  const args = { expression, frameId: (await stack())[0]!.id };
  return (await client.request<DebugProtocol.EvaluateResponse['body']>('evaluate', args)).result;
}

describe('breakpoints', () => {
  it('on lines and functions, bound before the first instruction', async () => {
    const set = await launch(
      [{ line: line('FIRST') }, { line: 1 }, { line: 1000 }],
      [{ name: 'fact' }, { name: 'nothing' }],
    );
    expect(set.map(b => [b.verified, b.line ?? 0])).toEqual([
      [true, line('FIRST')],
      // A line without code: the next that has some.
      [true, 3],
      [false, 0],
      [true, 0],
      [false, 0],
    ]);
    expect(await stop()).toBe(`breakpoint go:${line('FIRST')}`);
    expect(await step('continue')).toBe(`breakpoint add:${line('ADD')} go:${line('CALL')}`);
    expect(await step('continue')).toBe(`breakpoint fact:${line('FACT')} go:${line('FACTORIAL')}`);
    expect(await evaluate('n')).toBe('4');
    await client.request('setFunctionBreakpoints', { breakpoints: [] });
    await client.request('continue', { threadId: 1 });
    await client.event('exited');
    expect(target.state.memorySize(0)).toBeGreaterThan(0);
  });

  it('on a function that was inlined, in each of its copies', async () => {
    const set = await launch([], [{ name: 'twice' }]);
    expect(set.map(b => b.verified)).toEqual([true]);
    expect(await stop()).toBe(`breakpoint twice [inlined]:${line('COPIED')} go:${line('TWICE')}`);
    const first = BigInt(await evaluate('n'));
    expect(await step('continue')).toBe(`breakpoint twice [inlined]:${line('COPIED')} go:${line('TWICE')}`);
    expect([first > 7n, await evaluate('n')]).toEqual([true, '7']);
    await client.request('setFunctionBreakpoints', { breakpoints: [] });
  });

  it('with conditions, counts and messages', async () => {
    await launch([
      { line: line('BODY'), condition: 'i == 3' },
      { line: line('LAST'), logMessage: 'total {total}, x+1 {x + 1}, {nonsense}' },
      { line: line('FACT'), hitCondition: '>= 3' },
    ]);
    expect(await stop()).toBe(`breakpoint go:${line('BODY')}`);
    expect(await evaluate('i')).toBe('3');
    expect(await evaluate('x')).toBe('7');
    expect(await step('continue')).toMatch(new RegExp(`^breakpoint (fact:\\d+ ){3}go:${line('FACTORIAL')}$`));
    expect(await evaluate('n')).toBe('2');
    await client.request('setBreakpoints', {
      source: { path: '/src/prog.c' },
      breakpoints: [{ line: line('LAST'), logMessage: 'total {total}, x+1 {x + 1}, {nonsense}' }],
    });
    await client.request('continue', { threadId: 1 });
    await client.event('exited');
    const printed = client.log.flatMap(e =>
      e.event === 'output' ? [(e as DebugProtocol.OutputEvent).body.output] : [],
    );
    expect(printed).toEqual(['total 94, x+1 8, <there is no nonsense here>\n']);
  });
});

describe('steps', () => {
  it('over, into and out of calls', async () => {
    await launch([{ line: line('FIRST') }]);
    expect(await stop()).toBe(`breakpoint go:${line('FIRST')}`);
    expect(await step('next')).toBe(`step go:${line('CALL')}`);
    expect(await step('stepIn')).toBe(`step add:${line('ADD')} go:${line('CALL')}`);
    expect(await step('next')).toBe(`step add:${line('RETURN')} go:${line('CALL')}`);
    expect(await evaluate('sum')).toBe('7');
    // Behind the call, no other statement begins on its line.
    expect(await step('stepOut')).toBe(`step go:${line('LOOP')}`);
    expect(await step('next')).toBe(`step go:${line('BODY')}`);
    expect(await step('next')).toBe(`step go:${line('LOOP')}`);
  });

  it('over and out of a recursion stay with their own call', async () => {
    await launch([{ line: line('FACTORIAL') }]);
    await stop();
    expect(await step('stepIn')).toBe(`step fact:${line('FACT')} go:${line('FACTORIAL')}`);
    expect(await step('next')).toBe(`step fact:${line('AGAIN')} go:${line('FACTORIAL')}`);
    // The recursive calls run through.
    const after = await step('next');
    expect(after).not.toMatch(/fact.*fact/);
    await client.request('setFunctionBreakpoints', { breakpoints: [] });
  });

  it('a variable that is set is what the program goes on with', async () => {
    await launch([{ line: line('LAST') }, { line: line('LOOP') }]);
    await stop();
    const frameId = (await stack())[0]!.id;
    const { scopes } = await client.request<DebugProtocol.ScopesResponse['body']>('scopes', { frameId });
    const { variablesReference } = scopes[0]!;
    const setting = { variablesReference, name: 'x', value: '100' };
    expect(await client.request('setVariable', setting)).toMatchObject({ value: '100' });
    expect(await evaluate('p.b = p.a + 1')).toBe('4');
    await client.request('setBreakpoints', {
      source: { path: '/src/prog.c' },
      breakpoints: [{ line: line('LAST') }],
    });
    await step('continue');
    // (0+1+2+3+4) * 100 + 4!
    expect(await evaluate('total')).toBe('1024');
  });

  it('a pause stops a loop without end, and the session can end it', async () => {
    const { artifact: read } = target.symbols;
    TestSession.target = new SimTarget(artifact, read.findExport('spin')!.index);
    await launch([]);
    await client.request('pause', { threadId: 1 });
    expect(await stop()).toMatch(/^pause spin:\d+$/);
    await client.request('terminate');
    expect(((await client.event('exited')) as DebugProtocol.ExitedEvent).body.exitCode).toBe(137);
  });
});
