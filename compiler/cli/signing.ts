/** The options of lucetc that have to do with signatures: key files, passwords, what is signed and verified. */
import { closeSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CompileError } from '../diagnostics.ts';
import {
  formatPublicKey,
  formatSecretKey,
  generateKeys,
  type PublicKey,
  parsePublicKey,
  publicKeyOf,
  readSecretKey,
  type SecretKey,
  SignatureError,
  signArtifact,
  verify,
  verifyArtifact,
} from '../minisign.ts';
import { readInput } from './files.ts';

/** Before the path of a secret key: it has no password. */
const RAW = 'raw:';

export interface SignatureFlags {
  readonly 'signature-keygen'?: boolean;
  readonly 'signature-create'?: boolean;
  readonly 'signature-verify'?: boolean;
  readonly 'signature-pk'?: string;
  readonly 'signature-sk'?: string;
}

const usage = (message: string): CompileError => new CompileError(message, -1, 'usage');

/** Combinations that would leave something undone are refused. */
export function checkSignatureFlags(flags: SignatureFlags): void {
  const needs = (action: keyof SignatureFlags, key: 'signature-pk' | 'signature-sk'): void => {
    if (flags[action] && flags[key] === undefined) throw usage(`--${action} needs --${key} FILE`);
  };
  needs('signature-keygen', 'signature-pk');
  needs('signature-keygen', 'signature-sk');
  needs('signature-create', 'signature-sk');
  needs('signature-verify', 'signature-pk');
  const { 'signature-keygen': keygen, 'signature-create': create, 'signature-verify': verifies } = flags;
  if (keygen && (create || verifies))
    throw usage('--signature-keygen makes keys and nothing else: leave the other actions out');
  if (flags['signature-pk'] !== undefined && !keygen && !verifies)
    throw usage('--signature-pk: nothing is verified without --signature-verify');
  if (flags['signature-sk'] !== undefined && !keygen && !create)
    throw usage('--signature-sk: nothing is signed without --signature-create');
}

/** What went wrong with a key or a signature, with the file that it is about. */
function about<T>(path: string, f: () => T): T {
  try {
    return f();
  } catch (e) {
    throw e instanceof SignatureError ? usage(`${path}: ${e.message}`) : e;
  }
}

/** A file of a line or two: what has more is no key, and may have no end. @throws FileError */
function readKey(path: string): Uint8Array {
  return readInput(path === '-' ? './-' : path, 1 << 16);
}

/** @throws CompileError, FileError */
export function readPublicKey(path: string): PublicKey {
  return about(path, () => parsePublicKey(new TextDecoder().decode(readKey(path))));
}

/** A line of standard input. @throws CompileError at its end */
function readLine(): string {
  const bytes: number[] = [];
  const one = Buffer.alloc(1);
  while (bytes.length < 1024) {
    if (readSync(0, one, 0, 1, null) === 0) {
      if (bytes.length === 0) throw usage('a password is expected on standard input, and it has ended');
      break;
    }
    if (one[0] === 10) break;
    bytes.push(one[0]!);
  }
  return Buffer.from(bytes).toString('utf8');
}

/** From the terminal, which shows nothing of it; else a line of standard input. */
async function askPassword(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  if (!process.stdin.isTTY) {
    const line = readLine();
    process.stderr.write('\n');
    return line;
  }
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await terminal.question('');
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}

async function newPassword(): Promise<string> {
  const password = await askPassword('Password of the new secret key: ');
  if (password === '')
    throw usage('an empty password protects nothing: for a key without one write --signature-sk raw:FILE');
  if ((await askPassword('The same again: ')) !== password) throw usage('the passwords differ');
  return password;
}

/** A key that exists is never overwritten: what it has signed could not be signed again. */
function writeKey(path: string, text: string, mode: number): void {
  let fd: number;
  try {
    fd = openSync(path, 'wx', mode);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e;
    throw usage(`${path} exists: keys are not overwritten, remove it first`);
  }
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

/** --signature-keygen */
export async function generateKeyFiles(flags: SignatureFlags): Promise<void> {
  const pkPath = flags['signature-pk']!;
  const given = flags['signature-sk']!;
  const raw = given.startsWith(RAW);
  const skPath = raw ? given.slice(RAW.length) : given;
  const password = raw ? null : await newPassword();
  const sk = generateKeys();
  writeKey(skPath, formatSecretKey(sk, password), 0o600);
  try {
    writeKey(pkPath, formatPublicKey(publicKeyOf(sk)), 0o666);
  } catch (e) {
    rmSync(skPath, { force: true });
    throw e;
  }
}

export async function openSecretKey(path: string): Promise<SecretKey> {
  const raw = path.startsWith(RAW);
  const file = raw ? path.slice(RAW.length) : path;
  try {
    return await readSecretKey(Buffer.from(readKey(file)), async () =>
      raw ? null : askPassword(`Password of ${file}: `),
    );
  } catch (e) {
    throw e instanceof SignatureError ? usage(`${file}: ${e.message}`) : e;
  }
}

/** @param output where the result will be: its name goes into the signature's comment */
export function signed(artifact: Uint8Array, sk: SecretKey, output: string): Uint8Array {
  return signArtifact(artifact, sk, basename(output));
}

export const isArtifact = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;

/**
 * Of a source: by `PATH.minisig` beside it. Of a compiled module: by the signature in it.
 * @throws CompileError
 */
export function verifyInput(path: string, bytes: Uint8Array, pk: PublicKey): void {
  if (isArtifact(bytes)) {
    about(path, () => verifyArtifact(bytes, pk));
    return;
  }
  const beside = `${path}.minisig`;
  let text: string;
  try {
    text = readFileSync(beside, 'utf8');
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
    throw usage(`${path} is not signed: there is no ${beside} (minisign -S -m ${path} makes it)`);
  }
  about(path, () => verify(bytes, text, pk));
}
