/** The command-line tools as bundles, without a process for each command line. */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type Tool = 'lucetc' | 'lucetc-wasi' | 'lucet-objdump';

export interface ToolResult {
  /** null: a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const dist = join(import.meta.dirname, '../../../dist');

/** Runs command lines, one at a time; in the order in which they are asked for. Their standard input is empty. */
export class ToolProcess {
  private readonly dir = mkdtempSync(join(tmpdir(), 'lucet-tools-'));
  /** What is written goes to the end of what is there, also after it was emptied. */
  private readonly streams = ['stdout', 'stderr'].map(name => openSync(join(this.dir, name), 'a'));
  private child: ChildProcess | null = null;
  private last: Promise<unknown> = Promise.resolve();

  /** @param patience milliseconds until the process is killed: the status is null then */
  run(tool: Tool, args: readonly string[], cwd: string, patience = 30_000): Promise<ToolResult> {
    const result = this.last.then(() => this.next(tool, args, cwd, patience));
    this.last = result;
    return result;
  }

  private next(tool: Tool, args: readonly string[], cwd: string, patience: number): Promise<ToolResult> {
    for (const fd of this.streams) ftruncateSync(fd);
    const [out, err] = this.streams;
    this.child ??= fork(join(import.meta.dirname, 'tool-server.mjs'), {
      stdio: ['ignore', out!, err!, 'ipc'],
      execArgv: [],
    });
    const { child } = this;
    return new Promise(resolve => {
      const late = setTimeout(() => child.kill('SIGKILL'), patience);
      const done = (status: number | null): void => {
        clearTimeout(late);
        child.removeAllListeners();
        const [stdout, stderr] = ['stdout', 'stderr'].map(name => readFileSync(join(this.dir, name), 'utf8'));
        resolve({ status, stdout: stdout!, stderr: stderr! });
      };
      child.once('message', status => done(status as number));
      child.once('exit', status => {
        this.child = null;
        done(status);
      });
      child.send({ bundle: pathToFileURL(join(dist, `${tool}.js`)).href, args, cwd });
    });
  }

  stop(): void {
    this.child?.kill();
    for (const fd of this.streams) closeSync(fd);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
