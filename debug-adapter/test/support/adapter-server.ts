/**
 * One process of the adapter for all sessions of a test file, as an editor's `debugServer` has it: to begin one takes
 * as long as most sessions do.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import { ADAPTER, RawSocket } from './raw-client.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

export class AdapterServer {
  /** What it says of itself, and of what takes it down. */
  stderr = '';

  private constructor(
    private readonly process: ChildProcess,
    private readonly port: number,
  ) {
    process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
  }

  static async start(env: NodeJS.ProcessEnv = {}): Promise<AdapterServer> {
    const port = await freePort();
    const child = spawn('node', [ADAPTER, `--server=${port}`], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // It says that it listens before it does.
    for (let n = 0; !(await accepts(port)); n++) {
      if (n > 500 || child.exitCode !== null) throw new Error(`the adapter does not listen on port ${port}`);
      await new Promise(done => setTimeout(done, 20));
    }
    return new AdapterServer(child, port);
  }

  /** A session of its own. */
  async connect(): Promise<DebugClient> {
    const client = new DebugClient('node', ADAPTER, 'lucet');
    client.defaultTimeout = 30_000;
    await client.start(this.port);
    return client;
  }

  /** The same without manners. */
  async connectRaw(): Promise<RawSocket> {
    const socket = connect(this.port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawSocket(socket);
  }

  get threadCount(): number {
    return readdirSync(`/proc/${this.process.pid}/task`).length;
  }

  get isAlive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Paths of what the process has open. */
  openFiles(): string[] {
    const folder = `/proc/${this.process.pid}/fd`;
    return readdirSync(folder).flatMap(fd => {
      try {
        return [readlinkSync(join(folder, fd))];
      } catch {
        // Closed meanwhile.
        return [];
      }
    });
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null)
      throw new Error(
        `the adapter has ended with ${this.process.exitCode}: a session took it down: ${this.stderr}`,
      );
    this.process.kill('SIGKILL');
    await once(this.process, 'close');
  }
}
