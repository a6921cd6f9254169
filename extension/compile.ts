/** Compiling in a child process: no editor API here, so that it can be tested without an editor. */
import { spawn } from 'node:child_process';

export interface CompileFailure {
  readonly message: string;
  readonly kind: string;
  /** Byte offset in the module, where it is known. */
  readonly offset?: number;
}

export type CompileOutcome =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly cancelled: boolean; readonly failure: CompileFailure };

/** Read what lucetc prints with --error-style json. */
export function parseFailure(stderr: string): CompileFailure {
  for (const line of stderr.split('\n')) {
    try {
      const error = (JSON.parse(line) as { error?: CompileFailure }).error;
      if (error && typeof error.message === 'string') return error;
    } catch {
      // Not a line of lucetc's own: something Node printed.
    }
  }
  return { message: stderr.trim() || 'lucetc ended without saying why', kind: 'io' };
}

/**
 * Compile `input` to `output` with lucetc-wasi.
 * @param signal kills the compiler when aborted
 */
export function compileFile(
  node: string,
  lucetc: string,
  input: string,
  output: string,
  signal: AbortSignal,
): Promise<CompileOutcome> {
  return new Promise(resolve => {
    const child = spawn(node, [lucetc, '--error-style', 'json', input, '-o', output], {
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const abort = () => child.kill('SIGKILL');
    signal.addEventListener('abort', abort, { once: true });
    const fail = (message: string) =>
      resolve({ ok: false, cancelled: signal.aborted, failure: { message, kind: 'io' } });
    child.once('error', e => fail(e.message));
    child.once('close', code => {
      signal.removeEventListener('abort', abort);
      if (code === 0) resolve({ ok: true, output });
      else if (signal.aborted) fail('cancelled');
      else resolve({ ok: false, cancelled: false, failure: parseFailure(stderr) });
    });
  });
}
