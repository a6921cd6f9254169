/**
 * What is known of a module's functions beyond its code: from the debug information in its artifact, or where that says
 * it is.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SECTION } from '../compiler/abi/artifact.ts';
import { type DebugInfo, openDebugInfo } from '../compiler/debuginfo/index.ts';
import { openSourceMap } from '../compiler/debuginfo/source-map.ts';
import { type Artifact, ArtifactError, readArtifact } from '../compiler/object/artifact-reader.ts';
import { assignedIn, type CallSite, callsIn } from '../compiler/wasm/bodies.ts';
import type { NameSection } from '../compiler/wasm/module.ts';
import { readNames } from '../compiler/wasm/names.ts';

/** Debug files larger than this are left alone. */
const MAX_FILE_BYTES = 1 << 30;

const MAX_LOCALS = 50_000;
/** Binary code -> ValType. */
const LOCAL_TYPES: Readonly<Record<number, number>> = {
  127: 1,
  126: 2,
  125: 3,
  124: 4,
  123: 5,
  112: 6,
  111: 7,
};

export interface SymbolOptions {
  /** A module with the debug sections, in place of what the artifact has or names. */
  readonly symbolFile?: string;
}

/** Of one compiled module. Opening reads little: everything else is decoded when it is asked for. */
export class ModuleSymbols {
  /** null: there is no debug information, or none that can be read. */
  readonly debug: DebugInfo | null;
  /** The wasm module up to the end of its code section; null: the artifact does not carry it. */
  readonly wasm: Uint8Array | null;
  readonly warnings: string[] = [];
  #names: NameSection | null = null;
  readonly #assigned = new Map<number, ReadonlySet<number> | null>();
  #bodies: readonly { readonly start: number; readonly end: number }[] | null = null;

  /**
   * @param artifact the compiled module
   * @param folder where relative names of other files count from: the artifact's, or the source's
   */
  constructor(
    readonly artifact: Artifact,
    folder: string | null,
    options: SymbolOptions = {},
  ) {
    const sections = artifact.debugSections;
    this.wasm = sections.get(SECTION.wasmModule) ?? null;
    this.debug = this.#open(sections, folder, options);
  }

  /** @throws ArtifactError */
  static fromBytes(bytes: Uint8Array, folder: string | null, options: SymbolOptions = {}): ModuleSymbols {
    return new ModuleSymbols(readArtifact(bytes), folder, options);
  }

  #open(
    sections: ReadonlyMap<string, Uint8Array>,
    folder: string | null,
    options: SymbolOptions,
  ): DebugInfo | null {
    const { codeStart } = this.artifact;
    if (options.symbolFile !== undefined) {
      const own = this.#sectionsOf(resolvePath(options.symbolFile, folder));
      if (own !== null) return openDebugInfo(own);
    }
    if ([...sections.keys()].some(name => name.startsWith('.debug_'))) return openDebugInfo(sections);
    const external = nameIn(sections.get('external_debug_info'));
    if (external !== null) {
      const path = this.#resolve(external, folder);
      const other = path === null ? null : this.#sectionsOf(path);
      if (other !== null) return openDebugInfo(other);
    }
    const url = nameIn(sections.get('sourceMappingURL'));
    if (url !== null) {
      const isData = url.startsWith('data:');
      const path = isData ? url : this.#resolve(url, folder);
      const json = path === null ? null : isData ? this.#dataUrl(url) : this.#readText(path);
      const base = isData ? (folder ?? '.') : dirname(path ?? '.');
      if (json !== null)
        return openSourceMap(json, codeStart, (source, root) => sourcePath(source, root, base));
    }
    return null;
  }

  #readFile(path: string): Uint8Array | null {
    try {
      const st = statSync(path);
      // What is regular and has no size is the kernel's (/proc): reading it may wait, or tell of the host.
      if (!st.isFile() || st.size === 0 || st.size > MAX_FILE_BYTES)
        throw new Error('not a file that can be read');
      return readFileSync(path);
    } catch (e) {
      this.warnings.push(`debug information in ${path}: ${(e as Error).message}`);
      return null;
    }
  }

  /** The file that a module names; null: there can't be one. */
  #resolve(name: string, folder: string | null): string | null {
    try {
      return resolvePath(name, folder);
    } catch (e) {
      this.warnings.push(`debug information in ${name}: ${(e as Error).message}`);
      return null;
    }
  }

  #dataUrl(url: string): string | null {
    try {
      return dataUrl(url);
    } catch (e) {
      this.warnings.push(`debug information in a data: URL: ${(e as Error).message}`);
      return null;
    }
  }

  #readText(path: string): string | null {
    const bytes = this.#readFile(path);
    return bytes === null ? null : new TextDecoder().decode(bytes);
  }

  #sectionsOf(path: string): Map<string, Uint8Array> | null {
    const bytes = this.#readFile(path);
    if (bytes === null) return null;
    const sections = customSections(bytes);
    if ([...sections.keys()].some(name => name.startsWith('.debug_'))) return sections;
    this.warnings.push(`${path} holds no debug information`);
    return null;
  }

  /** Offset as DWARF counts, of a byte offset in the module. */
  codeOffset(wasmOffset: number): number {
    return wasmOffset - this.artifact.codeStart;
  }

  /** The function whose body an offset of the module is in; null: none. */
  functionAt(wasmOffset: number): number | null {
    this.body(0);
    const bodies = this.#bodies ?? [];
    let lo = 0;
    let hi = bodies.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (bodies[mid]!.start <= wasmOffset) lo = mid + 1;
      else hi = mid;
    }
    const found = bodies[lo - 1];
    return found === undefined || wasmOffset >= found.end ? null : lo - 1 + this.artifact.importedFunctions;
  }

  /** Types of a function's locals, parameters first (ValType, erased to a base); empty: not known. */
  localTypes(functionIndex: number): readonly number[] {
    const body = this.body(functionIndex);
    const type = this.artifact.types[this.artifact.func(functionIndex).typeIndex];
    if (type === undefined) return [];
    const types: number[] = [...type.params];
    if (this.wasm === null || body === null) return types;
    const r = new ByteReader(this.wasm, body.start);
    for (let groups = r.leb(); groups > 0 && r.at < body.end; groups--) {
      const count = r.leb();
      const code = this.wasm[r.at++] ?? 0;
      // A reference with a heap type behind it.
      if (code === 0x63 || code === 0x64) r.leb();
      if (types.length + count > MAX_LOCALS) break;
      for (let i = 0; i < count; i++) types.push(LOCAL_TYPES[code] ?? 0);
    }
    return types;
  }

  /** What the name section calls a function's locals, by their index; '' for those that it does not name. */
  localName(functionIndex: number, local: number): string {
    return this.#nameSection.locals.get(functionIndex)?.get(local) ?? '';
  }

  /** Index of the global that the name section calls so; null: there is none. */
  globalNamed(name: string): number | null {
    for (const [index, own] of this.#nameSection.globals) if (own === name) return index;
    return null;
  }

  get #nameSection(): NameSection {
    if (this.#names === null) {
      const bytes = this.artifact.debugSections.get('name') ?? new Uint8Array();
      this.#names = readNames(bytes, [{ name: 'name', start: 0, end: bytes.length }]);
    }
    return this.#names;
  }

  /** Whether a function has a local as a parameter and never assigns it. */
  keepsParameter(functionIndex: number, local: number): boolean {
    const body = this.body(functionIndex);
    const type = this.artifact.types[this.artifact.func(functionIndex).typeIndex];
    if (this.wasm === null || body === null || type === undefined || local >= type.params.length)
      return false;
    let assigned = this.#assigned.get(functionIndex);
    if (assigned === undefined) {
      assigned = assignedIn(this.wasm, body.start, body.end);
      this.#assigned.set(functionIndex, assigned);
    }
    return assigned !== null && !assigned.has(local);
  }

  /** Calls in a function's body, by byte offsets in the module; empty: the module isn't here. */
  calls(functionIndex: number): readonly CallSite[] {
    const body = this.body(functionIndex);
    return this.wasm === null || body === null ? [] : callsIn(this.wasm, body.start, body.end);
  }

  /**
   * Byte range in the module of a function's body (its local declarations first); null: imported, or the module isn't
   * here.
   */
  body(functionIndex: number): { readonly start: number; readonly end: number } | null {
    if (this.wasm === null) return null;
    this.#bodies ??= readBodies(this.wasm, this.artifact.codeStart);
    return this.#bodies[functionIndex - this.artifact.importedFunctions] ?? null;
  }
}

/**
 * Opens what a file of lucetc's knows. null: it is gone, or another module by now.
 * @param hash Module.hash, to be sure that it is the same
 */
export function openSymbols(
  source: { readonly bytes: Uint8Array | null; readonly path: string | null; readonly hash: string },
  options: SymbolOptions & { readonly folder?: string } = {},
): ModuleSymbols | null {
  try {
    const bytes = source.bytes ?? (source.path === null ? null : readFileSync(source.path));
    if (bytes === null) return null;
    const folder = options.folder ?? (source.path === null ? null : dirname(source.path));
    const symbols = ModuleSymbols.fromBytes(bytes, folder, options);
    return source.hash !== '' && symbols.artifact.moduleHash !== source.hash ? null : symbols;
  } catch (e) {
    // A report without lines is better than none: the file may be gone by now.
    if (e instanceof ArtifactError || (e instanceof Error && 'code' in e)) return null;
    throw e;
  }
}

function resolvePath(name: string, folder: string | null): string {
  const path = name.startsWith('file://') ? fileURLToPath(name) : name;
  return isAbsolute(path) || folder === null ? path : join(folder, path);
}

/** AssemblyScript's own library is in no file: `~lib/…` stays as it is. */
function sourcePath(source: string, root: string, folder: string): string {
  if (source.startsWith('~lib/') || /^[a-z][\w+.-]*:\/\//i.test(source)) return source;
  if (isAbsolute(source)) return source;
  // AssemblyScript's root is the module's name, a folder only where somebody serves the sources as that.
  const rooted = isAbsolute(root) ? join(root, source) : join(folder, root, source);
  return root !== '' && existsSync(rooted) ? rooted : join(folder, source);
}

function dataUrl(url: string): string | null {
  const match = /^data:[^,]*?(;base64)?,(.*)$/s.exec(url);
  if (match === null) return null;
  return match[1] === undefined ? decodeURIComponent(match[2]!) : Buffer.from(match[2]!, 'base64').toString();
}

class ByteReader {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
  ) {}

  /** Unsigned LEB128; NaN behind the end. */
  leb(): number {
    let value = 0;
    for (let scale = 1, n = 0; n < 5; n++, scale *= 128) {
      const b = this.bytes[this.at++];
      if (b === undefined) return NaN;
      value += (b & 0x7f) * scale;
      if (b < 0x80) return value;
    }
    return NaN;
  }
}

/** A section that holds one name. */
function nameIn(section: Uint8Array | undefined): string | null {
  if (section === undefined) return null;
  const r = new ByteReader(section, 0);
  const length = r.leb();
  if (!(length > 0 && r.at + length <= section.length)) return null;
  return new TextDecoder().decode(section.subarray(r.at, r.at + length));
}

/** Custom sections of a wasm file, the first of each name; as many as can be read. */
function customSections(wasm: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  if (wasm[0] !== 0 || wasm[1] !== 0x61) return found;
  const r = new ByteReader(wasm, 8);
  while (r.at < wasm.length) {
    const id = wasm[r.at++];
    const size = r.leb();
    const end = r.at + size;
    if (!(end <= wasm.length)) break;
    if (id === 0) {
      const length = r.leb();
      if (r.at + length <= end) {
        const name = new TextDecoder().decode(wasm.subarray(r.at, r.at + length));
        if (!found.has(name)) found.set(name, wasm.subarray(r.at + length, end));
      }
    }
    r.at = end;
  }
  return found;
}

function readBodies(wasm: Uint8Array, codeStart: number): { start: number; end: number }[] {
  const r = new ByteReader(wasm, codeStart);
  const bodies: { start: number; end: number }[] = [];
  for (let n = r.leb(); n > 0 && r.at < wasm.length; n--) {
    const size = r.leb();
    const end = r.at + size;
    if (!(end <= wasm.length)) break;
    bodies.push({ start: r.at, end });
    r.at = end;
  }
  return bodies;
}
