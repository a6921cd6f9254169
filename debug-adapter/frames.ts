/** A stopped thread's frames as the user sees them: inlined calls are frames of their own. */
import type { Call, FrameReader } from '../compiler/debuginfo/index.ts';
import type { Values } from '../compiler/debuginfo/values.ts';
import { callName, demangle, frameBasesOf, valuesIn } from '../runtime/debug.ts';
import type { SourcePosition } from '../runtime/index.ts';
import type { DebugTarget, TargetFrame } from './target.ts';

export interface ShownFrame {
  readonly id: number;
  readonly thread: number;
  readonly target: TargetFrame;
  readonly name: string;
  readonly source: SourcePosition | null;
  /** null: nothing but the function is known. */
  readonly call: Call | null;
  /** Offset as the debug information counts. */
  readonly codeOffset: number;
  readonly reader: FrameReader;
}

/** Does the thread wait in a host function, which is its innermost frame? */
export function isInHost(frames: readonly ShownFrame[]): boolean {
  return frames[0]?.target.kind === 'host';
}

/**
 * Of a thread that waits in a host function, which the language's library has called: from the frame on whose line is
 * shown. Others whole.
 */
export function withoutHost(
  frames: readonly ShownFrame[],
  isSkipped: (file: string) => boolean = () => false,
): readonly ShownFrame[] {
  if (!isInHost(frames)) return frames;
  const hasLine = frames.findIndex(f => f.source !== null && f.source.line > 0 && !isSkipped(f.source.file));
  return frames.slice(hasLine >= 0 ? hasLine : 1);
}

/** Frames of one stop; gone when the thread runs again. */
export class Frames {
  private readonly byThread = new Map<number, readonly ShownFrame[]>();
  private readonly byId = new Map<number, ShownFrame>();
  private next = 1;

  constructor(private readonly target: DebugTarget) {}

  clear(): void {
    this.byThread.clear();
    this.byId.clear();
  }

  /** The innermost frame of the first thread that is stopped. */
  first(): ShownFrame | null {
    for (const { id } of this.target.threads) {
      const [frame] = withoutHost(this.of(id));
      if (frame !== undefined) return frame;
    }
    return null;
  }

  get(id: number): ShownFrame | null {
    return this.byId.get(id) ?? null;
  }

  of(thread: number): readonly ShownFrame[] {
    let frames = this.byThread.get(thread);
    if (frames === undefined) {
      frames = this.expand(thread);
      this.byThread.set(thread, frames);
      for (const f of frames) this.byId.set(f.id, f);
    }
    return frames;
  }

  /** Descriptions of values in a frame. */
  values(frame: ShownFrame): Values {
    const { symbols, state } = this.target;
    return valuesIn(symbols, state, frame.call, frame.codeOffset, frame.reader);
  }

  private expand(thread: number): ShownFrame[] {
    const { symbols, state } = this.target;
    const native = this.target.frames(thread);
    const waits = native[0]?.kind === 'host' ? 1 : 0;
    const bases = frameBasesOf(native.slice(waits), symbols, state);
    return native.flatMap((frame, i): ShownFrame[] => {
      const codeOffset = symbols.codeOffset(frame.wasmOffset);
      const reader = this.reader(thread, frame, bases[i - waits] ?? null);
      const base = { thread, target: frame, codeOffset, reader };
      const name = demangle(frame.functionName) || `function ${frame.functionIndex}`;
      if (frame.kind !== 'wasm') {
        const host = frame.functionName === '' ? '[in host]' : `${frame.functionName} [in host]`;
        const text = frame.kind === 'host' ? host : `[${frame.count} frames left out]`;
        return [{ ...base, id: this.next++, name: text, source: null, call: null }];
      }
      const { debug } = symbols;
      const calls = debug?.calls(codeOffset) ?? [];
      if (calls.length === 0)
        return [{ ...base, id: this.next++, name, source: debug?.lookup(codeOffset) ?? null, call: null }];
      return calls.map(call => ({
        ...base,
        id: this.next++,
        name: callName(call, frame.functionName) + (call.isInlined ? ' [inlined]' : ''),
        source: call.source,
        call,
      }));
    });
  }

  private reader(thread: number, frame: TargetFrame, bases: ReadonlyMap<number, number> | null): FrameReader {
    const { target } = this;
    return {
      memory: (address, length) => target.state.memory(0, address, length),
      local(index) {
        const v = target.readLocal(thread, frame, index);
        if (v !== null) return v;
        const base = bases?.get(index);
        return base === undefined ? null : BigInt(base);
      },
      keepsParameter: index => target.symbols.keepsParameter(frame.functionIndex, index),
      global: index => target.state.global(index),
      operand: index => target.readOperand(thread, frame, index),
    };
  }
}
