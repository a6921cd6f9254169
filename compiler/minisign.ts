/**
 * Keys and signatures in minisign's formats (https://jedisct1.github.io/minisign/): Ed25519 over the BLAKE2b-512 of a
 * file ("ED"), or over the file itself ("Ed", of old). Made by Node's OpenSSL; only BLAKE2b with 32 bytes, which guards
 * encrypted keys, is not to be had there.
 *
 * Nothing here is lenient: base64 must be what an encoder writes, so that a signature can't be changed and stay good.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as ed25519Sign,
  verify as ed25519Verify,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  scryptSync,
  timingSafeEqual,
} from 'node:crypto';
import { blake2b } from '@noble/hashes/blake2.js';
import { appendSignature, splitSignature } from './object/signature.ts';

/** A key or a signature can't be read, or does not fit. The message says what to do. */
export class SignatureError extends Error {
  override readonly name = 'SignatureError';
}

const COMMENT = 'untrusted comment: ';
const TRUSTED = 'trusted comment: ';
/** Of the signatures inside of artifacts: no comment of theirs may be changed, so it is always this one. */
const OWN_COMMENT = `${COMMENT}signature of a module compiled by Lucet`;

const LEGACY = 'Ed';
const HASHED = 'ED';
const NO_KDF = '\0\0';
const SCRYPT = 'Sc';
const CHECKSUM = 'B2';

const ID_BYTES = 8;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** Algorithms (3 × 2), salt (32), limits (2 × 8), then what a password encrypts: id, seed and public key, checksum. */
const SECRET_BYTES = 158;
const ENCRYPTED_AT = 54;

export interface PublicKey {
  /** 8 bytes, which name the pair. */
  readonly id: Uint8Array;
  readonly key: KeyObject;
}

export interface SecretKey {
  readonly id: Uint8Array;
  readonly key: KeyObject;
}

/** As minisign shows it: a little-endian number. */
function keyName(id: Uint8Array): string {
  return Buffer.from(id).reverse().toString('hex').toUpperCase();
}

function decodeBase64(text: string, length: number, what: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== length || bytes.toString('base64') !== text)
    throw new SignatureError(`${what} is damaged: it should be ${length} bytes in base64`);
  return bytes;
}

const algorithm = (bytes: Buffer, at = 0): string => bytes.toString('latin1', at, at + 2);

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

const publicObject = (x: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(x) }, format: 'jwk' });

/** The 32 bytes of a public key, whichever half of the pair is given. */
function publicBytes(key: KeyObject): Buffer {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return Buffer.from(half.export({ format: 'jwk' }).x!, 'base64url');
}

/** Lines without their ends; text of hostile size is refused. */
function lines(text: string, what: string): string[] {
  if (text.length > 16_384) throw new SignatureError(`${what} is too long to be one`);
  const all = text.split(/\r?\n/);
  if (all.at(-1) === '') all.pop();
  return all;
}

// --------------------------------------------------------------------------------------------------------------------- Keys

/** @param text of a `.pub` file, or its second line alone. @throws SignatureError */
export function parsePublicKey(text: string): PublicKey {
  const all = lines(text, 'the public key');
  const line = all.length === 2 && all[0]!.startsWith(COMMENT) ? all[1]! : all.length === 1 ? all[0]! : null;
  if (line === null)
    throw new SignatureError('not a public key of minisign: expected a comment and one line of base64');
  const bytes = decodeBase64(line, 2 + ID_BYTES + KEY_BYTES, 'the public key');
  if (algorithm(bytes) !== LEGACY) throw new SignatureError('the public key is of an unknown algorithm');
  return { id: bytes.subarray(2, 2 + ID_BYTES), key: publicObject(bytes.subarray(2 + ID_BYTES)) };
}

export function formatPublicKey(pk: PublicKey): string {
  const bytes = Buffer.concat([Buffer.from(LEGACY), pk.id, publicBytes(pk.key)]);
  return `${COMMENT}minisign public key ${keyName(pk.id)}\n${bytes.toString('base64')}\n`;
}

export function generateKeys(): SecretKey {
  return { id: randomBytes(ID_BYTES), key: generateKeyPairSync('ed25519').privateKey };
}

export const publicKeyOf = (sk: SecretKey): PublicKey => ({ id: sk.id, key: createPublicKey(sk.key) });

/** What scrypt may cost, as libsodium counts: operations and bytes of memory. */
export interface ScryptCost {
  readonly operations: number;
  readonly memory: number;
}

/** minisign's own: a gibibyte and some seconds for each guess. */
const DEFAULT_COST: ScryptCost = { operations: 2 ** 25, memory: 2 ** 30 };

/**
 * libsodium's crypto_pwhash_scryptsalsa208sha256, whose limits choose scrypt's N and p; r is 8. @throws SignatureError
 */
function stretch(password: string, salt: Uint8Array, cost: ScryptCost, length: number): Buffer {
  const operations = Math.max(cost.operations, 32_768);
  const byMemory = operations >= cost.memory / 32;
  const most = byMemory ? cost.memory / 1024 : operations / 32;
  let log = 1;
  while (log < 63 && 2 ** log <= most / 2) log++;
  const N = 2 ** log;
  const p = byMemory ? Math.max(1, Math.floor(Math.min(operations / 4 / N, 0x3fff_ffff) / 8)) : 1;
  if (N * 1024 > 2 ** 31 || p > 64)
    throw new SignatureError("the secret key's file asks for more work than any password is worth");
  try {
    return scryptSync(password, salt, length, { N, r: 8, p, maxmem: 128 * 8 * (N + p + 2) + (1 << 20) });
  } catch (e) {
    throw new SignatureError(`the password can't be checked: ${(e as Error).message}`);
  }
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((v, i) => v ^ b[i]!));
}

/** @param secret id, seed and public key */
const checksumOf = (secret: Uint8Array): Uint8Array =>
  blake2b(Buffer.concat([Buffer.from(LEGACY), secret]), { dkLen: 32 });

/** As bytes; `password` null: not encrypted. */
function packSecretKey(sk: SecretKey, password: string | null, cost: ScryptCost): Buffer {
  const seed = Buffer.from(sk.key.export({ format: 'jwk' }).d!, 'base64url');
  const secret = Buffer.concat([sk.id, seed, publicBytes(sk.key)]);
  const head = Buffer.alloc(ENCRYPTED_AT);
  head.write(LEGACY + (password === null ? NO_KDF : SCRYPT) + CHECKSUM, 'latin1');
  // Without a password minisign leaves the checksum empty.
  if (password === null) return Buffer.concat([head, secret, Buffer.alloc(32)]);
  const salt = randomBytes(32);
  salt.copy(head, 6);
  head.writeBigUInt64LE(BigInt(cost.operations), 38);
  head.writeBigUInt64LE(BigInt(cost.memory), 46);
  const plain = Buffer.concat([secret, checksumOf(secret)]);
  return Buffer.concat([head, xor(plain, stretch(password, salt, cost, plain.length))]);
}

/** As minisign writes it. @param password null: whoever has the file has the key */
export function formatSecretKey(
  sk: SecretKey,
  password: string | null,
  cost: ScryptCost = DEFAULT_COST,
): string {
  const kind = password === null ? 'unencrypted' : 'encrypted';
  return `${COMMENT}minisign ${kind} secret key\n${packSecretKey(sk, password, cost).toString('base64')}\n`;
}

/**
 * @param file as minisign writes it, or only the bytes that its second line encodes (so the original lucetc kept keys
 * without passwords)
 * @param password asked only if the key is encrypted; null: there is none
 * @throws SignatureError
 */
export async function readSecretKey(
  file: Uint8Array,
  password: () => Promise<string | null>,
): Promise<SecretKey> {
  const bytes = file.length === SECRET_BYTES ? Buffer.from(file) : secretBytes(Buffer.from(file).toString());
  if (algorithm(bytes) !== LEGACY || algorithm(bytes, 4) !== CHECKSUM)
    throw new SignatureError('the secret key is of an unknown algorithm');
  const kdf = algorithm(bytes, 2);
  if (kdf === NO_KDF) return secretKey(bytes.subarray(ENCRYPTED_AT, SECRET_BYTES - 32));
  if (kdf !== SCRYPT) throw new SignatureError('the secret key is encrypted in an unknown way');
  const given = await password();
  if (given === null)
    throw new SignatureError('the secret key is encrypted: give its path without "raw:", and its password');
  const cost = {
    operations: Number(bytes.readBigUInt64LE(38)),
    memory: Number(bytes.readBigUInt64LE(46)),
  };
  const key = stretch(given, bytes.subarray(6, 38), cost, SECRET_BYTES - ENCRYPTED_AT);
  const plain = xor(bytes.subarray(ENCRYPTED_AT), key);
  const secret = plain.subarray(0, -32);
  if (!timingSafeEqual(checksumOf(secret), plain.subarray(-32)))
    throw new SignatureError('the password is wrong, or the secret key is damaged');
  return secretKey(secret);
}

function secretBytes(text: string): Buffer {
  const all = lines(text, 'the secret key');
  if (all.length !== 2 || !all[0]!.startsWith(COMMENT))
    throw new SignatureError('not a secret key of minisign: expected a comment and one line of base64');
  return decodeBase64(all[1]!, SECRET_BYTES, 'the secret key');
}

/** @param secret id, seed and public key */
function secretKey(secret: Buffer): SecretKey {
  const d = secret.subarray(ID_BYTES, ID_BYTES + KEY_BYTES);
  const x = secret.subarray(ID_BYTES + KEY_BYTES);
  const jwk = { kty: 'OKP', crv: 'Ed25519', d: base64url(d), x: base64url(x) };
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  // The seed alone makes the key: the other half must be its own, or signatures would be good for neither.
  if (!publicBytes(key).equals(x)) throw new SignatureError('the secret key is damaged: its halves differ');
  return { id: secret.subarray(0, ID_BYTES), key };
}

// --------------------------------------------------------------------------------------------------------------- Signatures

const digest = (bytes: Uint8Array): Buffer => createHash('blake2b512').update(bytes).digest();

interface Signature {
  readonly comment: string;
  readonly algorithm: string;
  readonly id: Buffer;
  readonly signature: Buffer;
  readonly trusted: string;
  readonly global: Buffer;
}

function parseSignature(text: string): Signature {
  const all = lines(text, 'the signature');
  const [comment, line, trusted, global] = all;
  if (all.length !== 4 || !comment!.startsWith(COMMENT) || !trusted!.startsWith(TRUSTED))
    throw new SignatureError('not a signature of minisign: expected four lines, two of them comments');
  const bytes = decodeBase64(line!, 2 + ID_BYTES + SIGNATURE_BYTES, 'the signature');
  return {
    comment: comment!,
    algorithm: algorithm(bytes),
    id: bytes.subarray(2, 2 + ID_BYTES),
    signature: bytes.subarray(2 + ID_BYTES),
    trusted: trusted!.slice(TRUSTED.length),
    global: decodeBase64(global!, SIGNATURE_BYTES, "the signature's own signature"),
  };
}

/**
 * The text of a `.minisig` file.
 * @param trusted comment that is signed too; one line
 */
export function sign(bytes: Uint8Array, sk: SecretKey, trusted: string): string {
  const signature = ed25519Sign(null, digest(bytes), sk.key);
  const global = ed25519Sign(null, Buffer.concat([signature, Buffer.from(trusted)]), sk.key);
  const line = Buffer.concat([Buffer.from(HASHED), sk.id, signature]).toString('base64');
  return `${OWN_COMMENT}\n${line}\n${TRUSTED}${trusted}\n${global.toString('base64')}\n`;
}

/**
 * @param text of a `.minisig` file
 * @returns its trusted comment
 * @throws SignatureError
 */
export function verify(bytes: Uint8Array, text: string, pk: PublicKey): string {
  return verifyParsed(bytes, parseSignature(text), pk);
}

function verifyParsed(bytes: Uint8Array, s: Signature, pk: PublicKey): string {
  if (s.algorithm !== HASHED && s.algorithm !== LEGACY)
    throw new SignatureError('the signature is of an unknown algorithm');
  if (!s.id.equals(pk.id))
    throw new SignatureError(
      `it was signed with key ${keyName(s.id)}, and the public key given is ${keyName(pk.id)}`,
    );
  const message = s.algorithm === HASHED ? digest(bytes) : bytes;
  if (!ed25519Verify(null, message, pk.key, s.signature))
    throw new SignatureError('the signature does not fit: it was changed after it was signed');
  if (!ed25519Verify(null, Buffer.concat([s.signature, Buffer.from(s.trusted)]), pk.key, s.global))
    throw new SignatureError('the signature does not fit: its comment was changed after it was signed');
  return s.trusted;
}

/** Signs an artifact; a signature that it has is replaced. The same artifact and key give the same file. */
export function signArtifact(bytes: Uint8Array, sk: SecretKey, name: string): Uint8Array {
  const { artifact } = splitSignature(bytes);
  const oneLine = name.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
  return appendSignature(artifact, new TextEncoder().encode(sign(artifact, sk, `file:${oneLine}\thashed`)));
}

/**
 * To be called before anything else looks at the file: no byte of it can be changed, removed or added.
 * @returns the trusted comment
 * @throws SignatureError
 */
export function verifyArtifact(bytes: Uint8Array, pk: PublicKey): string {
  const { artifact, signature } = splitSignature(bytes);
  if (signature === null)
    throw new SignatureError('it is not signed: lucetc --signature-create signs modules');
  const text = Buffer.from(signature).toString('latin1');
  const parsed = parseSignature(text);
  if (parsed.comment !== OWN_COMMENT || !text.endsWith('\n') || text.includes('\r'))
    throw new SignatureError('the signature is damaged');
  return verifyParsed(artifact, parsed, pk);
}
