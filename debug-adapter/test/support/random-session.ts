/**
 * A debug session of a client that does anything at any time: requests in any order, with arguments that make sense or
 * none, in bursts, and an end of any kind.
 */
import { join } from 'node:path';
import type { Random } from '../../../scripts/fuzz/random.ts';
import { delay, type Message, RawClient } from './raw-client.ts';

const WRITE =
  '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))';
const PRINT = '(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))';
const SETUP = '(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))';

/** By file. Each has places to stop at, one on each line. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  'ends.wat': '(module (memory (export "memory") 1) (func (export "_start")\nnop))',
  'spins.wat': `(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 5))
(func $add (param $a i32) (param $b i32) (result i32) (local $sum i64)
  (local.set $sum (i64.extend_i32_u (local.get $a)))
  (global.set $g (local.get $b))
  (i32.add (local.get $a) (local.get $b)))
(func (export "_start") (local $i i32)
  (loop $again
    (local.set $i (call $add (local.get $i) (i32.const 3)))
    (i32.store (i32.const 128) (local.get $i))
    (br $again))))`,
  'floods.wat': `(module ${WRITE} (memory (export "memory") 1) (data (i32.const 64) "hello\\n")
(func (export "_start")
  ${SETUP}
  (loop $again
    ${PRINT}
    (br $again))))`,
  'traps.wat': `(module ${WRITE} (memory (export "memory") 1) (data (i32.const 64) "hello\\n")
(func $deep (param $n i32)
  (if (i32.eqz (local.get $n)) (then
    (drop (i32.load (i32.const -4)))))
  (call $deep (i32.sub (local.get $n) (i32.const 1))))
(func (export "_start")
  ${SETUP}
  ${PRINT}
  (call $deep (i32.const 5))))`,
  'sleeps.wat': `(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
(memory (export "memory") 1)
(func (export "_start")
  (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 60000000000))
  (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))`,
  'exits.wat': `(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(memory (export "memory") 1) (func (export "_start")
  (call $exit (i32.const 3))))`,
  'broken.wat': '(module (func (export "_start")\n  i32.add))',
};

const EXPRESSIONS = [
  '$g0',
  '$l0 + 1',
  '$g0 = 7',
  '$mem32[64]',
  '$mem32[-1]',
  '$s0',
  '$rax',
  'nothing',
  '((',
  '1 / 0',
  '*$l0',
  '',
];
const NONSENSE = [null, -1, 1e300, 'x', [], {}, true, [null], { line: 'x' }, '0x40', 'wasm:60'];
const HIT = ['', '3', '% 2', 'often', '>= 0'];

export class RandomSession {
  private readonly client: RawClient;
  private readonly program: string;
  private readonly log: string[] = [];

  constructor(
    private readonly random: Random,
    private readonly dir: string,
    cache: string,
  ) {
    this.client = new RawClient({ XDG_CACHE_HOME: cache });
    this.program = this.of(Object.keys(PROGRAMS));
  }

  private of<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!;
  }

  private chance(percent: number): boolean {
    return this.random.below(100) < percent;
  }

  /** An id that was handed out, or sometimes one that was not. */
  private id(name: string): number {
    const known = this.client.messages.flatMap(m => idsIn(m, name));
    return known.length === 0 || this.chance(10) ? this.random.below(3000) - 5 : this.of(known.slice(-20));
  }

  private get thread(): object {
    return { threadId: this.chance(95) ? 1 : this.random.below(100) };
  }

  private breakpoints(): object {
    const count = this.chance(3) ? 3_000 : this.random.below(4);
    return {
      source: { path: join(this.dir, this.chance(95) ? this.program : 'other.c') },
      breakpoints: Array.from({ length: count }, () => ({
        line: this.random.below(14),
        ...(this.chance(20) ? { condition: this.of(EXPRESSIONS) } : {}),
        ...(this.chance(20) ? { hitCondition: this.of(HIT) } : {}),
        ...(this.chance(20) ? { logMessage: `at {${this.of(EXPRESSIONS)}}` } : {}),
      })),
    };
  }

  private readonly requests: Readonly<Record<string, () => object>> = {
    initialize: () => ({ adapterID: 'lucet' }),
    launch: () => ({ program: join(this.dir, this.program), cwd: this.dir, stopOnEntry: this.chance(50) }),
    attach: () => ({ program: join(this.dir, this.program), coredump: '/none' }),
    configurationDone: () => ({}),
    threads: () => ({}),
    setBreakpoints: () => this.breakpoints(),
    setFunctionBreakpoints: () => ({ breakpoints: [{ name: this.of(['add', '_start', 'deep', 'none']) }] }),
    setInstructionBreakpoints: () => ({
      breakpoints: [{ instructionReference: `wasm:${this.random.below(200)}` }],
    }),
    setExceptionBreakpoints: () => ({ filters: this.chance(50) ? [] : ['HeapOutOfBounds', 'none'] }),
    dataBreakpointInfo: () => ({
      name: this.of(['$g0', '$l0', '0x80', 'none']),
      asAddress: this.chance(30),
      bytes: 4,
    }),
    setDataBreakpoints: () => ({
      breakpoints: this.chance(40) ? [] : [{ dataId: this.of(['128:4', '1:4', '#1', '#2', 'x']) }],
    }),
    breakpointLocations: () => ({
      source: { path: join(this.dir, this.program) },
      line: 1,
      endLine: this.random.below(50),
    }),
    continue: () => this.thread,
    next: () => ({ ...this.thread, granularity: this.of(['statement', 'instruction', 'line']) }),
    stepIn: () => this.thread,
    stepOut: () => this.thread,
    stepInTargets: () => ({ frameId: this.id('id') }),
    pause: () => this.thread,
    stackTrace: () => ({ ...this.thread, levels: this.random.below(30) }),
    scopes: () => ({ frameId: this.id('id') }),
    variables: () => ({ variablesReference: this.id('variablesReference') }),
    setVariable: () => ({
      variablesReference: this.id('variablesReference'),
      name: this.of(['$l0', '$g0', '$i']),
      value: this.of(EXPRESSIONS),
    }),
    evaluate: () => ({
      expression: this.of(EXPRESSIONS),
      ...(this.chance(70) ? { frameId: this.id('id') } : {}),
    }),
    setExpression: () => ({ expression: '$g0', value: this.of(EXPRESSIONS) }),
    readMemory: () => ({ memoryReference: this.of(['0x40', '70000', 'x']), count: this.random.below(300) }),
    writeMemory: () => ({ memoryReference: '0x200', data: 'AAAA' }),
    disassemble: () => ({
      memoryReference: `0x${this.random.below(500).toString(16)}`,
      instructionOffset: this.random.below(40) - 20,
      instructionCount: this.random.below(60),
    }),
    source: () => ({ sourceReference: this.random.below(100) }),
    loadedSources: () => ({}),
    exceptionInfo: () => this.thread,
    cancel: () => ({ requestId: this.random.below(60) }),
    restart: () => ({}),
    stepBack: () => this.thread,
    completions: () => ({ text: '$', column: 1 }),
    'lucet.trapReport': () => ({}),
    frobnicate: () => ({}),
  };

  private sendAny(): void {
    const command = this.of(Object.keys(this.requests));
    const args = this.requests[command]!() as Record<string, unknown>;
    const names = Object.keys(args);
    if (this.chance(8) && names.length > 0) args[this.of(names)] = this.of(NONSENSE);
    this.send(command, this.chance(2) ? this.of(NONSENSE) : args);
  }

  private send(command: string, args: unknown): void {
    const text = JSON.stringify(args) ?? '';
    this.log.push(`${this.client.send(command, args)} ${command} ${text.slice(0, 200)}`);
  }

  /** In order, as an editor does: most of what can go wrong is behind that. */
  private async begin(): Promise<void> {
    const { client } = this;
    this.send('initialize', this.requests.initialize!());
    this.send('launch', { ...this.requests.launch!(), optLevel: this.chance(75) ? 0 : 2 });
    const launch = client.sent.size;
    if (this.chance(85))
      await client.until(
        m => m.event === 'initialized' || (m.type === 'response' && m.request_seq === launch),
        'initialized',
      );
    this.send('setBreakpoints', this.breakpoints());
    if (this.chance(95)) this.send('configurationDone', {});
  }

  /** @returns what was wrong, with what was sent; '': nothing */
  async run(requests: number): Promise<string> {
    const { client } = this;
    try {
      if (this.chance(90)) await this.begin();
      for (let n = 0; n < requests && client.status === undefined; n++) {
        this.sendAny();
        // Now and then the editor has seen all.
        if (this.chance(15)) await delay(this.random.below(30));
        if (this.chance(1)) this.send('terminate', {});
      }
      await this.finish();
    } catch (e) {
      client.faults.push(String(e));
      client.process.kill('SIGKILL');
    }
    const crash = /^\s+at .*$/m.test(client.stderr) ? [client.stderr] : [];
    const faults = [...client.faults, ...crash];
    return faults.length === 0 ? '' : `${this.program}\n${this.log.join('\n')}\n=> ${faults.join('\n=> ')}`;
  }

  private async finish(): Promise<void> {
    const { client } = this;
    const end = this.of([
      'disconnect',
      'disconnect',
      'twice',
      'terminate',
      'stdin',
      'stdout',
      'SIGTERM',
      'nonsense',
    ]);
    this.log.push(end);
    if (end === 'terminate') this.send('terminate', {});
    if (end === 'stdin') client.process.stdin!.end();
    else if (end === 'SIGTERM') client.process.kill('SIGTERM');
    else if (end === 'nonsense') client.write('{"seq": 1');
    else if (end === 'stdout') {
      client.process.stdout!.destroy();
      client.process.stdin!.end();
    } else {
      this.send('disconnect', {});
      if (end === 'twice') this.send('disconnect', {});
    }
    await client.finish();
    if (end === 'disconnect' || end === 'terminate')
      for (const request of client.unanswered()) client.faults.push(`no response to ${request}`);
    // Before it has begun to listen to the signal, the system ends it.
    const isEarly = end === 'SIGTERM' && client.messages.length === 0 && client.stderr === '[SIGTERM]';
    if (client.status !== 0 && !isEarly) client.faults.push(`status ${client.status}: ${client.stderr}`);
  }
}

/** Values under a name anywhere in a message. */
function idsIn(m: Message, name: string): number[] {
  const found: number[] = [];
  JSON.stringify(m.body ?? {}, (key, value: unknown) => {
    if (key === name && typeof value === 'number' && value > 0) found.push(value);
    return value;
  });
  return found;
}
