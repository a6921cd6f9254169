/** The command line's files: '-' is standard input or output; what the system refuses is said in its own words, with the file that it is about. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isatty } from 'node:tty';

/** The message names the file. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/** `ENOENT: no such file or directory, open 'x'`: the words between. */
function systemWords(error: unknown): string {
  if ((error as NodeJS.ErrnoException | null)?.code === 'EISDIR') return 'is a directory';
  const message = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: (.+?), [a-z]+\b/.exec(message)?.[1] ?? message;
}

/** @throws FileError */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === '-' ? 0 : path);
  } catch (e) {
    throw new FileError(`${path === '-' ? 'standard input' : path}: ${systemWords(e)}`);
  }
}

/**
 * Writes a file so that readers see the old one or the whole new one.
 * @throws FileError
 */
export function writeOutput(path: string, bytes: Uint8Array): void {
  if (path === '-' && isatty(1))
    throw new FileError('-o -: the result is binary, and standard output is a terminal');
  try {
    if (path === '-') writeAll(1, bytes);
    else writeAtomically(path, bytes);
  } catch (e) {
    throw new FileError(`can't write ${path === '-' ? 'standard output' : path}: ${systemWords(e)}`);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function writeAtomically(path: string, bytes: Uint8Array): void {
  const temporary = join(
    dirname(path),
    `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}`,
  );
  const fd = openSync(temporary, 'wx', 0o666);
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
