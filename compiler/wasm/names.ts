/**
 * The name section (core specification, appendix "Name Section"). It is a hint: a section that is broken somewhere is
 * read up to there, and never an error.
 */
import { CompileError } from '../diagnostics.ts';
import { LIMITS } from './limits.ts';
import type { CustomSection, NameSection } from './module.ts';
import { Reader } from './reader.ts';

const enum Subsection {
  Module = 0,
  Functions = 1,
  Locals = 2,
  Globals = 7,
}

type NameMap = Map<number, string>;

/** @param most entries and indices: what else there is has no name */
function readMap(r: Reader, into: NameMap, most: number): void {
  for (let n = r.u32(); n > 0; n--) {
    const index = r.u32();
    const name = r.name();
    if (index < most && into.size < most) into.set(index, name);
  }
}

class Names implements NameSection {
  module: string | null = null;
  readonly functions: NameMap = new Map();
  readonly globals: NameMap = new Map();
  readonly locals = new Map<number, NameMap>();
  private localNames = 0;

  read(r: Reader): void {
    const sectionEnd = Math.min(r.end, r.pos + LIMITS.nameBytes);
    while (r.pos < sectionEnd) {
      r.end = sectionEnd;
      const id = r.u8();
      const size = r.u32();
      const end = r.skip(size) + size;
      r.pos = end - size;
      r.end = end;
      try {
        this.subsection(r, id);
      } catch (e) {
        if (!(e instanceof CompileError)) throw e;
      }
      r.pos = end;
    }
  }

  private subsection(r: Reader, id: number): void {
    switch (id) {
      case Subsection.Module:
        this.module = r.name();
        break;
      case Subsection.Functions:
        readMap(r, this.functions, LIMITS.functions);
        break;
      case Subsection.Globals:
        readMap(r, this.globals, LIMITS.globals);
        break;
      case Subsection.Locals:
        for (let n = r.u32(); n > 0; n--) {
          const index = r.u32();
          const names: NameMap = new Map();
          try {
            readMap(r, names, Math.min(LIMITS.locals, LIMITS.localNames - this.localNames));
          } finally {
            if (names.size > 0 && index < LIMITS.functions) {
              this.localNames += names.size - (this.locals.get(index)?.size ?? 0);
              this.locals.set(index, names);
            }
          }
        }
        break;
    }
  }
}

/** The names in the first custom section called `name`, read when they are first asked for; empty without one. */
export class LazyNames implements NameSection {
  private known: NameSection | null = null;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly sections: readonly CustomSection[],
  ) {}

  private get all(): NameSection {
    this.known ??= readNames(this.bytes, this.sections);
    return this.known;
  }
  get module(): string | null {
    return this.all.module;
  }
  get functions(): ReadonlyMap<number, string> {
    return this.all.functions;
  }
  get globals(): ReadonlyMap<number, string> {
    return this.all.globals;
  }
  get locals(): ReadonlyMap<number, ReadonlyMap<number, string>> {
    return this.all.locals;
  }
}

/** The same, read at once. */
export function readNames(bytes: Uint8Array, sections: readonly CustomSection[]): NameSection {
  const names = new Names();
  const section = sections.find(s => s.name === 'name');
  if (section) {
    try {
      names.read(new Reader(bytes, section.start, section.end));
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
    }
  }
  return names;
}
