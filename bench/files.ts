/** A guest's standard streams, in files of their own for the time of a run. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Output } from './workload.ts';

export class Streams {
  private readonly folder = mkdtempSync(join(tmpdir(), 'lucet-bench-'));
  readonly stdoutPath = join(this.folder, 'stdout');
  readonly stderrPath = join(this.folder, 'stderr');
  readonly stdin = openSync('/dev/null', 'r');
  readonly stdout = openSync(this.stdoutPath, 'w');
  readonly stderr = openSync(this.stderrPath, 'w');

  output(exit: number): Output {
    return { exit, stdout: readFileSync(this.stdoutPath), stderr: readFileSync(this.stderrPath) };
  }

  dispose(): void {
    for (const fd of [this.stdin, this.stdout, this.stderr]) closeSync(fd);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
