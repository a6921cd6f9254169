/**
 * The command line's files: '-' is standard input or output; what the system refuses is said in its own words, with the
 * file that it is about.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { isatty } from 'node:tty';
import { SECTION } from '../abi/artifact.ts';

/** The message names the file. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/** `ENOENT: no such file or directory, open 'x'`: the words between. */
export function systemWords(error: unknown): string {
  if ((error as NodeJS.ErrnoException | null)?.code === 'EISDIR') return 'is a directory';
  const message = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: (.+?), [a-z]+\b/.exec(message)?.[1] ?? message;
}

/** Node gives arguments as text: bytes that are not UTF-8 are lost, and the name would mean another file. */
function checkName(path: string): void {
  if (path.includes('\ufffd'))
    throw new FileError(`${path}: the name is not valid UTF-8; rename it, or use - and redirection`);
}

/** Languages that are compiled to WebAssembly first, and by what. */
const SOURCES: Readonly<Record<string, readonly [language: string, build: string]>> = {
  '.c': ['C', 'clang --target=wasm32-wasip1 -g'],
  '.cc': ['C++', 'clang++ --target=wasm32-wasip1 -g'],
  '.cpp': ['C++', 'clang++ --target=wasm32-wasip1 -g'],
  '.cxx': ['C++', 'clang++ --target=wasm32-wasip1 -g'],
  '.rs': ['Rust', 'rustc --target wasm32-wasip1 -g'],
  '.ts': ['AssemblyScript', 'asc --debug --sourceMap'],
  '.zig': ['Zig', 'zig build-exe -target wasm32-wasi'],
  '.go': ['Go', 'tinygo build -target=wasip1'],
};

/** What a file is that is neither a binary module nor text of one, and what to do; null: it may be text. */
export function otherKind(path: string, bytes: Uint8Array): string | null {
  const source = SOURCES[extname(path)];
  if (source !== undefined) return `this is ${source[0]}: build a .wasm of it first, by ${source[1]}`;
  const begins = (...magic: number[]): boolean => magic.every((b, i) => bytes[i] === b);
  if (begins(0x7f, 0x45, 0x4c, 0x46))
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(SECTION.module)
      ? 'this is compiled already: lucet-wasi runs it'
      : 'this is a program or library of the machine, no WebAssembly';
  if (begins(0x1f, 0x8b)) return 'this is compressed: unpack it first, by gunzip';
  return null;
}

/** What Node reads of a file at once. */
const MOST_INPUT = 2 ** 31 - 1;

/**
 * @param most bytes: devices and pipes may have no end
 * @throws FileError
 */
export function readInput(path: string, most = MOST_INPUT): Uint8Array {
  checkName(path);
  const name = path === '-' ? 'standard input' : path;
  try {
    const fd = path === '-' ? 0 : openSync(path, constants.O_RDONLY);
    try {
      const stat = fstatSync(fd);
      if (stat.size > most) throw tooLarge(name, most);
      // A file of the system's that is made when it is read has no size before.
      return stat.isFile() && stat.size > 0 && fd !== 0 ? readFileSync(fd) : readAll(fd, name, most);
    } finally {
      if (fd !== 0) closeSync(fd);
    }
  } catch (e) {
    throw e instanceof FileError ? e : new FileError(`${name}: ${systemWords(e)}`);
  }
}

function tooLarge(name: string, most: number): FileError {
  return new FileError(`${name}: larger than ${most} bytes, the most that is read`);
}

/** Another process may have made a pipe or a terminal that we share with it non-blocking: try again after a while. */
function again<T>(transfer: () => T): T {
  for (;;) {
    try {
      return transfer();
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EAGAIN') throw e;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function readAll(fd: number, name: string, most: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let size = 0; ; ) {
    const chunk = new Uint8Array(size < 1 << 20 ? 1 << 16 : 1 << 20);
    const n = again(() => readSync(fd, chunk));
    if (n === 0) return Buffer.concat(chunks);
    size += n;
    if (size > most) throw tooLarge(name, most);
    chunks.push(chunk.subarray(0, n));
  }
}

/**
 * Writes a file so that readers see the old one or the whole new one; where a link points, if it is one. What is no
 * file, as a pipe or a device, is written to.
 * @param mode of a file, before the umask
 * @throws FileError
 */
export function writeOutput(path: string, bytes: Uint8Array, mode = 0o666): void {
  checkName(path);
  if (path === '-' && isatty(1))
    throw new FileError('-o -: the result is binary, and standard output is a terminal');
  try {
    if (path === '-') writeAll(1, bytes);
    else writeTo(path, bytes, mode);
  } catch (e) {
    throw new FileError(`can't write ${path === '-' ? 'standard output' : path}: ${systemWords(e)}`);
  }
}

/** Writes text to standard output. It is no error if nobody reads it any more. */
export function printText(text: string): void {
  try {
    writeAll(1, Buffer.from(text));
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EPIPE')
      throw new FileError(`can't write standard output: ${systemWords(e)}`);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += again(() => writeSync(fd, bytes, at));
}

/** Where a dangling link points; any other path as it is. */
function behindLink(path: string): string {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return path;
  }
}

function writeTo(path: string, bytes: Uint8Array, mode: number): void {
  const there: Stats | undefined = statSync(path, { throwIfNoEntry: false });
  if (there === undefined || there.isFile()) {
    const file = there === undefined ? behindLink(path) : realpathSync(path);
    whole(() => writeAtomically(file, bytes, mode));
    return;
  }
  // Opening a directory says what is wrong.
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeAll(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** Puts Ctrl-C off until the step is done, so that no half of a file is left behind. */
function whole(step: () => void): void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const later = (): void => {};
  for (const signal of signals) process.on(signal, later);
  try {
    step();
  } finally {
    for (const signal of signals) process.off(signal, later);
  }
}

function writeAtomically(path: string, bytes: Uint8Array, mode: number): void {
  // A name of its own may be as long as a name can be.
  const known = Buffer.from(basename(path))
    .subarray(0, 200)
    .toString()
    .replace(/\ufffd+$/, '');
  const temporary = join(dirname(path), `.${known}.${process.pid}-${randomBytes(4).toString('hex')}`);
  const fd = openSync(temporary, 'wx', mode);
  try {
    try {
      writeAll(fd, bytes);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (e) {
    rmSync(temporary, { force: true });
    throw e;
  }
}
