/**
 * WASI preview 1 for guests: what a guest is given of the host. The functions themselves are native
 * (runtime/native/wasi.h).
 */
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { bytesAt, native as runtime } from './ffi.ts';
import { libraryPath } from './library.ts';
import type { Imports, NativeImport, NativeImports } from './linkage.ts';
import {
  addStream,
  isReadable,
  isWritable,
  removeStream,
  Sink,
  Source,
  type WaitedFor,
} from './wasi-streams.ts';

/** A stream of JavaScript's. Called while the guest runs: what it does takes the guest's time. */
export interface WasiStream {
  /** The next bytes of the guest's input, at most `length`; null or none: the end. */
  read?(length: number): Uint8Array | null;
  /** What the guest has written: a copy. */
  write?(bytes: Uint8Array): void;
}

/**
 * Host stream; empty input and discarded output; no such descriptor; memory (see WasiContext.output); an open
 * descriptor of the host, which must stay open; bytes to be read; a file, which the guest's stream starts to read or
 * which is overwritten; a stream of JavaScript's or of Node's. A guest that has to wait for one of Node's streams can
 * be run by `callAsync`, `runAsync`, a pool, or `run`, which then gives a promise to await before `resume`; `call`
 * can't wait: input that is not there yet ends it with an error, and output is taken without limit.
 */
export type WasiStdio =
  | 'inherit'
  | 'null'
  | 'closed'
  | 'buffer'
  | Uint8Array
  | { readonly fd: number }
  | { readonly file: string }
  | WasiStream
  | Readable
  | { write(bytes: Uint8Array): unknown; readonly writable: boolean };

export interface WasiPreopen {
  /** Directory of the host. */
  readonly host: string;
  /** The name it has for the guest. */
  readonly guest: string;
  /** Nothing below can be changed. */
  readonly readonly?: boolean;
}

/** What one guest is given instead of what its template says. */
export interface WasiContextOptions {
  /** The program's name first. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default of all three: the template's; the template's own: null. */
  readonly stdin?: WasiStdio;
  readonly stdout?: WasiStdio;
  readonly stderr?: WasiStdio;
}

export interface WasiOptions extends WasiContextOptions {
  /** Descriptors from 3, in this order. */
  readonly preopens?: readonly WasiPreopen[];
  /** Open sockets of the host, listening or connected, which must stay open: the descriptors behind the directories. */
  readonly sockets?: readonly number[];
  /** Most descriptors at a time, granted ones included. Default: 65,536. */
  readonly maxDescriptors?: number;
  /** Most bytes that a guest writes in all. Default: no limit. */
  readonly maxWritten?: number;
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
const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'] as const;

interface Functions {
  lucet_wasi_template_new(): number;
  lucet_wasi_template_release(t: number): void;
  lucet_wasi_template_set_args(t: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_template_set_env(t: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_template_set_stdio(t: number, guestFd: number, kind: number, hostFd: number): number;
  lucet_wasi_template_set_stream(t: number, guestFd: number, stream: unknown): number;
  lucet_wasi_template_preopen(t: number, host: string, guest: string, flags: number): number;
  lucet_wasi_template_socket(t: number, fd: number): number;
  lucet_wasi_template_set_limits(t: number, limits: unknown): number;
  lucet_wasi_ctx_new(t: number): number;
  lucet_wasi_ctx_free(ctx: number): void;
  lucet_wasi_ctx_reset(ctx: number): void;
  lucet_wasi_ctx_set_args(ctx: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_ctx_set_env(ctx: number, strings: Uint8Array, length: number, count: number): number;
  lucet_wasi_ctx_set_stdio(ctx: number, guestFd: number, kind: number, hostFd: number): number;
  lucet_wasi_ctx_set_stream(ctx: number, guestFd: number, stream: unknown): number;
  lucet_wasi_ctx_set_input(ctx: number, bytes: Uint8Array, length: number): number;
  lucet_wasi_ctx_output(ctx: number, guestFd: number, length: BigUint64Array): number;
  lucet_instance_set_wasi(instance: number, ctx: number): void;
  lucet_wasi_lookup(module: string, name: string, signature: [string | null]): number;
}

const STRINGS = ['int', 'p', 'const uint8_t *', 'size_t', 'uint32_t'] as const;
const STDIO = ['int', 'p', 'uint32_t', 'uint32_t', 'int'] as const;

/** Result and parameters of each; `p`: an address, as a number. */
const SIGNATURES: Record<keyof Functions, readonly [result: string, ...params: string[]]> = {
  lucet_wasi_template_new: ['p'],
  lucet_wasi_template_release: ['void', 'p'],
  lucet_wasi_template_set_args: STRINGS,
  lucet_wasi_template_set_env: STRINGS,
  lucet_wasi_template_set_stdio: STDIO,
  lucet_wasi_template_set_stream: ['int', 'p', 'uint32_t', 'lucet_wasi_stream *'],
  lucet_wasi_template_preopen: ['int', 'p', 'str', 'str', 'uint32_t'],
  lucet_wasi_template_socket: ['int', 'p', 'int'],
  lucet_wasi_template_set_limits: ['int', 'p', 'lucet_wasi_limits *'],
  lucet_wasi_ctx_new: ['p', 'p'],
  lucet_wasi_ctx_free: ['void', 'p'],
  lucet_wasi_ctx_reset: ['void', 'p'],
  lucet_wasi_ctx_set_args: STRINGS,
  lucet_wasi_ctx_set_env: STRINGS,
  lucet_wasi_ctx_set_stdio: STDIO,
  lucet_wasi_ctx_set_stream: ['int', 'p', 'uint32_t', 'lucet_wasi_stream *'],
  lucet_wasi_ctx_set_input: ['int', 'p', 'const uint8_t *', 'size_t'],
  lucet_wasi_ctx_output: ['p', 'p', 'uint32_t', 'uint64_t *'],
  lucet_instance_set_wasi: ['void', 'p', 'p'],
  lucet_wasi_lookup: ['p', 'str', 'str', '_Out_ const char **'],
};

const enum StdioKind {
  Closed = 0,
  Null = 1,
  Fd = 2,
  Buffer = 3,
}

const READONLY = 1;

let library: Functions | null = null;

function native(): Functions {
  if (library === null) {
    const lib = koffi.load(libraryPath());
    koffi.struct('lucet_wasi_stream', { read: 'uintptr_t', write: 'uintptr_t', data: 'uintptr_t' });
    koffi.struct('lucet_wasi_limits', { descriptors: 'uint32_t', written: 'uint64_t' });
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

type Owner = 'template' | 'ctx';

/** Files that were opened for standard streams, and callbacks that C was given: to be released with what uses them. */
class Holdings {
  readonly #files: number[] = [];
  readonly #registered: unknown[] = [];
  readonly #streams: number[] = [];

  open(path: string, guestFd: number): number {
    try {
      const fd = openSync(path, guestFd === 0 ? 'r' : 'w');
      this.#files.push(fd);
      return fd;
    } catch (e) {
      throw new WasiError((e as Error).message, (e as NodeJS.ErrnoException).code ?? 'EIO');
    }
  }

  /** Address of a C function that calls `f`. */
  register(f: (data: number, bytes: number, length: number) => number): number {
    const pointer: unknown = koffi.register(f, transferType());
    this.#registered.push(pointer);
    return Number(koffi.address(pointer));
  }

  /** @returns what C knows it by */
  waitFor(stream: WaitedFor): number {
    const data = addStream(stream);
    this.#streams.push(data);
    return data;
  }

  release(): void {
    for (const data of this.#streams.splice(0)) removeStream(data);
    for (const fd of this.#files.splice(0)) closeSync(fd);
    for (const pointer of this.#registered.splice(0)) koffi.unregister(pointer as never);
  }
}

let transfer: ReturnType<typeof koffi.pointer> | null = null;

/** Of a function pointer of struct lucet_wasi_stream. */
function transferType(): ReturnType<typeof koffi.pointer> {
  transfer ??= koffi.pointer(
    koffi.proto('int64_t lucet_wasi_transfer(uintptr_t data, uintptr_t bytes, uint64_t length)'),
  );
  return transfer;
}

const NO_BYTES = new Uint8Array(0);

type StreamStdio = WasiStream | Readable | Writable;
/** Of `length` bytes at an address: how many, or -errno. */
type Transfer = (bytes: number, length: number) => number;

/** JavaScript exceptions end here: the guest sees an input or output error. */
function guarded(f: () => number): number {
  try {
    return f();
  } catch {
    return -constants.errno.EIO;
  }
}

function setStdio(owner: Owner, address: number, guestFd: number, stdio: WasiStdio, held: Holdings): void {
  const n = native();
  const what = `standard stream ${guestFd}`;
  const set = (kind: StdioKind, fd: number): void => {
    check(n[`lucet_wasi_${owner}_set_stdio`](address, guestFd, kind, fd), what);
  };
  if (stdio === 'null') set(StdioKind.Null, -1);
  else if (stdio === 'closed') set(StdioKind.Closed, -1);
  else if (stdio === 'buffer') set(StdioKind.Buffer, -1);
  else if (stdio === 'inherit') set(StdioKind.Fd, guestFd);
  else if (stdio instanceof Uint8Array) {
    if (guestFd !== 0 || owner !== 'ctx')
      throw new WasiError(`${what}: bytes can be a context's standard input only`, 'EINVAL');
    check(n.lucet_wasi_ctx_set_input(address, stdio, stdio.length), what);
  } else if ('fd' in stdio && typeof stdio.fd === 'number') set(StdioKind.Fd, stdio.fd);
  else if ('file' in stdio) set(StdioKind.Fd, held.open(stdio.file, guestFd));
  else setStream(owner, address, guestFd, stdio as StreamStdio, held);
}

function setStream(owner: Owner, address: number, guestFd: number, s: StreamStdio, held: Holdings): void {
  const set = (read: Transfer | null, write: Transfer | null, data: number): void => {
    const stream = {
      read: read === null ? 0 : held.register((_data, bytes, length) => guarded(() => read(bytes, length))),
      write:
        write === null ? 0 : held.register((_data, bytes, length) => guarded(() => write(bytes, length))),
      data,
    };
    check(native()[`lucet_wasi_${owner}_set_stream`](address, guestFd, stream), `standard stream ${guestFd}`);
  };
  const reading =
    (from: (length: number) => Uint8Array | number): Transfer =>
    (bytes, length) => {
      const most = Math.min(Number(length), 1 << 20);
      const got = from(most);
      if (typeof got === 'number') return got;
      if (got.length > most) return -constants.errno.EIO;
      if (got.length === 0) return 0;
      runtime().copyIn(Number(bytes), got, got.length);
      return got.length;
    };
  const writing =
    (to: (bytes: Uint8Array) => number): Transfer =>
    (bytes, length) =>
      to(Number(length) === 0 ? NO_BYTES : bytesAt(Number(bytes), Number(length)));
  if (guestFd === 0 && isReadable(s)) {
    const source = new Source(s);
    set(
      reading(length => source.read(length)),
      null,
      held.waitFor(source),
    );
  } else if (guestFd !== 0 && isWritable(s)) {
    const sink = new Sink(s);
    set(
      null,
      writing(bytes => sink.write(bytes)),
      held.waitFor(sink),
    );
  } else {
    const own = s as WasiStream;
    set(
      guestFd === 0 && own.read ? reading(length => own.read!(length) ?? 0) : null,
      guestFd !== 0 && own.write
        ? writing(bytes => {
            own.write!(bytes);
            return bytes.length;
          })
        : null,
      0,
    );
  }
}

function configure(owner: Owner, address: number, options: WasiContextOptions, held: Holdings): void {
  const n = native();
  if (options.args !== undefined) {
    const args = joinStrings(options.args, 'argument');
    check(
      n[`lucet_wasi_${owner}_set_args`](address, args.bytes, args.bytes.length, args.count),
      'the arguments',
    );
  }
  if (options.env !== undefined) {
    const pairs = Object.entries(options.env).map(([name, value]) => {
      if (name === '' || name.includes('='))
        throw new WasiError(`${JSON.stringify(name)} is no name of an environment variable`, 'EINVAL');
      return `${name}=${value}`;
    });
    const env = joinStrings(pairs, 'environment variable');
    check(
      n[`lucet_wasi_${owner}_set_env`](address, env.bytes, env.bytes.length, env.count),
      'the environment',
    );
  }
  [options.stdin, options.stdout, options.stderr].forEach((stdio, fd) => {
    if (stdio !== undefined) setStdio(owner, address, fd, stdio, held);
  });
}

/**
 * What guests are granted, for any number of guests: directories are opened here, once. Its `imports` serve one Linkage
 * for all instances; each instance then gets a context of its own (WasiTemplate.context, WasiContext.attach).
 */
export class WasiTemplate implements NativeImports {
  #address: number;
  readonly #held = new Holdings();

  /** @throws WasiError when a directory or a stream can't be granted */
  constructor(options: WasiOptions = {}) {
    const n = native();
    this.#address = n.lucet_wasi_template_new();
    if (this.#address === 0) throw new WasiError('no memory for a WASI template', 'ENOMEM');
    try {
      configure('template', this.#address, options, this.#held);
      for (const p of options.preopens ?? []) this.#preopen(p);
      for (const fd of options.sockets ?? [])
        check(n.lucet_wasi_template_socket(this.#address, fd), `socket ${fd}`);
      const limits = {
        descriptors: options.maxDescriptors ?? 65536,
        written: BigInt.asUintN(64, options.maxWritten === undefined ? -1n : BigInt(options.maxWritten)),
      };
      check(n.lucet_wasi_template_set_limits(this.#address, limits), 'the limits');
    } catch (e) {
      this.dispose();
      throw e;
    }
  }

  #preopen(p: WasiPreopen): void {
    if (p.host.includes('\0') || p.guest.includes('\0'))
      throw new WasiError('a path can not hold a NUL', 'EINVAL');
    const flags = p.readonly ? READONLY : 0;
    check(native().lucet_wasi_template_preopen(this.address, p.host, p.guest, flags), `directory ${p.host}`);
  }

  get address(): number {
    if (this.#address === 0) throw new WasiError('the WASI template was disposed', 'EBADF');
    return this.#address;
  }

  lookup(module: string, name: string): NativeImport | null {
    const f = find(module, name);
    return f && { function: f.function, data: 0, signature: f.signature };
  }

  /**
   * For Linkage.create: WASI as all the modules that it is imported from. Each instance needs a context:
   * WasiContext.attach.
   */
  get imports(): Imports {
    return Object.fromEntries(WASI_MODULES.map(m => [m, this]));
  }

  context(options: WasiContextOptions = {}): WasiContext {
    return new WasiContext(this, options);
  }

  /**
   * Gives the handle back. What contexts still use lives on with them; but files and streams for stdio are released
   * now.
   */
  dispose(): void {
    if (this.#address === 0) return;
    native().lucet_wasi_template_release(this.#address);
    this.#address = 0;
    this.#held.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const outputLength = new BigUint64Array(1);

/**
 * What one guest is given, and the descriptors that it opens. For one instance (or several that take turns); dispose it
 * when they are gone, or reset it for the next guest.
 */
export class WasiContext implements NativeImports {
  #address: number;
  readonly #template: WasiTemplate | null;
  readonly #held = new Holdings();

  /**
   * @param from a template, whose grants this context has, with `options` instead of what it says; or all that is
   * granted to this one guest
   * @throws WasiError when a directory or a stream can't be granted
   */
  constructor(from: WasiTemplate | WasiOptions = {}, options: WasiContextOptions = {}) {
    const own = from instanceof WasiTemplate ? null : new WasiTemplate(templateOptions(from));
    this.#template = own;
    this.#address = native().lucet_wasi_ctx_new((own ?? (from as WasiTemplate)).address);
    if (this.#address === 0) throw new WasiError('no memory for a WASI context', 'ENOMEM');
    try {
      const { stdin } = from as WasiOptions;
      if (own !== null && stdin instanceof Uint8Array) setStdio('ctx', this.#address, 0, stdin, this.#held);
      configure('ctx', this.#address, options, this.#held);
    } catch (e) {
      this.dispose();
      throw e;
    }
  }

  get address(): number {
    if (this.#address === 0) throw new WasiError('the WASI context was disposed', 'EBADF');
    return this.#address;
  }

  lookup(module: string, name: string): NativeImport | null {
    const f = find(module, name);
    return f && { function: f.function, data: this.address, signature: f.signature };
  }

  /** For Instance.create: this context as all the modules that WASI is imported from. */
  get imports(): Imports {
    return Object.fromEntries(WASI_MODULES.map(m => [m, this]));
  }

  /** The instance, which was linked with a template's imports, uses this context from now on. */
  attach(instance: { readonly address: number }): void {
    native().lucet_instance_set_wasi(instance.address, this.address);
  }

  /** A copy of what the guest has written to a standard stream (1 or 2) that is 'buffer'. */
  output(guestFd: 1 | 2): Uint8Array {
    const at = native().lucet_wasi_ctx_output(this.address, guestFd, outputLength);
    return bytesAt(at, Number(outputLength[0]));
  }

  /** Makes it as new, for the next guest: closes what the last one has open. */
  reset(options: WasiContextOptions = {}): void {
    native().lucet_wasi_ctx_reset(this.address);
    this.#held.release();
    configure('ctx', this.address, options, this.#held);
  }

  /** Closes everything. No instance may use it any more. */
  dispose(): void {
    if (this.#address === 0) return;
    native().lucet_wasi_ctx_free(this.#address);
    this.#address = 0;
    this.#held.release();
    this.#template?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Bytes as standard input are a context's. */
function templateOptions(options: WasiOptions): WasiOptions {
  return options.stdin instanceof Uint8Array ? { ...options, stdin: 'buffer' } : options;
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
