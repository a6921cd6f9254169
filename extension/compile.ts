/** Compiling in a child process: no editor API here, so that it can be tested without an editor. */
import { spawn } from 'node:child_process';

export interface CompileFailure {
  readonly message: string;
  readonly kind: string;
  /** Byte offset in the module, where it is known. */
  readonly offset?: number;
  /** Of a module that is text; from 1. */
  readonly line?: number;
  readonly column?: number;
  readonly endLine?: number;
  readonly endColumn?: number;
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

export interface Tool {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Run a compiler.
 * @param output what it writes
 * @param signal kills the compiler when aborted
 */
export function compileFile(tool: Tool, output: string, signal: AbortSignal): Promise<CompileOutcome> {
  return new Promise(resolve => {
    const child = spawn(tool.command, tool.args, {
      env: { ...process.env, ...tool.env },
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
    child.once('close', (code, ended) => {
      signal.removeEventListener('abort', abort);
      if (code === 0) resolve({ ok: true, output });
      else if (signal.aborted) fail('cancelled');
      else if (ended !== null) {
        const why = ended === 'SIGKILL' ? ' (by the system, when memory runs out)' : '';
        fail(`the compiler was ended by ${ended}${why}; it says nothing about the module`);
      } else resolve({ ok: false, cancelled: false, failure: parseFailure(stderr) });
    });
  });
}
