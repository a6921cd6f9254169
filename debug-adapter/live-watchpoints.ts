/**
 * What is watched in a running guest. Something in a frame is watched until the frame is left: a breakpoint where its
 * function returns to finds that out; frames that are left by an exception are found out at the next stop.
 */
import type { Module, Stop, StopFrame } from '../runtime/index.ts';
import type { TrappedInstance } from '../runtime/raw-trap.ts';
import {
  clearWatchpoint,
  setWatchpoint,
  WATCHPOINTS,
  watchpointHit,
  watchpointProblem,
} from '../runtime/watchpoints.ts';
import type { TargetFrame, WatchedPlace, Watchpoints } from './target.ts';

/** The frame that a watchpoint belongs to. */
interface Owner {
  readonly stackAddress: number;
  readonly functionIndex: number;
  /** Text offset of what it returns to; null: nobody stops there. */
  readonly exit: number | null;
}

export class LiveWatchpoints implements Watchpoints {
  readonly count = WATCHPOINTS;
  private readonly owners = new Map<number, Owner>();

  constructor(
    private readonly instance: TrappedInstance,
    private readonly module: Module,
    /** Where the user's breakpoints are, as text offsets: those stay. */
    private readonly isBreakpoint: (pc: number) => boolean,
    private readonly stop: () => Stop | null,
    /** Offset from a frame's stack pointer of a local's home; null: it has none. */
    private readonly home: (functionIndex: number, local: number) => number | null,
  ) {}

  set(number: number, place: WatchedPlace, accesses: boolean, frame: TargetFrame | null): string | null {
    this.clear(number);
    const bytes = this.bytesOf(place);
    if (typeof bytes === 'string') return bytes;
    const refusal = setWatchpoint(this.instance, number, bytes, accesses);
    if (refusal === null && frame?.stackAddress != null) this.own(number, frame, frame.stackAddress);
    return refusal;
  }

  private bytesOf(place: WatchedPlace): Parameters<typeof setWatchpoint>[2] | string {
    if (place.kind === 'memory') return { ...place, index: 0 };
    if (place.kind === 'global') return { ...place, address: 0 };
    const home = this.home(place.frame.functionIndex, place.index);
    if (home === null || place.frame.stackAddress === null || this.stop() === null)
      return 'this local is kept nowhere that could be watched';
    return { kind: 'stack', index: 0, address: place.frame.stackAddress + home, size: place.size };
  }

  private own(number: number, frame: TargetFrame, stackAddress: number): void {
    const { functionIndex } = frame;
    const frames = this.stop()?.frames() ?? [];
    const at = frames.findIndex(f => f.sp === stackAddress && f.functionIndex === functionIndex);
    const caller = at < 0 ? undefined : frames[at + 1];
    const exit = caller?.module === this.module ? caller.pc - this.module.code.address : null;
    this.owners.set(number, { stackAddress, functionIndex, exit });
    if (exit !== null) this.module.setBreakpoint(exit);
  }

  clear(number: number): void {
    clearWatchpoint(this.instance, number);
    const owner = this.owners.get(number);
    if (owner === undefined) return;
    this.owners.delete(number);
    if (owner.exit !== null && !this.isExit(owner.exit) && !this.isBreakpoint(owner.exit))
      this.module.clearBreakpoint(owner.exit);
  }

  /** Whether a breakpoint is needed there. */
  isExit(pc: number): boolean {
    return [...this.owners.values()].some(o => o.exit === pc);
  }

  /** At a stop: those whose frame is gone, which are cleared. */
  left(frames: readonly StopFrame[]): number[] {
    const gone = [...this.owners].filter(([, owner]) => !isThere(owner, frames)).map(([number]) => number);
    for (const number of gone) this.clear(number);
    return gone;
  }

  hit(number: number): { readonly before: bigint; readonly after: bigint } | null {
    return watchpointHit(this.instance, number);
  }

  problem(number: number): string | null {
    return watchpointProblem(this.instance, number);
  }

  /** Whether the guest stopped for any that is still there. */
  get anyHit(): boolean {
    return Array.from({ length: this.count }, (_, n) => this.hit(n)).some(h => h !== null);
  }
}

/** No stop tells more frames. */
const MOST_FRAMES = 1024;

function isThere(owner: Owner, frames: readonly StopFrame[]): boolean {
  // Deeper frames have lower addresses.
  if (frames.length > 0 && frames[0]!.sp > owner.stackAddress) return false;
  if (frames.length >= MOST_FRAMES) return true;
  return frames.some(f => f.sp === owner.stackAddress && f.functionIndex === owner.functionIndex);
}
