/** Breakpoints: what the editor asks for, bound to places of the code; and what happens when one is hit. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { demangle } from '../runtime/debug.ts';
import type { ModuleSymbols } from '../runtime/index.ts';
import { Evaluator, ExpressionError } from './evaluate.ts';
import type { Frames } from './frames.ts';
import type { Sources } from './sources.ts';
import type { DebugTarget } from './target.ts';

interface Bound {
  /** What the editor is told of it. */
  readonly shown: DebugProtocol.Breakpoint;
  readonly id: number;
  readonly condition: string;
  readonly hitCondition: string;
  readonly logMessage: string;
  readonly offsets: readonly number[];
  hits: number;
}

/** What a stop at a breakpoint comes to. */
export interface Hit {
  /** Ids of the breakpoints that stop; empty: go on. */
  readonly ids: readonly number[];
  /** Lines of logpoints, and conditions that could not be evaluated. */
  readonly messages: readonly string[];
}

const NOT_COMPILED =
  'The program was compiled without places to stop at: compile it with lucetc -g -O0, or give the debugger the .wasm.';

export class Breakpoints {
  /** By what they were set for, a source path or a kind; then by what was asked for. */
  private readonly groups = new Map<string, Map<string, Bound[]>>();
  /** Those of each offset, in the order in which they were set. */
  private readonly at = new Map<number, Set<Bound>>();
  private readonly lines = new Map<string, SourceLines | null>();
  private functions: FunctionNames | null = null;
  private nextId = 1;

  constructor(
    private readonly target: DebugTarget,
    private readonly sources: Sources,
    private readonly frames: Frames,
    /** Whether a step in progress may end at an offset: its breakpoint stays. */
    private readonly isStep: (offset: number) => boolean,
  ) {}

  setForSource(
    source: DebugProtocol.Source,
    wanted: readonly DebugProtocol.SourceBreakpoint[],
  ): DebugProtocol.Breakpoint[] {
    const path = source.path ?? '';
    return this.replace(`source ${path}`, wanted, b => this.placesOf(path, b.line, b.column ?? 0), source);
  }

  /** In the text of a function. @param offsetAt offset of the operator on a line */
  setForView(
    source: DebugProtocol.Source,
    wanted: readonly DebugProtocol.SourceBreakpoint[],
    offsetAt: (line: number) => number | null,
  ): DebugProtocol.Breakpoint[] {
    const bind = (b: DebugProtocol.SourceBreakpoint): Binding => {
      const at = offsetAt(b.line);
      const offset = at === null ? null : this.pointAt(at);
      return offset === null ? { message: NOT_COMPILED } : { places: [{ offset, line: b.line, column: 0 }] };
    };
    return this.replace(`view ${source.sourceReference}`, wanted, bind, source);
  }

  setForFunctions(wanted: readonly DebugProtocol.FunctionBreakpoint[]): DebugProtocol.Breakpoint[] {
    return this.replace('functions', wanted, b => this.functionPlaces(b.name), null);
  }

  setForInstructions(
    wanted: readonly DebugProtocol.InstructionBreakpoint[],
    offsetOf: (reference: string, offset: number) => number | null,
  ): DebugProtocol.Breakpoint[] {
    return this.replace(
      'instructions',
      wanted,
      b => {
        const at = offsetOf(b.instructionReference, b.offset ?? 0);
        const point = at === null ? null : this.pointAt(at);
        return point === null
          ? { message: 'There is no place to stop at this instruction.' }
          : { places: [{ offset: point, line: 0, column: 0 }] };
      },
      null,
    );
  }

  /** Places in a source where breakpoints can be, between two lines. */
  locations(path: string, line: number, endLine: number): { line: number; column: number }[] {
    const { debug } = this.target.symbols;
    const found = new Map<string, { line: number; column: number }>();
    for (const file of debug === null ? [] : this.sources.recorded(path, debug.files)) {
      for (const p of debug!.positions(file)) {
        if (p.line >= line && p.line <= endLine && p.column > 0)
          found.set(`${p.line}:${p.column}`, { line: p.line, column: p.column });
      }
    }
    return [...found.values()].sort((a, b) => a.line - b.line || a.column - b.column);
  }

  /**
   * What was there before and is still wanted stays as it is, with its id and its hits: a guest that runs meanwhile
   * misses none of it.
   */
  private replace<T extends { condition?: string; hitCondition?: string; logMessage?: string }>(
    group: string,
    wanted: readonly T[],
    bind: (b: T) => Binding,
    source: DebugProtocol.Source | null,
  ): DebugProtocol.Breakpoint[] {
    const old = this.groups.get(group) ?? new Map<string, Bound[]>();
    const now = new Map<string, Bound[]>();
    const shown = wanted.map((b): DebugProtocol.Breakpoint => {
      const key = JSON.stringify(Object.entries(b).sort(([x], [y]) => (x < y ? -1 : 1)));
      const bound = old.get(key)?.pop() ?? this.bind(b, bind, source);
      const same = now.get(key);
      if (same === undefined) now.set(key, [bound]);
      else same.push(bound);
      return bound.shown;
    });
    this.groups.set(group, now);
    for (const gone of old.values()) for (const bound of gone) this.release(bound);
    return shown;
  }

  private bind<T extends { condition?: string; hitCondition?: string; logMessage?: string }>(
    b: T,
    bind: (b: T) => Binding,
    source: DebugProtocol.Source | null,
  ): Bound {
    const id = this.nextId++;
    const { condition = '', hitCondition = '', logMessage = '' } = b;
    const own = { id, condition, hitCondition, logMessage, hits: 0 };
    const binding = HIT_CONDITION.test(hitCondition)
      ? bind(b)
      : { message: `The hit count "${hitCondition}" is not understood: write 5, >= 5, < 5 or % 5.` };
    if ('message' in binding)
      return { ...own, offsets: [], shown: { id, verified: false, message: binding.message } };
    const first = binding.places[0]!;
    const bound: Bound = {
      ...own,
      offsets: [...new Set(binding.places.map(p => p.offset))],
      shown: {
        id,
        verified: true,
        ...(source === null || first.line === 0 ? {} : { source, line: first.line }),
        ...(first.column > 0 ? { column: first.column } : {}),
        instructionReference: `wasm:${first.offset}`,
      },
    };
    for (const offset of bound.offsets) this.retain(offset, bound);
    return bound;
  }

  private retain(offset: number, bound: Bound): void {
    const there = this.at.get(offset);
    if (there !== undefined) {
      there.add(bound);
      return;
    }
    this.at.set(offset, new Set([bound]));
    this.target.setBreakpoint(offset);
  }

  private release(bound: Bound): void {
    for (const offset of bound.offsets) {
      const there = this.at.get(offset)!;
      there.delete(bound);
      if (there.size > 0) continue;
      this.at.delete(offset);
      if (!this.isStep(offset)) this.target.clearBreakpoint(offset);
    }
  }

  /** Whether the user wants to stop at an offset. */
  has(offset: number): boolean {
    return this.at.has(offset);
  }

  /** The first place to stop at, at or behind an offset of the module, in the same function; null: there is none. */
  pointAt(wasmOffset: number): number | null {
    const f = this.target.symbols.functionAt(wasmOffset);
    if (f === null) return null;
    const points = this.target.sequencePoints(f);
    return points[firstNotBelow(points, wasmOffset)] ?? null;
  }

  /** Of a file on this machine; null: no code comes from it. */
  private linesOf(path: string): SourceLines | null {
    let lines = this.lines.get(path);
    if (lines === undefined) {
      const { debug } = this.target.symbols;
      const files = debug === null ? [] : this.sources.recorded(path, debug.files);
      lines = files.length === 0 ? null : new SourceLines(files.flatMap(f => debug!.positions(f)));
      this.lines.set(path, lines);
    }
    return lines;
  }

  private placesOf(path: string, line: number, column: number): Binding {
    const { debug, artifact } = this.target.symbols;
    if (debug === null) return { message: 'The module has no debug information: build it with -g.' };
    const lines = this.linesOf(path);
    if (lines === null) return { message: 'No code of the module comes from this file.' };
    const target = lines.atOrBelow(line);
    if (target === null) return { message: 'There is no code at or below this line.' };
    let here = lines.at(target);
    if (column > 0 && target === line) {
      // The last one that begins at or before the column; else the first.
      const best = here.reduce(
        (b, { column: c }) => (c <= column ? (b > column ? c : Math.max(b, c)) : Math.min(b, c)),
        Infinity,
      );
      here = here.filter(p => p.column === best);
    }
    // In each function (or copy of one that was inlined) once, at its start: a loop's head is on its line several
    // times.
    const seen = new Set<string>();
    const places: Place[] = [];
    let none = false;
    for (const p of here) {
      const calls = debug.calls(p.codeOffset);
      const scope = calls.map(c => `${c.name}@${c.scope?.function.offset}`).join(' ');
      if (seen.has(scope)) continue;
      seen.add(scope);
      const start = this.behindPrologue(p.codeOffset);
      const offset = this.pointAt(start + artifact.codeStart);
      if (offset === null) none = true;
      else places.push({ offset, line: target, column: p.column });
    }
    if (places.length > 0) return { places };
    return { message: none ? NOT_COMPILED : 'There is no code at this line.' };
  }

  /** The line of a function's opening brace is hit when its variables are there. */
  private behindPrologue(codeOffset: number): number {
    const { symbols } = this.target;
    const f = symbols.functionAt(codeOffset + symbols.artifact.codeStart);
    const body = f === null ? null : symbols.body(f);
    return body !== null && symbols.codeOffset(body.start) === codeOffset
      ? (symbols.debug?.bodyStart(codeOffset) ?? codeOffset)
      : codeOffset;
  }

  private functionPlaces(name: string): Binding {
    const { symbols } = this.target;
    const { artifact, debug } = symbols;
    this.functions ??= new FunctionNames(symbols);
    const found = this.functions.find(name);
    const places = found.flatMap((body): Place[] => {
      const start = symbols.codeOffset(body);
      const offset = this.pointAt((debug?.bodyStart(start) ?? start) + artifact.codeStart);
      return offset === null ? [] : [{ offset, line: debug?.lookup(start)?.line ?? 0, column: 0 }];
    });
    // Copies of it within other functions, too.
    const inlined = debug?.inlinedCalls(name) ?? [];
    for (const codeOffset of inlined) {
      const offset = this.pointAt(codeOffset + artifact.codeStart);
      if (offset !== null) places.push({ offset, line: debug?.lookup(codeOffset)?.line ?? 0, column: 0 });
    }
    if (places.length > 0) return { places };
    const isThere = found.length > 0 || inlined.length > 0;
    return { message: isThere ? NOT_COMPILED : `The module has no function ${name}.` };
  }

  /** The guest stands at an offset whose breakpoint is set. */
  hit(thread: number, offset: number): Hit {
    const ids: number[] = [];
    const messages: string[] = [];
    for (const bound of this.at.get(offset) ?? []) {
      const frame = this.frames.of(thread)[0];
      const evaluator = frame === undefined ? null : new Evaluator(this.target, this.frames, frame);
      try {
        if (bound.condition !== '' && !(evaluator?.isTrue(bound.condition) ?? true)) continue;
      } catch (e) {
        if (!(e instanceof ExpressionError)) throw e;
        // A condition that makes no sense here stops: its author has to see that.
        messages.push(`breakpoint condition "${bound.condition}": ${e.message}\n`);
      }
      bound.hits++;
      if (!counts(bound.hitCondition, bound.hits)) continue;
      if (bound.logMessage === '') ids.push(bound.id);
      else messages.push(`${interpolate(bound.logMessage, evaluator)}\n`);
    }
    return { ids, messages };
  }
}

interface Place {
  readonly offset: number;
  readonly line: number;
  readonly column: number;
}
type Binding = { readonly places: readonly Place[] } | { readonly message: string };

/** Index of the first number that is not below another, in ascending ones. */
function firstNotBelow(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

type Position = ReturnType<NonNullable<ModuleSymbols['debug']>['positions']>[number];

/** Positions of a source by line. An editor may set breakpoints on each of many thousands of lines. */
class SourceLines {
  private readonly byLine = new Map<number, Position[]>();
  private readonly lines: readonly number[];

  constructor(positions: readonly Position[]) {
    for (const p of positions) {
      const here = this.byLine.get(p.line);
      if (here === undefined) this.byLine.set(p.line, [p]);
      else here.push(p);
    }
    this.lines = [...this.byLine.keys()].sort((a, b) => a - b);
  }

  /** The line itself, or the next one that has code: a breakpoint on a comment moves down. null: there is none. */
  atOrBelow(line: number): number | null {
    return this.lines[firstNotBelow(this.lines, line)] ?? null;
  }

  at(line: number): readonly Position[] {
    return this.byLine.get(line) ?? [];
  }
}

/**
 * Functions by each name that a user may know them by: the whole one, or without parameters, template arguments or
 * enclosing namespaces.
 */
class FunctionNames {
  /** Starts of bodies. */
  private readonly byName = new Map<string, Set<number>>();

  constructor(symbols: ModuleSymbols) {
    const { artifact, debug } = symbols;
    for (let f = artifact.importedFunctions; f < artifact.functionCount; f++) {
      const body = symbols.body(f);
      if (body === null) continue;
      const shown = demangle(artifact.func(f).name);
      const bare = shown.replace(/\(.*$/s, '');
      const qualified = debug?.calls(symbols.codeOffset(body.start)).at(-1)?.name ?? '';
      for (const name of [shown, bare, bare.replace(/<.*$/s, ''), qualified]) {
        this.add(name, body.start);
        this.add(name.split('::').at(-1)!, body.start);
      }
    }
  }

  private add(name: string, body: number): void {
    if (name === '') return;
    const bodies = this.byName.get(name);
    if (bodies === undefined) this.byName.set(name, new Set([body]));
    else bodies.add(body);
  }

  /** @returns where their bodies start */
  find(name: string): number[] {
    return [...(this.byName.get(name) ?? [])];
  }
}

const HIT_CONDITION = /^\s*(?:(%|>=|>|<=|<|==?|)\s*(\d+)\s*)?$/;

/** `5`, `>= 5`, `% 2` */
export function counts(condition: string, hits: number): boolean {
  const m = HIT_CONDITION.exec(condition);
  if (m?.[2] === undefined) return true;
  const n = Number(m[2]);
  switch (m[1]) {
    case '%':
      return n > 0 && hits % n === 0;
    case '>':
      return hits > n;
    case '<':
      return hits < n;
    case '<=':
      return hits <= n;
    case '=':
    case '==':
      return hits === n;
    default:
      return hits >= n;
  }
}

/** `i is {i}`: expressions in braces. */
function interpolate(message: string, evaluator: Evaluator | null): string {
  return message.replace(/\{([^{}]*)\}/g, (whole, expression: string) => {
    if (evaluator === null) return whole;
    try {
      return evaluator.describe(evaluator.evaluate(expression));
    } catch (e) {
      if (!(e instanceof ExpressionError)) throw e;
      return `<${e.message}>`;
    }
  });
}
