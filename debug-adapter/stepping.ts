/**
 * Stepping, by temporary breakpoints at sequence points. A step ends where another line of the same function begins, or behind the call in its caller; a step
 * into ends at the first line of whatever function is entered as well. Deeper calls of the same function (recursion) are told apart by their frames.
 */
import type { Frames, ShownFrame } from './frames.ts';
import type { DebugTarget } from './target.ts';

export type Granularity = 'statement' | 'line' | 'instruction';
export type StepKind = 'over' | 'in' | 'out';

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
  readonly offsets: readonly number[];
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
  begin(thread: number, kind: StepKind, granularity: Granularity): void {
    this.end();
    const frames = this.frames.of(thread);
    const top = frames[0];
    if (top === undefined) return;
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
    if (kind === 'in') for (const at of this.entries()) places.add(at);
    const offsets = [...places];
    for (const at of offsets) if (!this.isBreakpoint(at)) this.target.setBreakpoint(at);
    this.step = {
      thread,
      kind,
      everywhere: granularity === 'instruction',
      depth: frames.length,
      native: native.length,
      line: lineOf(top),
      functionIndex: top.target.functionIndex,
      offsets,
    };
  }

  /** Takes the temporary breakpoints away. */
  end(): void {
    for (const at of this.step?.offsets ?? []) if (!this.isBreakpoint(at)) this.target.clearBreakpoint(at);
    this.step = null;
  }

  get active(): boolean {
    return this.step !== null;
  }

  /** The thread stands at a place: whether the step has come to its end there. */
  isDone(thread: number): boolean {
    const { step } = this;
    if (step === null || step.thread !== thread) return false;
    const frames = this.frames.of(thread);
    const top = frames[0];
    if (top === undefined) return true;
    const native = frames.filter(f => f.call === null || !f.call.isInlined).length;
    const deeper = native > step.native || (native === step.native && frames.length > step.depth);
    if (step.kind === 'out') return frames.length < step.depth && (native < step.native || !deeper);
    if (deeper && step.kind === 'over') return false;
    if (step.everywhere) return true;
    if (top.source === null) return !deeper && native < step.native;
    if (top.source.line === 0 || this.isSkipped(top.source.file)) return false;
    // Back in the caller: in the middle of its line is where the call was, and a debugger shows that.
    if (native < step.native) return true;
    if (deeper) return step.kind === 'in';
    return lineOf(top) !== step.line || frames.length < step.depth;
  }

  /** The first place of every function with lines: where a call may lead. */
  private *entries(): Generator<number> {
    const { symbols } = this.target;
    const { artifact, debug } = symbols;
    for (let f = artifact.importedFunctions; f < artifact.functionCount; f++) {
      const body = symbols.body(f);
      const points = this.target.sequencePoints(f);
      if (body === null || points.length === 0) continue;
      if (debug === null) {
        yield points[0]!;
        continue;
      }
      const start = symbols.codeOffset(body.start);
      const file = debug.lookup(start)?.file ?? debug.lookup(symbols.codeOffset(points[0]!))?.file;
      if (file === undefined || this.isSkipped(file)) continue;
      const first = debug.bodyStart(start) + artifact.codeStart;
      yield points.find(p => p >= first) ?? points[0]!;
    }
  }
}

function lineOf(frame: ShownFrame): string {
  return frame.source === null ? `@${frame.target.wasmOffset}` : `${frame.source.file}:${frame.source.line}`;
}
