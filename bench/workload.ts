/** What can be measured: a module, its arguments, the folder it may use, and, where it is known, what it must print. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** An entry of expected.json: text, or bytes and SHA-256 of long output. */
export interface Expected {
  readonly exit?: number;
  readonly stdout?: string;
  readonly stdout_bytes?: number;
  readonly stdout_sha256?: string;
  readonly stderr?: string;
  readonly stderr_bytes?: number;
  readonly stderr_sha256?: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

export interface Workload {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** Preopened as `.`. */
  readonly folder: string;
  readonly expected: Expected | null;
}

/** A .wasm file, or a folder with expected.json and NAME/NAME.wasm. */
export function findWorkloads(path: string, args: readonly string[]): Workload[] {
  if (statSync(path).isFile()) {
    return [{ name: basename(path, '.wasm'), path, args, folder: dirname(path), expected: null }];
  }
  const list = join(path, 'expected.json');
  const expected: Record<string, Expected> = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : {};
  return readdirSync(path)
    .sort()
    .map(name => ({
      name,
      path: join(path, name, `${name}.wasm`),
      args,
      folder: join(path, name),
      expected: expected[name] ?? null,
    }))
    .filter(w => existsSync(w.path));
}

export interface Output {
  readonly exit: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

function streamMismatch(name: 'stdout' | 'stderr', got: Uint8Array, expected: Expected): string | null {
  const text = expected[name];
  if (text !== undefined) {
    const is = new TextDecoder().decode(got);
    return is === text
      ? null
      : `${name} is ${JSON.stringify(is.slice(0, 200))}, expected ${JSON.stringify(text.slice(0, 200))}`;
  }
  const sha = expected[`${name}_sha256`];
  if (sha === undefined) return null;
  const is = createHash('sha256').update(got).digest('hex');
  return is === sha
    ? null
    : `${name} has ${got.length} bytes with SHA-256 ${is}, expected ${expected[`${name}_bytes`]} with ${sha}`;
}

/** How an output differs from the expected one; null if it does not. */
export function mismatch(output: Output, expected: Expected): string | null {
  if (output.exit !== (expected.exit ?? 0)) return `exit code ${output.exit}, expected ${expected.exit ?? 0}`;
  return (
    streamMismatch('stdout', output.stdout, expected) ?? streamMismatch('stderr', output.stderr, expected)
  );
}
