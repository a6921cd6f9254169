/**
 * Signatures and keys. What is independent: files that minisign 0.11 wrote (made here once), and minisign itself where
 * it is installed (CI installs it), which verifies and signs with ours.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Module } from '../../runtime/index.ts';
import { compile } from '../index.ts';
import {
  formatPublicKey,
  formatSecretKey,
  generateKeys,
  parsePublicKey,
  publicKeyOf,
  readSecretKey,
  SignatureError,
  sign,
  signArtifact,
  verify,
  verifyArtifact,
} from '../minisign.ts';
import { splitSignature } from '../object/signature.ts';
import { type Tool, ToolProcess, type ToolResult } from './support/tool-process.ts';
import { wat } from './support/wasm.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
let dir = '';
const path = (name: string) => join(dir, name);

const MINISIGN = {
  pk: `untrusted comment: minisign public key 3DB786ECCB8B4E72
RWRyTovL7Ia3PZ8BLhYbQI+ioXNH9p062SHBjRrs4yQljX74iL535a1J
`,
  sk: `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAck6Ly+yGtz1RFHUWnJ7ZYFl2d/FG/8yuU4rtNCtX1q1uT5aajYmK9J8BLhYbQI+ioXNH9p062SHBjRrs4yQljX74iL535a1JAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`,
  /** Of "hello\n". */
  hashed: `untrusted comment: signature from minisign secret key
RURyTovL7Ia3PV7NDBxWZjLk0MBRKL9l62VPgg/3xlTiq1Y4+v+uELoXzeiuiqq3w2n5P16ITsvCIzCo/VlM2dU9kw7Iourv+As=
trusted comment: timestamp:1795646597\tfile:f\thashed
lV12CO8sBfJUK+jCDyfuT5GZ+3aWG9KOpH3mcPiI8M/aDyt9Ag7l0UBSF+eIOohbYyNlbRPSfNFfDv/g7zqdAg==
`,
  legacy: `untrusted comment: signature from minisign secret key
RWRyTovL7Ia3PbkqDRk+y5DS+3eA/BpEvI8B8y2VPzpEQB4PilE1EWdvS+oaL+2mkLRywSjlLLVhfVFjo0pZOU5iZDBcjIt7zAw=
trusted comment: timestamp:1795646597\tfile:f
mnyghbDoi89r3wb1T8JcD8gQg4EBaNo7It7GKrzcW2kQOMs/gkYmCP6pK5XLfI6E0dzt2oSWMCAEDB6Pj7sTAg==
`,
};
const HELLO = Buffer.from('hello\n');
const none = async (): Promise<null> => null;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-signature-'));
  writeFileSync(path('f.wasm'), await wat('(module (func (export "_start")))'));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('minisign files', () => {
  it('keys and both kinds of signatures are read', async () => {
    const pk = parsePublicKey(MINISIGN.pk);
    expect(verify(HELLO, MINISIGN.hashed, pk)).toBe('timestamp:1795646597\tfile:f\thashed');
    expect(verify(HELLO, MINISIGN.legacy, pk)).toBe('timestamp:1795646597\tfile:f');
    expect(parsePublicKey(MINISIGN.pk.split('\n')[1]!).id).toEqual(pk.id);
    const sk = await readSecretKey(Buffer.from(MINISIGN.sk), none);
    expect(formatPublicKey(publicKeyOf(sk))).toBe(MINISIGN.pk);
    // Ed25519 is deterministic: the same key, digest and comment give minisign's own bytes.
    const ours = sign(HELLO, sk, 'timestamp:1795646597\tfile:f\thashed').split('\n').slice(1);
    expect(ours).toEqual(MINISIGN.hashed.split('\n').slice(1));
    expect(formatSecretKey(sk, null).split('\n')[1]).toBe(MINISIGN.sk.split('\n')[1]);
    // As the original lucetc kept it.
    const raw = Buffer.from(MINISIGN.sk.split('\n')[1]!, 'base64');
    expect((await readSecretKey(raw, none)).key.equals(sk.key)).toBe(true);
  });

  it('what is signed, and the trusted comment, can not be changed', () => {
    const pk = parsePublicKey(MINISIGN.pk);
    for (const text of [MINISIGN.hashed, MINISIGN.legacy]) {
      expect(() => verify(Buffer.from('hellO\n'), text, pk)).toThrow(/changed after it was signed/);
      expect(() => verify(HELLO, text.replace('file:f', 'file:g'), pk)).toThrow(/comment was changed/);
      expect(() => verify(HELLO, text, publicKeyOf(generateKeys()))).toThrow(
        /signed with key 3DB786ECCB8B4E72/,
      );
      expect(() => verify(HELLO, text.split('\n').slice(0, 2).join('\n'), pk)).toThrow(/four lines/);
    }
    // One algorithm's signature is none of the other's.
    expect(() => verify(HELLO, MINISIGN.hashed.replace('RURy', 'RWRy'), pk)).toThrow(/changed after/);
  });

  it('passwords: right, wrong, none; hostile costs are refused', async () => {
    const cost = { operations: 32_768, memory: 1 << 24 };
    const sk = generateKeys();
    const file = Buffer.from(formatSecretKey(sk, 'a word', cost));
    expect((await readSecretKey(file, async () => 'a word')).key.equals(sk.key)).toBe(true);
    await expect(readSecretKey(file, async () => 'another')).rejects.toThrow(/password is wrong/);
    await expect(readSecretKey(file, none)).rejects.toThrow(/without "raw:"/);
    const bytes = Buffer.from(file.toString().split('\n')[1]!, 'base64');
    for (const [operations, memory] of [
      [2n ** 63n, 2n ** 63n],
      [2n ** 40n, 2n ** 20n],
      [2n ** 63n, 0n],
    ] as const) {
      bytes.writeBigUInt64LE(operations, 38);
      bytes.writeBigUInt64LE(memory, 46);
      await expect(readSecretKey(bytes, async () => 'a word')).rejects.toThrow(SignatureError);
    }
  });

  it('damaged keys are refused', async () => {
    expect(() => parsePublicKey('')).toThrow(/not a public key/);
    expect(() => parsePublicKey('x'.repeat(100_000))).toThrow(/too long/);
    expect(() => parsePublicKey(MINISIGN.pk.replace('5a1J', '5a1'))).toThrow(/damaged/);
    expect(() => parsePublicKey(MINISIGN.pk.replace('RWRy', 'RUxx'))).toThrow(/unknown algorithm/);
    const halves = Buffer.from(MINISIGN.sk.split('\n')[1]!, 'base64');
    halves[110]! ^= 1;
    await expect(readSecretKey(halves, none)).rejects.toThrow(/halves differ/);
    await expect(readSecretKey(Buffer.from('nothing'), none)).rejects.toThrow(/not a secret key/);
  });
});

describe('signed modules', () => {
  const sk = generateKeys();
  const publicKey = formatPublicKey(publicKeyOf(sk));
  const pk = parsePublicKey(publicKey);

  it('load as before, and the same module and key give the same file', async () => {
    const artifact = compile(readFileSync(path('f.wasm')));
    const file = signArtifact(artifact, sk, 'f.so');
    expect(splitSignature(file).artifact).toEqual(artifact);
    expect(signArtifact(file, sk, 'f.so')).toEqual(file);
    expect(verifyArtifact(file, pk)).toBe('file:f.so\thashed');
    Module.fromBytes(file).dispose();
    Module.fromBytes(file, { publicKey }).dispose();
    writeFileSync(path('api.so'), file);
    const module = Module.fromFile(path('api.so'), { publicKey });
    expect(module.path).toBe(path('api.so'));
    module.dispose();
    expect(() => Module.fromBytes(artifact, { publicKey })).toThrow(
      expect.objectContaining({
        name: 'LoadError',
        reason: 'signature',
        message: expect.stringMatching(/not signed/),
      }),
    );
    const other = formatPublicKey(publicKeyOf(generateKeys()));
    expect(() => Module.fromFile(path('api.so'), { publicKey: other })).toThrow(
      /api\.so: it was signed with key/,
    );
  });

  it('no byte can be changed, added or removed', () => {
    // The digest does not care what the artifact is; a small one, so that each of its bytes has its turn.
    const file = signArtifact(Buffer.from('\x7fELF and some more bytes'), sk, 'f.so');
    verifyArtifact(file, pk);
    for (let at = 0; at < file.length; at++) {
      for (const bit of [1, 4, 0x20, 0x80]) {
        const changed = Uint8Array.from(file);
        changed[at]! ^= bit;
        expect(() => verifyArtifact(changed, pk), `byte ${at}, bit ${bit}`).toThrow(SignatureError);
      }
      expect(() => verifyArtifact(file.subarray(0, at), pk)).toThrow(SignatureError);
      const without = Buffer.concat([file.subarray(0, at), file.subarray(at + 1)]);
      expect(() => verifyArtifact(without, pk)).toThrow(SignatureError);
    }
    expect(() => verifyArtifact(Buffer.concat([file, Buffer.from('x')]), pk)).toThrow(SignatureError);
  });
});

describe('tools', () => {
  const commands = new ToolProcess();
  afterAll(() => commands.stop());
  const run = async (tool: Tool | 'lucet-wasi', ...args: string[]): Promise<ToolResult> => {
    if (tool !== 'lucet-wasi') return commands.run(tool, args, dir);
    const file = join(root, 'dist/native/lucet-wasi');
    const { status, stdout, stderr } = spawnSync(file, args, { cwd: dir, encoding: 'utf8', input: '' });
    return { status, stdout, stderr };
  };
  const good = { status: 0, stdout: '', stderr: '' };
  const KEYS = ['--signature-verify', '--signature-pk', 'k.pub'];

  it('keygen, compile and sign, run; a changed module is not run', async () => {
    expect(
      await run('lucetc', '--signature-keygen', '--signature-pk', 'k.pub', '--signature-sk', 'raw:k.key'),
    ).toEqual(good);
    expect(statSync(path('k.key')).mode & 0o777).toBe(0o600);
    expect(
      (await run('lucetc', '--signature-keygen', '--signature-pk', 'k2', '--signature-sk', 'raw:k.key'))
        .stderr,
    ).toMatch(/k\.key exists: keys are not overwritten/);
    const make = ['--signature-create', '--signature-sk', 'raw:k.key', '-o'];
    expect(await run('lucetc-wasi', ...make, 's.so', 'f.wasm')).toEqual(good);
    expect(await run('lucetc-wasi', '-o', 'u.so', 'f.wasm')).toEqual(good);
    expect(await run('lucet-wasi', 's.so')).toEqual(good);
    expect(await run('lucet-wasi', ...KEYS, 's.so')).toEqual(good);
    // Signed later: the same file.
    expect(await run('lucetc', ...make, 's2.so', 'u.so')).toEqual(good);
    expect(splitSignature(readFileSync(path('s2.so'))).artifact).toEqual(readFileSync(path('u.so')));
    expect(await run('lucetc', ...KEYS, 's2.so')).toEqual(good);
    expect(await run('lucet-wasi', ...KEYS, 'u.so')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'lucet-wasi: u.so: it is not signed: lucetc --signature-create signs modules\n',
    });
    const bytes = readFileSync(path('s.so'));
    bytes[bytes.indexOf('ELF') + 7]! ^= 1;
    writeFileSync(path('t.so'), bytes);
    for (const tool of ['lucet-wasi', 'lucetc', 'lucet-objdump'] as const) {
      const r = await run(tool, ...KEYS, 't.so');
      expect([r.status, r.stdout]).toEqual([1, '']);
      expect(r.stderr).toMatch(/t\.so: the signature does not fit: it was changed after it was signed\n/);
    }
    expect((await run('lucet-objdump', 's.so')).stdout).toMatch(
      /signature +by key [0-9A-F]{16}, not verified\n/,
    );
    expect((await run('lucet-objdump', ...KEYS, 's.so')).stdout).toMatch(
      /signature +by key [0-9A-F]{16}, verified\n/,
    );
  });

  it('sources are verified by the .minisig beside them, before they are compiled', async () => {
    const sk = await readSecretKey(readFileSync(path('k.key')), none);
    for (const [tool, ...more] of [
      ['lucetc', '-o', 'v.so'],
      ['lucet-wasi', '--no-cache'],
    ] as const) {
      rmSync(path('f.wasm.minisig'), { force: true });
      expect((await run(tool, ...more, ...KEYS, 'f.wasm')).stderr).toMatch(
        /f\.wasm is not signed: there is no f\.wasm\.minisig/,
      );
      writeFileSync(path('f.wasm.minisig'), sign(readFileSync(path('f.wasm')), sk, 'mine'));
      expect(await run(tool, ...more, ...KEYS, 'f.wasm')).toEqual(good);
      writeFileSync(path('f.wasm.minisig'), sign(Buffer.from('another'), sk, 'mine'));
      expect(await run(tool, ...more, ...KEYS, 'f.wasm')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/changed after it was signed/),
      });
    }
  });

  it('options that would do nothing, or lack what they need, are refused', async () => {
    for (const [tool, args, message] of [
      ['lucetc', ['--signature-create', 'f.wasm'], /--signature-create needs --signature-sk FILE/],
      ['lucetc', ['--signature-verify', 'f.wasm'], /needs --signature-pk/],
      ['lucetc', ['--signature-pk', 'k.pub', 'f.wasm'], /nothing is verified/],
      ['lucetc', ['--signature-sk', 'k.key', 'f.wasm'], /nothing is signed/],
      ['lucetc', ['--signature-keygen', '--signature-pk', 'a'], /needs --signature-sk/],
      [
        'lucetc',
        ['--emit', 'exe', '--signature-create', '--signature-sk', 'raw:k.key', 'f.wasm'],
        /signs shared objects/,
      ],
      ['lucetc', ['--signature-create', '--signature-sk', 'raw:f.wasm', 'f.wasm'], /not a secret key/],
      ['lucet-wasi', ['--signature-pk', 'k.pub', 's.so'], /need each other/],
      ['lucet-wasi', ['--signature-verify', 's.so'], /need each other/],
      [
        'lucet-wasi',
        ['--signature-verify', '--signature-pk', 'none', 's.so'],
        /none: no such file or directory\n$/,
      ],
      ['lucet-wasi', ['--signature-verify', '--signature-pk', 'f.wasm', 's.so'], /f\.wasm: not a public key/],
    ] as const) {
      const r = await run(tool, ...args);
      expect(r.stderr).toMatch(message);
      expect([r.status, r.stdout]).toEqual([1, '']);
    }
    // Without Node nothing is verified, so nothing runs.
    const r = spawnSync(join(root, 'dist/native/lucet-wasi'), [...KEYS, 's.so'], {
      cwd: dir,
      encoding: 'utf8',
      env: { LUCET_NODE: '/nowhere/node' },
    });
    expect([r.status, r.stdout]).toEqual([1, '']);
    expect(r.stderr).toMatch(/takes Node\.js, and there is no \/nowhere\/node/);
  });

  it.skipIf(!existsSync('/usr/bin/minisign'))(
    'minisign verifies what we signed, and signs with our keys',
    async () => {
      const { artifact, signature } = splitSignature(readFileSync(path('s.so')));
      writeFileSync(path('part'), artifact);
      writeFileSync(path('part.minisig'), signature!);
      const minisign = (...args: string[]) => execFileSync('minisign', args, { cwd: dir, encoding: 'utf8' });
      expect(minisign('-V', '-p', 'k.pub', '-m', 'part')).toMatch(/Signature and comment signature verified/);
      minisign('-S', '-s', 'k.key', '-m', 'f.wasm');
      expect(await run('lucetc', ...KEYS, '-o', 'm.so', 'f.wasm')).toEqual(good);
      writeFileSync(path('part'), 'x', { flag: 'a' });
      expect(() => minisign('-V', '-p', 'k.pub', '-m', 'part')).toThrow();
    },
  );

  it.skipIf(!existsSync('/usr/bin/minisign'))("a key with a password is minisign's too", async () => {
    const cost = { operations: 32_768, memory: 1 << 24 };
    const sk = generateKeys();
    writeFileSync(path('p.key'), formatSecretKey(sk, 'a word', cost));
    writeFileSync(path('p.pub'), formatPublicKey(publicKeyOf(sk)));
    const r = spawnSync('minisign', ['-S', '-s', 'p.key', '-m', 'f.wasm'], {
      cwd: dir,
      input: 'a word\n',
      encoding: 'utf8',
    });
    expect(r.status, r.stderr).toBe(0);
    expect(
      verify(readFileSync(path('f.wasm')), readFileSync(path('f.wasm.minisig'), 'utf8'), publicKeyOf(sk)),
    ).toMatch(/file:f\.wasm/);
    const compiled = spawnSync(
      process.execPath,
      [join(root, 'bin/lucetc.js'), '--signature-create', '--signature-sk', 'p.key', '-o', 'p.so', 'f.wasm'],
      { cwd: dir, input: 'a word\n', encoding: 'utf8' },
    );
    expect(compiled).toMatchObject({ status: 0, stderr: expect.stringMatching(/^Password of p\.key: /) });
    verifyArtifact(readFileSync(path('p.so')), publicKeyOf(sk));
  });
});
