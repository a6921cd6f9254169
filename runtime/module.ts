/** A compiled module, mapped into memory. */
import { readFileSync } from 'node:fs';
import { parsePublicKey, SignatureError, verifyArtifact } from '../compiler/minisign.ts';
import { LoadError, StateError } from './errors.ts';
import { AT, bytesAt, errorMessage, native, STRUCTS, Status, shared, stringAt } from './ffi.ts';
import { type ExternType, type FuncType, type ReferenceType, type ValueType, valueTypeOf } from './types.ts';

export interface ImportInfo {
  readonly module: string;
  readonly name: string;
  readonly type: ExternType;
}

export interface ExportInfo {
  readonly name: string;
  readonly type: ExternType;
  /** In the module's index space of its kind. */
  readonly index: number;
}

export interface LoadOptions {
  /**
   * Text of a public key of minisign's: the module must be signed by it (`lucetc --signature-create`), which is checked
   * before anything else.
   */
  readonly publicKey?: string;
}

const KINDS = ['func', 'table', 'memory', 'global', 'tag'] as const;
const EXTERN = STRUCTS.lucet_extern;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** Modules by address: what the C side names in traps is looked up here. */
const loaded = new Map<number, Module>();

export function moduleAt(address: number): Module | null {
  return loaded.get(address) ?? null;
}

/** How many names a message lists, of what may be thousands. */
const MOST_TOLD = 8;

/** "; it exports …, and 12 more": those first that begin like `name`. */
export function exportsLike(exports: readonly ExportInfo[], name: string): string {
  const plain = (text: string): string => text.replace(/^_+/, '').toLowerCase();
  const wanted = plain(name);
  const likeness = (text: string): number => {
    const other = plain(text);
    let same = 0;
    while (same < wanted.length && same < other.length && wanted[same] === other[same]) same++;
    return same;
  };
  const ranked = exports
    .map(e => ({ name: e.name, alike: likeness(e.name) }))
    .sort((a, b) => b.alike - a.alike);
  if (ranked.length === 0) return '; it has no exports';
  const told = ranked.slice(0, MOST_TOLD).map(e => JSON.stringify(e.name.slice(0, 100)));
  const more = ranked.length > MOST_TOLD ? `, and ${ranked.length - MOST_TOLD} more` : '';
  return `; it exports ${told.join(', ')}${more}`;
}

export class Module {
  /** The native handle. */
  readonly address: number;
  /** Where it was loaded from, if from a file. */
  readonly path: string | null;
  readonly #bytes: Uint8Array | null;
  #disposed = false;
  #sourceFolder: string | null = null;
  /** Instances of it: the native handle is kept for them, so that reports can name functions. */
  #users = 0;
  #imports: readonly ImportInfo[] | null = null;
  #exports: readonly ExportInfo[] | null = null;
  #exportsByName: ReadonlyMap<string, number> | null = null;
  #name: string | null = null;
  readonly #functionNames = new Map<number, string>();

  private constructor(address: number, path: string | null, bytes: Uint8Array | null) {
    this.address = address;
    this.path = path;
    this.#bytes = bytes;
    loaded.set(address, this);
  }

  /**
   * Loads a `.so` that lucetc wrote.
   * @throws LoadError
   */
  static fromFile(path: string, options: LoadOptions = {}): Module {
    if (path.includes('\0')) throw new LoadError('a path can not hold a NUL', 'io', 0);
    // The file is read once, so that what is verified is what is loaded.
    if (options.publicKey !== undefined) return Module.#load(readWhole(path), path, options);
    const s = shared();
    checkLoad(native().lucet_module_load_file(path, s.out, s.error));
    return new Module(s.block.word(AT.OUT), path, null);
  }

  /**
   * Loads a `.so` from memory. The bytes stay referenced, for the debug information in them: don't change them.
   * @throws LoadError
   */
  static fromBytes(bytes: Uint8Array, options: LoadOptions = {}): Module {
    return Module.#load(bytes, null, options);
  }

  static #load(bytes: Uint8Array, path: string | null, { publicKey }: LoadOptions): Module {
    if (publicKey !== undefined) checkSignature(bytes, publicKey, path);
    const s = shared();
    checkLoad(native().lucet_module_load_bytes(bytes, bytes.length, s.out, s.error));
    return new Module(s.block.word(AT.OUT), path, bytes);
  }

  /** From the name section; empty: none. */
  get name(): string {
    if (this.#name === null) {
      const s = shared();
      const at = native().lucet_module_name(this.#use(), s.out);
      this.#name = stringAt(at, s.block.u32[AT.OUT >> 2]!);
    }
    return this.#name;
  }

  /** Name, else the file's. For people. */
  get label(): string {
    return this.name || (this.path?.replace(/^.*\//, '') ?? 'module');
  }

  /** First 16 bytes of the SHA-256 of the wasm module, in hex. */
  get hash(): string {
    return Buffer.from(bytesAt(native().lucet_module_hash(this.#use()), 16)).toString('hex');
  }

  /**
   * Every guest of this module stops where it comes to that instruction; see Instance.onStop.
   * @param offset in the code, of an instruction behind its function's prologue
   * @throws StateError when the system does not allow it, or there is no code
   */
  setBreakpoint(offset: number): void {
    if (native().lucet_module_set_breakpoint(this.#use(), offset, shared().error) !== Status.Ok)
      throw new StateError(errorMessage());
  }

  clearBreakpoint(offset: number): void {
    if (native().lucet_module_clear_breakpoint(this.#use(), offset, shared().error) !== Status.Ok)
      throw new StateError(errorMessage());
  }

  /** Address and size of the mapped code. */
  get code(): { readonly address: number; readonly length: number } {
    const s = shared();
    const address = native().lucet_module_code(this.#use(), s.out);
    return { address, length: s.block.word(AT.OUT) };
  }

  get imports(): readonly ImportInfo[] {
    if (this.#imports === null) {
      const n = native();
      const { extern } = shared();
      const address = this.#use();
      this.#imports = Array.from({ length: n.lucet_module_import_count(address) }, (_, i) => {
        n.lucet_module_import(address, i, extern);
        const module = externString(EXTERN.module, EXTERN.module_length);
        return { module, name: externString(EXTERN.name, EXTERN.name_length), type: externType() };
      });
    }
    return this.#imports;
  }

  get exports(): readonly ExportInfo[] {
    if (this.#exports === null) {
      const n = native();
      const { extern, block } = shared();
      const address = this.#use();
      this.#exports = Array.from({ length: n.lucet_module_export_count(address) }, (_, i) => {
        n.lucet_module_export(address, i, extern);
        const index = block.u32[(AT.EXTERN + EXTERN.index) >> 2]!;
        return { name: externString(EXTERN.name, EXTERN.name_length), type: externType(), index };
      });
    }
    return this.#exports;
  }

  /** Index of the export with this name, or -1. */
  exportNumber(name: string): number {
    this.#exportsByName ??= new Map(this.exports.map((e, i) => [e.name, i]));
    return this.#exportsByName.get(name) ?? -1;
  }

  /** From the name section, else the name that it is exported under; empty: none. */
  functionName(index: number): string {
    let name = this.#functionNames.get(index);
    if (name === undefined) {
      if (this.#released) return '';
      const s = shared();
      const at = native().lucet_module_function_name(this.address, index, s.out);
      name = stringAt(at, s.block.u32[AT.OUT >> 2]!);
      this.#functionNames.set(index, name);
    }
    return name;
  }

  /**
   * Where names of other files in its debug information count from: the source's folder, where it is not the
   * artifact's.
   */
  get sourceFolder(): string | null {
    return this.#sourceFolder;
  }

  set sourceFolder(folder: string | null) {
    this.#sourceFolder = folder;
  }

  /** The bytes it was loaded from, if it was loaded from bytes. */
  get sourceBytes(): Uint8Array | null {
    return this.#bytes;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Gives the handle back. Instances that exist keep the code, but no more can be made. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#users === 0) this.#release();
  }

  /** An instance of it was made. */
  retain(): void {
    this.#users++;
  }

  /** An instance of it is gone. */
  release(): void {
    if (--this.#users === 0 && this.#disposed) this.#release();
  }

  get #released(): boolean {
    return this.#disposed && this.#users === 0;
  }

  #release(): void {
    loaded.delete(this.address);
    native().lucet_module_release(this.address);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #use(): number {
    if (this.#released) throw new LoadError('the module was disposed', 'resources', 0);
    return this.address;
  }
}

function readWhole(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (e) {
    throw new LoadError((e as Error).message, 'io', 0);
  }
}

function checkSignature(bytes: Uint8Array, publicKey: string, path: string | null): void {
  try {
    verifyArtifact(bytes, parsePublicKey(publicKey));
  } catch (e) {
    if (!(e instanceof SignatureError)) throw e;
    throw new LoadError(path === null ? e.message : `${path}: ${e.message}`, 'signature', 0);
  }
}

function checkLoad(status: number): void {
  if (status === Status.Ok) return;
  const { block } = shared();
  const offset = block.word(AT.ERROR + STRUCTS.lucet_error.offset);
  throw new LoadError(errorMessage(), loadReason(status), offset);
}

function loadReason(status: Status): LoadError['reason'] {
  switch (status) {
    case Status.Format:
      return 'format';
    case Status.Version:
      return 'version';
    case Status.Checksum:
      return 'checksum';
    case Status.Cpu:
      return 'cpu';
    case Status.Resources:
      return 'resources';
    default:
      return 'io';
  }
}

function externField(offset: number): number {
  return shared().block.u32[(AT.EXTERN + offset) >> 2]!;
}

function externString(pointer: number, length: number): string {
  return stringAt(shared().block.word(AT.EXTERN + pointer), externField(length));
}

/** The type in the shared lucet_extern. */
function externType(): ExternType {
  const { block } = shared();
  const kind = KINDS[externField(EXTERN.kind)];
  const flags = externField(EXTERN.flags);
  const limit = (offset: number): number => block.word(AT.EXTERN + offset);
  // A limit above 2^53 can never be reached, so rounding it does no harm.
  const hasMax = block.u64[(AT.EXTERN + EXTERN.max) >> 3] !== ALL_ONES;
  switch (kind) {
    case 'func':
      return { kind, ...externFuncType() };
    case 'tag':
      return { kind, params: externFuncType().params };
    case 'global':
      return { kind, type: valueTypeOf(externField(EXTERN.valtype)), mutable: (flags & 1) !== 0 };
    case 'table':
      return {
        kind,
        element: valueTypeOf(externField(EXTERN.valtype)) as ReferenceType,
        min: limit(EXTERN.min),
        max: hasMax ? limit(EXTERN.max) : null,
        index64: (flags & 1) !== 0,
      };
    case 'memory':
      return {
        kind,
        min: limit(EXTERN.min),
        max: hasMax ? limit(EXTERN.max) : null,
        index64: (flags & 1) !== 0,
        shared: (flags & 2) !== 0,
        pageSize: 2 ** ((flags >> 8) & 0xff),
      };
    default:
      throw new Error(`extern kind ${externField(EXTERN.kind)} is unknown`);
  }
}

function externFuncType(): FuncType {
  const params = externField(EXTERN.params);
  const results = externField(EXTERN.results);
  return funcTypeAt(shared().block.word(AT.EXTERN + EXTERN.types), params, results);
}

/** From an array of lucet_valtype: parameters, then results. */
export function funcTypeAt(address: number, params: number, results: number): FuncType {
  const types: ValueType[] = Array.from(bytesAt(address, params + results), valueTypeOf);
  return { params: types.slice(0, params), results: types.slice(params) };
}
