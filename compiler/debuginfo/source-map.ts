/**
 * Source maps of WebAssembly (as AssemblyScript writes them): the generated "column" of the only line is the byte
 * offset in the module.
 */
import { type EncodedSourceMap, eachMapping, originalPositionFor, TraceMap } from '@jridgewell/trace-mapping';
import type { DebugInfo, LinePosition, SourceLocation } from './index.ts';

/** Larger maps are refused: a module of 100 MB has one of less. */
const MAX_BYTES = 256 << 20;

/**
 * A source map as debug information: lines and nothing else.
 * @param resolve turns a source's name in the map into a path; `root`: the map's sourceRoot, or ''
 * @param codeStart module offset of the code section's contents
 */
export function openSourceMap(
  json: string,
  codeStart: number,
  resolve: (source: string, root: string) => string,
): DebugInfo {
  const warnings: string[] = [];
  let map: TraceMap | null = null;
  let root = '';
  try {
    if (json.length > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    const read = checked(JSON.parse(json));
    map = new TraceMap(read.map);
    root = read.root;
  } catch (e) {
    warnings.push(`the source map is broken: ${(e as Error).message}`);
  }
  return new SourceMap(map, codeStart, source => resolve(source, root), warnings);
}

const isName = (v: unknown): v is string | null => v === null || typeof v === 'string';

/** A map in its encoded form, of which every position is a number and every name a string. @throws when it is none */
function checked(map: unknown): { readonly map: EncodedSourceMap; readonly root: string } {
  const { version, sources, sourceRoot, mappings } = Object(map) as Partial<Record<string, unknown>>;
  if (version !== 3) throw new Error('it is not of version 3');
  if (typeof mappings !== 'string') throw new Error('it has no mappings, or not as a string');
  if (!Array.isArray(sources) || !sources.every(isName)) throw new Error('its sources are not names');
  if (sourceRoot !== undefined && !isName(sourceRoot)) throw new Error('its sourceRoot is not a name');
  return { map: { version, sources, mappings, names: [] }, root: sourceRoot ?? '' };
}

class SourceMap implements DebugInfo {
  private readonly paths = new Map<string, string>();
  private ascending: Float64Array | null = null;

  constructor(
    private readonly map: TraceMap | null,
    private readonly codeStart: number,
    resolve: (source: string) => string,
    readonly warnings: readonly string[],
  ) {
    for (const source of map?.sources ?? []) if (source !== null) this.paths.set(source, resolve(source));
  }

  lookup(codeOffset: number): SourceLocation | null {
    if (this.map === null) return null;
    const at = originalPositionFor(this.map, { line: 1, column: codeOffset + this.codeStart });
    // Mappings are differences: those of a broken map may lead anywhere.
    if (at.source === null || at.line < 1 || at.column < 0) return null;
    return { file: this.paths.get(at.source) ?? at.source, line: at.line, column: at.column + 1 };
  }

  get files(): readonly string[] {
    return [...this.paths.values()];
  }

  positions(file: string): readonly LinePosition[] {
    const source = [...this.paths].find(([, path]) => path === file)?.[0];
    if (this.map === null || source === undefined) return [];
    const found: LinePosition[] = [];
    eachMapping(this.map, m => {
      if (m.source !== source || m.originalLine === null) return;
      found.push({
        line: m.originalLine,
        column: m.originalColumn + 1,
        codeOffset: m.generatedColumn - this.codeStart,
      });
    });
    return found.sort((a, b) => a.line - b.line || a.codeOffset - b.codeOffset);
  }

  /** The first mapping behind a function's start. */
  bodyStart(codeOffset: number): number {
    if (this.map === null) return codeOffset;
    if (this.ascending === null) {
      const all: number[] = [];
      eachMapping(this.map, m => {
        if (m.source !== null) all.push(m.generatedColumn - this.codeStart);
      });
      this.ascending = Float64Array.from(all).sort();
    }
    return this.ascending.find(at => at >= codeOffset) ?? codeOffset;
  }

  calls(): readonly never[] {
    return [];
  }

  variables(): readonly never[] {
    return [];
  }

  statics(): readonly never[] {
    return [];
  }

  locate(): { readonly kind: 'missing'; readonly why: string } {
    return { kind: 'missing', why: 'source maps know no variables' };
  }

  referred(): never {
    throw new Error('source maps have no entries that refer to others');
  }

  implementor(): null {
    return null;
  }

  inlinedCalls(): readonly number[] {
    return [];
  }

  typeNamed(): null {
    return null;
  }

  language(): number {
    return 0;
  }
}
