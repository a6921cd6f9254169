/** What can be measured: a module, its arguments, the folder it may use, and, where it is known, what it must print. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

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

const expectations = (folder: string): Record<string, Expected> => {
  const list = join(folder, 'expected.json');
  return existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : {};
};

/**
 * A .wasm file, a folder with expected.json and NAME/NAME.wasm, or one such NAME.
 * @throws Error where a folder has none
 */
export function findWorkloads(path: string, args: readonly string[]): Workload[] {
  if (statSync(path).isFile()) {
    return [{ name: basename(path, '.wasm'), path, args, folder: dirname(path), expected: null }];
  }
  const own = basename(resolve(path));
  const single = existsSync(join(path, `${own}.wasm`));
  const folder = single ? dirname(resolve(path)) : path;
  const expected = expectations(folder);
  const workloads = (single ? [own] : readdirSync(path).sort())
    .map(name => ({
      name,
      path: join(folder, name, `${name}.wasm`),
      args,
      folder: join(folder, name),
      expected: expected[name] ?? null,
    }))
    .filter(w => existsSync(w.path));
  if (workloads.length === 0) throw new Error(`${path} has no workload: no NAME/NAME.wasm`);
  return workloads;
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
