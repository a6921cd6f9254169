/** WASI preview 1 for guests: what a guest is given of the host. The functions themselves are native (runtime/native/wasi.h). */
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { libraryPath } from './library.ts';
import type { Imports, NativeImport, NativeImports } from './linkage.ts';

/** Host stream; empty input and discarded output; no such descriptor; an open descriptor of the host, which must stay open. */
export type WasiStdio = 'inherit' | 'null' | 'closed' | { readonly fd: number };

export interface WasiPreopen {
  /** Directory of the host. */
  readonly host: string;
  /** The name it has for the guest. */
  readonly guest: string;
  /** Nothing below can be changed. */
  readonly readonly?: boolean;
}

export interface WasiOptions {
  /** The program's name first. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Descriptors from 3, in this order. */
  readonly preopens?: readonly WasiPreopen[];
  /** Default of all three: null. */
  readonly stdin?: WasiStdio;
  readonly stdout?: WasiStdio;
  readonly stderr?: WasiStdio;
}

/** Something that was to be granted to a guest can't be. */
export class WasiError extends Error {
  override readonly name = 'WasiError';
  /** @param code of the system ("ENOENT") */
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

/** Module names under which guests import WASI. */
export const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'] as const;

interface Functions {
  lucet_wasi_ctx_new(): number;
  lucet_wasi_ctx_free(ctx: number): void;
  lucet_wasi_ctx_set_args(ctx: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_ctx_set_env(ctx: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_ctx_set_stdio(ctx: number, guestFd: number, kind: number, hostFd: number): number;
  lucet_wasi_ctx_preopen(ctx: number, host: string, guest: string, flags: number): number;
  lucet_wasi_lookup(module: string, name: string, signature: [string | null]): number;
}

/** Result and parameters of each; `p`: an address, as a number. */
const SIGNATURES: Record<keyof Functions, readonly [result: string, ...params: string[]]> = {
  lucet_wasi_ctx_new: ['p'],
  lucet_wasi_ctx_free: ['void', 'p'],
  lucet_wasi_ctx_set_args: ['int', 'p', 'const uint8_t *', 'size_t', 'uint32_t'],
  lucet_wasi_ctx_set_env: ['int', 'p', 'const uint8_t *', 'size_t', 'uint32_t'],
  lucet_wasi_ctx_set_stdio: ['int', 'p', 'uint32_t', 'uint32_t', 'int'],
  lucet_wasi_ctx_preopen: ['int', 'p', 'str', 'str', 'uint32_t'],
  lucet_wasi_lookup: ['p', 'str', 'str', '_Out_ const char **'],
};

const enum StdioKind {
  Closed = 0,
  Null = 1,
  Fd = 2,
}

const READONLY = 1;

let library: Functions | null = null;

function native(): Functions {
  if (library === null) {
    const lib = koffi.load(libraryPath());
    const type = (t: string): string => (t === 'p' ? 'uintptr_t' : t);
    const functions = Object.entries(SIGNATURES).map(([name, [result, ...params]]) => [
      name,
      lib.func(name, type(result), params.map(type)),
    ]);
    library = Object.fromEntries(functions) as Functions;
  }
  return library;
}

interface Found {
  readonly function: number;
  readonly signature: string;
}

/** By "module name". The functions are the same for all contexts. */
const found = new Map<string, Found | null>();

function find(module: string, name: string): Found | null {
  const key = `${module} ${name}`;
  let f = found.get(key);
  if (f === undefined) {
    const signature: [string | null] = [null];
    const address = name.includes('\0') ? 0 : native().lucet_wasi_lookup(module, name, signature);
    f = address === 0 ? null : { function: address, signature: signature[0]! };
    found.set(key, f);
  }
  return f;
}

/** Does WASI have this function? */
export function isWasiFunction(module: string, name: string): boolean {
  return (WASI_MODULES as readonly string[]).includes(module) && find(module, name) !== null;
}

/**
 * What one guest is given: arguments, environment, directories, standard streams; and the descriptors that it opens. For one instance
 * (or several that take turns); dispose it when they are gone.
 */
export class WasiContext implements NativeImports {
  #address: number;

  /** @throws WasiError when a directory or a stream can't be granted */
  constructor(options: WasiOptions = {}) {
    const n = native();
    this.#address = n.lucet_wasi_ctx_new();
    if (this.#address === 0) throw new WasiError('no memory for a WASI context', 'ENOMEM');
    try {
      const args = joinStrings(options.args ?? [], 'argument');
      check(
        n.lucet_wasi_ctx_set_args(this.#address, args.bytes, args.bytes.length, args.count),
        'the arguments',
      );
      const pairs = Object.entries(options.env ?? {}).map(([name, value]) => {
        if (name === '' || name.includes('='))
          throw new WasiError(`${JSON.stringify(name)} is no name of an environment variable`, 'EINVAL');
        return `${name}=${value}`;
      });
      const env = joinStrings(pairs, 'environment variable');
      check(
        n.lucet_wasi_ctx_set_env(this.#address, env.bytes, env.bytes.length, env.count),
        'the environment',
      );
      [options.stdin, options.stdout, options.stderr].forEach((stdio, fd) => {
        this.#setStdio(fd, stdio ?? 'null');
      });
      for (const p of options.preopens ?? []) this.#preopen(p);
    } catch (e) {
      this.dispose();
      throw e;
    }
  }

  #setStdio(guestFd: number, stdio: WasiStdio): void {
    let kind = StdioKind.Fd;
    let host = guestFd;
    if (stdio === 'null') kind = StdioKind.Null;
    else if (stdio === 'closed') kind = StdioKind.Closed;
    else if (stdio !== 'inherit') host = stdio.fd;
    check(
      native().lucet_wasi_ctx_set_stdio(this.#address, guestFd, kind, host),
      `standard stream ${guestFd}`,
    );
  }

  #preopen(p: WasiPreopen): void {
    if (p.host.includes('\0') || p.guest.includes('\0'))
      throw new WasiError('a path can not hold a NUL', 'EINVAL');
    const error = native().lucet_wasi_ctx_preopen(this.#address, p.host, p.guest, p.readonly ? READONLY : 0);
    check(error, `directory ${p.host}`);
  }

  lookup(module: string, name: string): NativeImport | null {
    if (this.#address === 0) throw new WasiError('the WASI context was disposed', 'EBADF');
    const f = find(module, name);
    return f && { function: f.function, data: this.#address, signature: f.signature };
  }

  /** For Instance.create: this context as all the modules that WASI is imported from. */
  get imports(): Imports {
    return Object.fromEntries(WASI_MODULES.map(m => [m, this]));
  }

  /** Closes everything. No instance may use it any more. */
  dispose(): void {
    if (this.#address === 0) return;
    native().lucet_wasi_ctx_free(this.#address);
    this.#address = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function joinStrings(strings: readonly string[], what: string): { bytes: Buffer; count: number } {
  const bad = strings.find(s => s.includes('\0'));
  if (bad !== undefined) throw new WasiError(`${what} ${JSON.stringify(bad)} holds a NUL`, 'EINVAL');
  return { bytes: Buffer.from(strings.map(s => `${s}\0`).join('')), count: strings.length };
}

function check(error: number, what: string): void {
  if (error === 0) return;
  const [code, text] = getSystemErrorMap().get(-error) ?? [`errno ${error}`, `errno ${error}`];
  throw new WasiError(`${what}: ${text}`, code);
}
