/**
 * A process that runs scripts, one after the other, for spec.ts: native code that crashes takes only this process
 * along.
 *
 * Messages in: the path of a script. Messages out: its report. Before each command its index goes to file descriptor 4,
 * synchronously, so that the parent knows where the process died.
 */
import { readFileSync, writeSync } from 'node:fs';
import type { Engine } from './engine.ts';
import { runScript, type ScriptReport } from './run.ts';
import { parseScript } from './script.ts';

export const PROGRESS_FD = 4;

export interface WorkerMessage {
  readonly path: string;
  readonly report: ScriptReport;
}

export function runWorker<M, I>(engine: Engine<M, I>): void {
  const progress = new Int32Array(1);
  process.on('message', (path: string) => {
    const script = parseScript(readFileSync(path, 'utf8'), path);
    const report = runScript(script, engine, index => {
      progress[0] = index;
      writeSync(PROGRESS_FD, progress);
    });
    process.send!({ path, report } satisfies WorkerMessage);
  });
  process.on('disconnect', () => process.exit(0));
}
