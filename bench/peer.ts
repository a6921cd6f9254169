/** The parent's side of child.ts. */
import { type ChildProcess, fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildData, Reply, Request } from './child.ts';
import { V8_FLAGS } from './engine-v8.ts';

export const HERE = dirname(fileURLToPath(import.meta.url));

export class Peer {
  private readonly child: ChildProcess;

  private constructor(
    private readonly what: string,
    dist: string,
    flags: readonly string[],
  ) {
    this.child = fork(join(dist, 'bench-child.js'), { execArgv: [...flags], serialization: 'advanced' });
  }

  /** @param dist where the build lies that is to be measured */
  static async start(data: ChildData, dist = HERE): Promise<Peer> {
    const flags = data.engine === 'v8' ? V8_FLAGS : [];
    const peer = new Peer(`${data.workload.name} on ${data.engine}`, dist, flags);
    await peer.ask({ do: 'begin', data });
    return peer;
  }

  /** @throws Error when the engine fails, its output is wrong, or its process dies */
  private async ask(request: Request): Promise<Extract<Reply, { ok: true }>> {
    const { child, what } = this;
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

  async compile(): Promise<{ compileMs: number; textBytes: number | null; peakMb: number }> {
    return (await this.ask({ do: 'compile' })) as Extract<Reply, { compileMs: number }>;
  }

  async run(): Promise<number> {
    return ((await this.ask({ do: 'run' })) as Extract<Reply, { runMs: number }>).runMs;
  }

  stop(): void {
    this.child.kill();
  }
}
