/**
 * The other side of a debug adapter, without manners: it sends what it is told, when it is told, keeps all that comes
 * back, and says what was against the protocol (https://microsoft.github.io/debug-adapter-protocol/overview).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';

export const ADAPTER = join(import.meta.dirname, '../../../dist/debug-adapter.cjs');

export interface Message {
  readonly seq: number;
  readonly type: 'request' | 'response' | 'event';
  readonly command?: string;
  readonly event?: string;
  readonly request_seq?: number;
  readonly success?: boolean;
  readonly message?: string;
  readonly body?: Body;
}
type Body = Readonly<Record<string, unknown>>;

/** Processes that a process has begun, and theirs. */
export function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state !== 'Z')
        children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const found: number[] = [];
  const add = (of: number): void => {
    for (const child of children.get(of) ?? []) {
      found.push(child);
      add(child);
    }
  };
  add(pid);
  return found;
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

export const delay = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

/** One end of a session, whatever the two are connected by. */
export abstract class RawConnection {
  readonly messages: Message[] = [];
  readonly faults: string[] = [];
  /** Commands by their number. */
  readonly sent = new Map<number, string>();
  stderr = '';
  /** What the other side has ended with; undefined: it has not. */
  status: number | null | undefined;
  /** Answers what the adapter asks, with a body; null: refused; undefined: not at all. */
  onRequest: (request: Message) => object | null | undefined = () => null;
  private readonly answered = new Set<number>();
  private readonly watchers = new Set<() => void>();
  private rest = Buffer.alloc(0);
  private isTerminated = false;
  private hasExited = false;
  private next = 1;

  protected abstract put(text: string): void;

  /** @returns the request's number */
  send(command: string, args?: unknown): number {
    const seq = this.next++;
    this.sent.set(seq, command);
    this.write(
      JSON.stringify({ seq, type: 'request', command, ...(args === undefined ? {} : { arguments: args }) }),
    );
    return seq;
  }

  write(json: string): void {
    this.put(`Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
  }

  /** @returns its response */
  async request(command: string, args?: unknown): Promise<Message> {
    return this.response(this.send(command, args));
  }

  response(seq: number): Promise<Message> {
    return this.until(
      m => m.type === 'response' && m.request_seq === seq,
      `response to ${this.sent.get(seq)} ${seq}`,
    );
  }

  /** The first such event, of those that were not waited for before `from`. */
  event(name: string, from = 0): Promise<Message> {
    return this.until((m, i) => i >= from && m.type === 'event' && m.event === name, `event ${name}`);
  }

  async until(
    test: (m: Message, i: number) => boolean,
    what = 'a message',
    timeout = 20_000,
  ): Promise<Message> {
    let at = 0;
    const end = performance.now() + timeout;
    for (;;) {
      for (; at < this.messages.length; at++) if (test(this.messages[at]!, at)) return this.messages[at]!;
      if (this.status !== undefined)
        throw new Error(`the adapter ended with ${this.status} before ${what}: ${this.stderr}`);
      if (performance.now() > end) throw new Error(`no ${what} in ${timeout} ms; ${this.stderr}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(done, 1000);
        const { watchers } = this;
        function done(): void {
          clearTimeout(timer);
          watchers.delete(done);
          resolve();
        }
        watchers.add(done);
      });
    }
  }

  protected changed(): void {
    for (const done of [...this.watchers]) done();
  }

  protected receive(data: Buffer): void {
    this.rest = Buffer.concat([this.rest, data]);
    for (;;) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) break;
      const length = Number(/Content-Length: (\d+)/.exec(this.rest.toString('latin1', 0, end))?.[1]);
      if (this.rest.length < end + 4 + length) break;
      this.take(JSON.parse(this.rest.toString('utf8', end + 4, end + 4 + length)) as Message);
      this.rest = this.rest.subarray(end + 4 + length);
    }
    this.changed();
  }

  private take(m: Message): void {
    this.messages.push(m);
    if (m.type === 'response') this.takeResponse(m);
    else if (m.type === 'event') this.takeEvent(m);
    else this.answer(m);
  }

  private answer(m: Message): void {
    const body = this.onRequest(m);
    if (body === undefined) return;
    const success = body !== null;
    this.write(
      JSON.stringify({
        seq: this.next++,
        type: 'response',
        command: m.command,
        request_seq: m.seq,
        success,
        ...(success ? { body } : { message: 'refused' }),
      }),
    );
  }

  private takeResponse(m: Message): void {
    const seq = m.request_seq!;
    const name = `${m.command} ${seq}`;
    if (!this.sent.has(seq)) this.faults.push(`a response to ${name}, which was never sent`);
    else if (this.sent.get(seq) !== m.command)
      this.faults.push(`a response to ${name}, which was ${this.sent.get(seq)}`);
    if (this.answered.has(seq)) this.faults.push(`a second response to ${name}`);
    this.answered.add(seq);
    if (m.success === false && !m.message) this.faults.push(`${name} failed without a word`);
    if (/internal error/.test(m.message ?? '')) this.faults.push(`${name}: ${m.message} ${this.stderr}`);
  }

  private takeEvent(m: Message): void {
    if (this.isTerminated && m.event !== 'output') this.faults.push(`${m.event} behind terminated`);
    if (this.hasExited && !['terminated', 'output'].includes(m.event!))
      this.faults.push(`${m.event} behind exited`);
    if (m.event === 'terminated') this.isTerminated = true;
    if (m.event === 'exited') this.hasExited = true;
    if (m.event === 'stopped' && (m.body as { threadId?: unknown }).threadId === undefined)
      this.faults.push('a stop of no thread');
  }

  get text(): string {
    return this.messages
      .filter(m => m.event === 'output' && m.body?.category === 'stdout')
      .map(m => m.body!.output)
      .join('');
  }

  /** Up to the event `initialized`, then what is configured, then the program's start. */
  async launch(args: object, configure: () => Promise<unknown> = async () => {}): Promise<void> {
    await this.request('initialize', { adapterID: 'lucet' });
    const launched = this.send('launch', args);
    await this.until(
      m => m.event === 'initialized' || (m.type === 'response' && m.request_seq === launched),
      'initialized',
    );
    await configure();
    await this.request('configurationDone');
    const { success, message } = await this.response(launched);
    if (success !== true) throw new Error(message);
  }

  /** Requests without a response: all but those that came behind a disconnect have one. */
  unanswered(): string[] {
    const disconnected = [...this.sent].find(([, command]) => command === 'disconnect')?.[0] ?? Infinity;
    return [...this.sent]
      .filter(([seq]) => seq <= disconnected && !this.answered.has(seq))
      .map(([seq, c]) => `${c} ${seq}`);
  }
}

/** With an adapter of its own, over its standard streams. */
export class RawClient extends RawConnection {
  readonly process: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor(env: NodeJS.ProcessEnv = {}) {
    super();
    this.process = spawn('node', [ADAPTER], { env: { ...process.env, ...env } });
    this.process.stdout!.on('data', (data: Buffer) => this.receive(data));
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.process.stdin!.on('error', () => {});
    this.ended = new Promise(resolve => {
      this.process.once('close', (code, signal) => {
        this.status = code;
        if (signal !== null) this.stderr += `[${signal}]`;
        resolve(code);
        this.changed();
      });
    });
  }

  protected override put(text: string): void {
    this.process.stdin!.write(text);
  }

  /** Ends the session as an editor does. */
  async disconnect(): Promise<void> {
    if (this.status === undefined) this.send('disconnect');
    await this.finish();
  }

  /** Waits for the end of the process, and says what was wrong: nothing, if all is well. */
  async finish(): Promise<string[]> {
    const own = this.status === undefined ? descendants(this.process.pid!) : [];
    const timer = setTimeout(() => {
      this.faults.push(`the adapter did not end; last: ${JSON.stringify(this.messages.slice(-3))}`);
      this.process.kill('SIGKILL');
    }, 10_000);
    await this.ended;
    clearTimeout(timer);
    // The system takes a moment.
    for (let n = 0; n < 100 && own.some(isAlive); n++) await delay(20);
    for (const pid of own.filter(isAlive)) {
      this.faults.push(`process ${pid} has outlived the adapter`);
      process.kill(pid, 'SIGKILL');
    }
    return this.faults;
  }
}

/** With one that serves several, over a connection. */
export class RawSocket extends RawConnection {
  readonly ended: Promise<void>;

  constructor(readonly socket: Socket) {
    super();
    socket.on('data', (data: Buffer) => this.receive(data));
    socket.on('error', () => {});
    this.ended = new Promise(resolve => {
      socket.once('close', () => {
        this.status = 0;
        resolve();
        this.changed();
      });
    });
  }

  protected override put(text: string): void {
    if (this.socket.writable) this.socket.write(text);
  }
}
