/**
 * The extension's side of the module tool: starts it when it is needed, and again when it has died. No editor API here.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Method, RequestMessage, Requests, ResponseMessage } from './protocol.ts';

/** The process holds modules in memory: it goes when nobody has asked for this long. */
const IDLE_MS = 5 * 60_000;
const MAX_STDERR = 4000;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class ModuleTool {
  private child: ChildProcess | null = null;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  private idle: NodeJS.Timeout | undefined;

  /** @param script path of the tool's bundle */
  constructor(private readonly script: string) {}

  request<M extends Method>(method: M, params: Requests[M]['request']): Promise<Requests[M]['response']> {
    const child = (this.child ??= this.start());
    clearTimeout(this.idle);
    return new Promise((resolve, reject) => {
      const message: RequestMessage = { id: this.nextId++, method, params };
      this.pending.set(message.id, { resolve: resolve as (result: unknown) => void, reject });
      child.send(message, e => {
        if (e) this.settle({ id: message.id, error: e.message });
      });
    });
  }

  private start(): ChildProcess {
    const child = fork(this.script, [], {
      execArgv: [],
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-MAX_STDERR);
    });
    child.on('message', (message: ResponseMessage) => this.settle(message));
    const died = (why: string) => {
      if (this.child === child) this.child = null;
      for (const id of [...this.pending.keys()]) this.settle({ id, error: why });
    };
    child.once('error', e => died(`the module tool could not be started: ${e.message}`));
    child.once('exit', (code, signal) =>
      died(
        `the module tool ended (${signal ?? code})${stderr ? `: ${stderr.trim().split('\n').at(-1)}` : ''}`,
      ),
    );
    return child;
  }

  private settle(message: ResponseMessage): void {
    const waiting = this.pending.get(message.id);
    if (!waiting) return;
    this.pending.delete(message.id);
    if ('error' in message) waiting.reject(new Error(message.error));
    else waiting.resolve(message.result);
    if (this.pending.size === 0) {
      clearTimeout(this.idle);
      this.idle = setTimeout(() => this.stop(), IDLE_MS).unref();
    }
  }

  private stop(): void {
    this.child?.kill('SIGKILL');
    this.child = null;
  }

  dispose(): void {
    clearTimeout(this.idle);
    this.stop();
  }
}
