/** Starts the lucet-wasi executable, for those who can only start JavaScript (an editor's own Node). */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { libraryPath } from './library.ts';

const guest = spawn(join(dirname(libraryPath()), 'lucet-wasi'), process.argv.slice(2), { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => guest.kill(signal));
guest.once('error', e => {
  process.stderr.write(`lucet-wasi: ${e.message}\n`);
  process.exitCode = 1;
});
guest.once('exit', (code, signal) => {
  if (signal === null) process.exitCode = code ?? 1;
  else {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
});
