/**
 * Stepping, by temporary breakpoints at sequence points. A step ends where another line of the same function begins, or
 * behind the call in its caller; a step into ends at the first line of whatever function is entered as well, or, if one
 * call of the line was chosen, of what that call enters. Deeper calls of the same function (recursion) are told apart
 * by their frames.
 */
import { demangle } from '../runtime/debug.ts';
import { type Frames, isInHost, type ShownFrame, withoutHost } from './frames.ts';
import type { DebugTarget } from './target.ts';

export type Granularity = 'statement' | 'line' | 'instruction';
export type StepKind = 'over' | 'in' | 'out';

/** A call that a step can go into. */
export interface StepInTarget {
  /** Byte offset of the call. */
  readonly call: number;
  /** For people. */
  readonly name: string;
}

interface Step {
  readonly thread: number;
  readonly kind: StepKind;
  /** Every place counts. */
  readonly everywhere: boolean;
  /** Where it began: number of calls around it (inlined ones too), native frames, line, and function. */
  readonly depth: number;
  readonly native: number;
  readonly line: string;
  readonly functionIndex: number;
  /** Of a step into: the call that it is to go into; null: the first one. */
  readonly call: number | null;
  readonly offsets: ReadonlySet<number>;
}

export class Stepping {
  private step: Step | null = null;

  constructor(
    private readonly target: DebugTarget,
    private readonly frames: Frames,
    /** Whether files are skipped: the language's library, or what the user named. */
    private readonly isSkipped: (file: string) => boolean,
    /** Whether the user has a breakpoint there: it must stay. */
    private readonly isBreakpoint: (offset: number) => boolean,
  ) {}

  /** Sets the places where the step may end. The thread is stopped; whoever calls resumes it. */
  begin(thread: number, kind: StepKind, granularity: Granularity, call: number | null = null): void {
    this.end();
    const all = this.frames.of(thread);
    const frames = withoutHost(all, this.isSkipped);
    const top = frames[0];
    if (top === undefined) return;
    if (isInHost(all) && kind === 'out') {
      kind = 'over';
      granularity = 'instruction';
    }
    const native = frames.filter(f => f.call === null || !f.call.isInlined);
    const places = new Set<number>();
    const add = (functionIndex: number): void => {
      for (const at of this.target.sequencePoints(functionIndex)) places.add(at);
    };
    // Out of an inlined call is within the same native function.
    const inlined = top.call?.isInlined ?? false;
    if (kind !== 'out' || inlined) add(top.target.functionIndex);
    const caller = native.find(f => f.target.kind === 'wasm' && f.target.depth > top.target.depth);
    if (caller !== undefined) add(caller.target.functionIndex);
    if (kind === 'in') for (const at of this.entriesOf(top, call)) places.add(at);
    for (const at of places) if (!this.isBreakpoint(at)) this.target.setBreakpoint(at);
    this.step = {
      thread,
      kind,
      everywhere: granularity === 'instruction',
      depth: frames.length,
      native: native.length,
      line: lineOf(top),
      functionIndex: top.target.functionIndex,
      call,
      offsets: places,
    };
  }

  /** Takes the temporary breakpoints away. */
  end(): void {
    for (const at of this.step?.offsets ?? []) if (!this.isBreakpoint(at)) this.target.clearBreakpoint(at);
    this.step = null;
  }

  /** Whether a step in progress may end there. */
  endsAt(offset: number): boolean {
    return this.step?.offsets.has(offset) ?? false;
  }

  /** The thread stands at a place: whether the step has come to its end there. */
  isDone(thread: number): boolean {
    const { step } = this;
    if (step === null || step.thread !== thread) return false;
    const frames = this.frames.of(thread);
    const top = frames[0];
    if (top === undefined) return true;
    const own = frames.filter(f => f.call === null || !f.call.isInlined);
    const native = own.length;
    const deeper = native > step.native || (native === step.native && frames.length > step.depth);
    if (step.kind === 'out') return frames.length < step.depth && (native < step.native || !deeper);
    if (deeper && step.kind === 'over') return false;
    // Another call of the line, or something that the chosen one has called.
    if (
      deeper &&
      step.call !== null &&
      (native !== step.native + 1 || own[1]!.target.wasmOffset !== step.call)
    )
      return false;
    if (step.everywhere) return true;
    if (top.source === null) return !deeper && native < step.native;
    if (top.source.line === 0 || this.isSkipped(top.source.file)) return false;
    // Back in the caller: in the middle of its line is where the call was, and a debugger shows that.
    if (native < step.native) return true;
    if (deeper) return step.kind === 'in';
    return lineOf(top) !== step.line || frames.length < step.depth;
  }

  /** Calls that are left on a frame's line and lead to where a step can end. Only of the innermost frame. */
  targets(frame: ShownFrame): StepInTarget[] {
    const { symbols } = this.target;
    const { functionIndex, depth, wasmOffset } = frame.target;
    const line = lineAt(frame.source);
    if (depth !== 0 || frame.source === null || line === null) return [];
    return symbols.calls(functionIndex).flatMap(({ at, functionIndex: callee }): StepInTarget[] => {
      if (at < wasmOffset || lineAt(symbols.debug?.lookup(symbols.codeOffset(at)) ?? null) !== line)
        return [];
      if (callee === null) return [{ call: at, name: 'call through a pointer' }];
      return this.entry(callee) === null
        ? []
        : [{ call: at, name: demangle(symbols.artifact.describe(callee)) }];
    });
  }

  /** Where what a frame calls begins. @param call one of its calls; null: any */
  private entriesOf(frame: ShownFrame, call: number | null): Iterable<number> {
    const calls = call === null ? [] : this.target.symbols.calls(frame.target.functionIndex);
    const callee = calls.find(c => c.at === call)?.functionIndex ?? null;
    if (callee === null) return this.entries();
    const entry = this.entry(callee);
    return entry === null ? [] : [entry];
  }

  private *entries(): Generator<number> {
    const { artifact } = this.target.symbols;
    for (let f = artifact.importedFunctions; f < artifact.functionCount; f++) {
      const entry = this.entry(f);
      if (entry !== null) yield entry;
    }
  }

  /** The first place of a function with lines that are not skipped: where a call of it may stop. */
  private entry(functionIndex: number): number | null {
    const { symbols } = this.target;
    const { artifact, debug } = symbols;
    const body = symbols.body(functionIndex);
    const points = this.target.sequencePoints(functionIndex);
    if (body === null || points.length === 0) return null;
    if (debug === null) return points[0]!;
    const start = symbols.codeOffset(body.start);
    const file = debug.lookup(start)?.file ?? debug.lookup(symbols.codeOffset(points[0]!))?.file;
    if (file === undefined || this.isSkipped(file)) return null;
    const first = debug.bodyStart(start) + artifact.codeStart;
    return points.find(p => p >= first) ?? points[0]!;
  }
}

function lineAt(source: { readonly file: string; readonly line: number } | null): string | null {
  return source === null || source.line === 0 ? null : `${source.file}:${source.line}`;
}

function lineOf(frame: ShownFrame): string {
  return frame.source === null ? `@${frame.target.wasmOffset}` : `${frame.source.file}:${frame.source.line}`;
}
