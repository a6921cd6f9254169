/** The parent's side of child.ts. */
import { type ChildProcess, fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildData, Reply, Request } from './child.ts';
import { V8_FLAGS } from './engine-v8.ts';

export const HERE = dirname(fileURLToPath(import.meta.url));

/** What an engine tells of a compilation. */
export interface CompileFacts {
  readonly compileMs: number;
  readonly textBytes: number | null;
  /** Of its process; null: it compiles in others. */
  readonly peakMb: number | null;
}

/** One engine with one workload. Its process may die without harm to anyone else's. */
export class Peer {
  private readonly child: ChildProcess;
  private readonly what: string;

  /** @param dist where the build lies that is to be measured */
  constructor(
    private readonly data: ChildData,
    dist = HERE,
  ) {
    this.what = `${data.workload.name} on ${data.engine}`;
    const execArgv = data.engine === 'v8' ? [...V8_FLAGS] : [];
    this.child = fork(join(dist, 'bench-child.js'), { execArgv, serialization: 'advanced' });
  }

  /** Must come first. */
  async begin(): Promise<void> {
    await this.ask({ do: 'begin', data: this.data });
  }

  /** @throws Error when the engine fails, its output is wrong, or its process dies */
  private async ask(request: Request): Promise<Extract<Reply, { ok: true }>> {
    const { child, what } = this;
    if (!child.connected) throw new Error(`${what}: the process has died`);
    const reply = await new Promise<Reply>((resolve, reject) => {
      const died = (code: number | null, signal: string | null): void =>
        reject(new Error(`${what}: the process died with ${signal ?? `exit code ${code}`}`));
      child.once('exit', died);
      child.once('message', (m: Reply) => {
        child.off('exit', died);
        resolve(m);
      });
      child.send(request);
    });
    if (!reply.ok) throw new Error(`${what}: ${reply.message}`);
    return reply;
  }

  async compile(): Promise<CompileFacts> {
    return (await this.ask({ do: 'compile' })) as Extract<Reply, CompileFacts>;
  }

  async run(): Promise<number> {
    return ((await this.ask({ do: 'run' })) as Extract<Reply, { runMs: number }>).runMs;
  }

  stop(): void {
    this.child.kill();
  }
}
