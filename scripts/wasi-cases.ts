/** The cases of the WASI test suite, as its `cases.json` lists them. */
import { chmodSync, cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface WasiCase {
  readonly suite: string;
  readonly name: string;
  readonly wasm: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Tree to run in, or null: no directory. */
  readonly root: string | null;
  readonly stdin: string;
  readonly exit_code: number;
  /** null: anything. */
  readonly stdout: string | null;
  readonly stderr: string | null;
}

export interface CaseResult {
  readonly exit: number;
  /** Set if the guest trapped, or could not be run at all. */
  readonly trap: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @throws if there is no suite in that folder */
export function readCases(folder: string): WasiCase[] {
  return JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as WasiCase[];
}

/**
 * Runs a case with a fresh copy of its tree.
 * @param run is given the program, and the copy's path (null: none), which is to be the guest's `/`
 * @returns what was wrong; null: passed
 */
export async function runCase(
  folder: string,
  test: WasiCase,
  run: (wasm: string, root: string | null) => CaseResult | Promise<CaseResult>,
): Promise<string | null> {
  const copy = test.root === null ? null : mkdtempSync(join(tmpdir(), 'lucet-wasi-case-'));
  try {
    if (copy !== null) {
      cpSync(join(folder, test.root!), copy, { recursive: true });
      makeWritable(copy);
    }
    const result = await run(join(folder, test.wasm), copy);
    return verdict(test, result);
  } finally {
    if (copy !== null) rmSync(copy, { recursive: true, force: true });
  }
}

/** The suite may be read-only, and a copy has the original's modes. */
function makeWritable(path: string): void {
  const st = lstatSync(path);
  if (st.isSymbolicLink()) return;
  chmodSync(path, st.mode | 0o600 | (st.isDirectory() ? 0o100 : 0));
  if (st.isDirectory()) for (const name of readdirSync(path)) makeWritable(join(path, name));
}

function verdict(test: WasiCase, result: CaseResult): string | null {
  const said = result.stderr.trim() === '' ? '' : `\n${result.stderr.trim()}`;
  if (result.trap !== null) return `trapped: ${result.trap}${said}`;
  if (result.exit !== test.exit_code) return `exit code ${result.exit}, expected ${test.exit_code}${said}`;
  for (const stream of ['stdout', 'stderr'] as const) {
    const expected = test[stream];
    if (expected !== null && expected !== result[stream]) {
      return `${stream} is ${JSON.stringify(result[stream])}, expected ${JSON.stringify(expected)}`;
    }
  }
  return null;
}
