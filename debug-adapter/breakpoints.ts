/** Breakpoints: what the editor asks for, bound to places of the code; and what happens when one is hit. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { demangle } from '../runtime/debug.ts';
import { Evaluator, ExpressionError } from './evaluate.ts';
import type { Frames } from './frames.ts';
import type { Sources } from './sources.ts';
import type { DebugTarget } from './target.ts';

interface Bound {
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
  /** By what they were set for: a source path, or a kind. */
  private readonly groups = new Map<string, Bound[]>();
  private readonly counts = new Map<number, number>();
  private nextId = 1;

  constructor(
    private readonly target: DebugTarget,
    private readonly sources: Sources,
    private readonly frames: Frames,
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

  private replace<T extends { condition?: string; hitCondition?: string; logMessage?: string }>(
    group: string,
    wanted: readonly T[],
    bind: (b: T) => Binding,
    source: DebugProtocol.Source | null,
  ): DebugProtocol.Breakpoint[] {
    for (const old of this.groups.get(group) ?? []) for (const at of old.offsets) this.release(at);
    const bound: Bound[] = [];
    this.groups.set(group, bound);
    return wanted.map((b): DebugProtocol.Breakpoint => {
      const id = this.nextId++;
      const binding = bind(b);
      if ('message' in binding) return { id, verified: false, message: binding.message };
      const offsets = [...new Set(binding.places.map(p => p.offset))];
      for (const at of offsets) this.retain(at);
      bound.push({
        id,
        condition: b.condition ?? '',
        hitCondition: b.hitCondition ?? '',
        logMessage: b.logMessage ?? '',
        offsets,
        hits: 0,
      });
      const first = binding.places[0]!;
      return {
        id,
        verified: true,
        ...(source === null || first.line === 0 ? {} : { source, line: first.line }),
        ...(first.column > 0 ? { column: first.column } : {}),
        instructionReference: `wasm:${first.offset}`,
      };
    });
  }

  private retain(offset: number): void {
    const n = this.counts.get(offset) ?? 0;
    this.counts.set(offset, n + 1);
    if (n === 0) this.target.setBreakpoint(offset);
  }

  private release(offset: number): void {
    const n = (this.counts.get(offset) ?? 1) - 1;
    if (n > 0) this.counts.set(offset, n);
    else {
      this.counts.delete(offset);
      this.target.clearBreakpoint(offset);
    }
  }

  /** Whether the user wants to stop at an offset. */
  has(offset: number): boolean {
    return this.counts.has(offset);
  }

  /** The first place to stop at, at or behind an offset of the module, in the same function; null: there is none. */
  pointAt(wasmOffset: number): number | null {
    const f = this.target.symbols.functionAt(wasmOffset);
    if (f === null) return null;
    return this.target.sequencePoints(f).find(p => p >= wasmOffset) ?? null;
  }

  private placesOf(path: string, line: number, column: number): Binding {
    const { debug, artifact } = this.target.symbols;
    if (debug === null) return { message: 'The module has no debug information.' };
    const files = this.sources.recorded(path, debug.files);
    if (files.length === 0) return { message: 'No code of the module comes from this file.' };
    const all = files.flatMap(f => debug.positions(f));
    // The line itself, or the next one that has code: a breakpoint on a comment moves down.
    const target = all.reduce((best, p) => (p.line >= line && p.line < best ? p.line : best), Infinity);
    if (target === Infinity) return { message: 'There is no code at or below this line.' };
    let here = all.filter(p => p.line === target);
    if (column > 0 && target === line) {
      const best = Math.max(
        ...here.filter(p => p.column <= column).map(p => p.column),
        Math.min(...here.map(p => p.column)),
      );
      here = here.filter(p => p.column === best);
    }
    // In each function (or copy of one that was inlined) once, at its start: a loop's head is on its line several times.
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
    const places: Place[] = [];
    let exists = false;
    for (let f = artifact.importedFunctions; f < artifact.functionCount; f++) {
      const body = symbols.body(f);
      if (
        body === null ||
        !matches(
          demangle(artifact.func(f).name),
          name,
          debug?.calls(symbols.codeOffset(body.start)).at(-1)?.name,
        )
      )
        continue;
      exists = true;
      const start = symbols.codeOffset(body.start);
      const offset = this.pointAt((debug?.bodyStart(start) ?? start) + artifact.codeStart);
      const line = debug?.lookup(start)?.line ?? 0;
      if (offset !== null) places.push({ offset, line, column: 0 });
    }
    if (places.length > 0) return { places };
    return { message: exists ? NOT_COMPILED : `The module has no function ${name}.` };
  }

  /** The guest stands at an offset whose breakpoint is set. */
  hit(thread: number, offset: number): Hit {
    const ids: number[] = [];
    const messages: string[] = [];
    for (const bound of [...this.groups.values()].flat()) {
      if (!bound.offsets.includes(offset)) continue;
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

/** By the whole name, or without parameters, template arguments or enclosing namespaces. */
function matches(shown: string, wanted: string, qualified: string | undefined): boolean {
  const bare = shown.replace(/\(.*$/s, '');
  const candidates = [shown, bare, bare.replace(/<.*$/s, ''), qualified ?? ''];
  return candidates.some(c => c === wanted || (!wanted.includes('::') && c.split('::').at(-1) === wanted));
}

/** `5`, `>= 5`, `% 2` */
export function counts(condition: string, hits: number): boolean {
  const m = /^\s*(%|>=|>|<=|<|==?|)\s*(\d+)\s*$/.exec(condition);
  if (m === null) return true;
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
