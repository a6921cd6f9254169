/**
 * Stack frames, and where arguments and results lie.
 *
 *      higher addresses
 *        stack results     } the caller's outgoing area: stack arguments first, stack results behind them, 16-aligned
 *        stack arguments   }
 *        return address          <- rsp at entry (rsp + 8 is a multiple of 16)
 *        callee-saved pushes
 *        saved r15               only if a call of this function changes r15; directly below the pushes
 *        stack slots             16-aligned
 *        spill slots             16-aligned
 *        outgoing area           16-aligned size
 *      lower addresses           <- rsp in the body, a multiple of 16 if the function calls or aligned data lies in the frame
 *
 * If a tail call passes more stack arguments than the function itself has, the prologue begins with moving the return
 * address down by the difference (`shift`), from then on all is as if the function had that many more bytes of stack
 * arguments, and popped them:
 *
 *      mov r11, [rsp]; sub rsp, shift; mov [rsp], r11
 *
 * A tail call copies its stack arguments, which have been put into the outgoing area, up to where the stack arguments
 * end, moves the return address up to them if they are fewer than the room, takes the frame down, and jumps:
 *
 *      add rsp, sub; pop …; lea rsp, [rsp + k]; jmp; ret n
 *
 * The `lea` (if k > 0) tells the unwinder apart from the frame's `add`; the `ret n` behind it is never executed: it
 * tells the bytes of stack arguments while the jump is about to be executed. A jump through a register has a
 * superfluous REX.W here, and only here.
 *
 * There is no red zone: nothing below rsp is ever live, as signals that suspend a guest may arrive at any instruction.
 */
import { STACK_RED_AREA } from '../../abi/vmctx.ts';
import { bug } from '../../diagnostics.ts';
import type { Type } from '../../ir/ops.ts';
import { Type as T } from '../../ir/ops.ts';
import type { MachFunc } from '../mach.ts';
import type { Unit } from './insts.ts';
import { CALLEE_SAVED } from './regs.ts';

/** Hands out places for a sequence of arguments or results (regs.ts has the convention). */
export class Places {
  private ints: readonly number[] = [];
  private floats: readonly number[] = [];
  private nextInt = 0;
  private nextFloat = 0;
  /** Bytes of stack used so far. */
  stack = 0;

  start(ints: readonly number[], floats: readonly number[]): void {
    this.ints = ints;
    this.floats = floats;
    this.nextInt = 0;
    this.nextFloat = 0;
    this.stack = 0;
  }

  /** Physical register of the next value (>= 0), or -1 - its offset in the stack area. */
  next(type: Type): number {
    if (type === T.F32 || type === T.F64 || type === T.V128) {
      if (this.nextFloat < this.floats.length) return this.floats[this.nextFloat++]!;
    } else if (this.nextInt < this.ints.length) {
      return this.ints[this.nextInt++]!;
    }
    const size = type === T.V128 ? 16 : 8;
    const at = (this.stack + size - 1) & -size;
    this.stack = at + size;
    return -1 - at;
  }
}

export function align16(n: number): number {
  return (n + 15) & ~15;
}

/** Frames above this size touch each of their pages in the prologue; smaller ones can't jump over the guard area. */
export const PROBE_LIMIT = 32768;
export const PROBE_STEP = 4096;

/**
 * Dense code has no guard area below its stack: a prologue compares rsp, once the frame is taken, with the stack's
 * limit (VMCTX.STACK_LIMIT). Nothing was written to the frame by then but what fits STACK_RED_AREA. By induction rsp >=
 * limit wherever a function calls, so that rsp >= limit - 8 at a function's start, and below that lie at most
 *
 * - the six pushes of a prologue, and a return address that was moved down by up to UNCHECKED_SHIFT; a greater shift is
 *   compared by itself, before; or
 * - the frame of a function that calls nothing and is not above UNCHECKED_FRAME. A tail call goes from there, too, but
 *   leaves rsp where it was at the start, as such a function does not move its return address down;
 *
 * and below that the return address of a failed check that calls the trap stub, which uses the guest's stack no
 * further. The check of the stack itself fails with rsp anywhere, so what it comes to is a `hlt`. In guarded code there
 * may be no room for that return address either: then the call faults in the guard area, and the runtime takes it for
 * what it is by the instruction (runtime/native/trap.c).
 */
const UNCHECKED_FRAME = 256;
export const UNCHECKED_SHIFT = 128;
const RETURN_ADDRESS = 8;
if (
  2 * RETURN_ADDRESS + Math.max(UNCHECKED_FRAME, UNCHECKED_SHIFT + 8 * CALLEE_SAVED.length) >
  STACK_RED_AREA
) {
  bug('the red area is too small');
}

/**
 * Length of the comparison that stands before a great shift:
 * `lea r10, [rsp - shift]; mov r11, [r15 - limit]; cmp r10, fs:[r11]; jae +1; hlt`.
 */
const SHIFT_CHECK = [0x4c, 0x8d, 0x94, 0x24] as const;
export function shiftCheckLength(code: Uint8Array): number {
  return SHIFT_CHECK.every((byte, i) => code[i] === byte) ? 19 : 0;
}

const SAVED_MASK = CALLEE_SAVED.reduce((mask, r) => mask | (1 << r), 0);
const NONE_SAVED: readonly number[] = [];

/** Offsets are from rsp in the body. */
export class Frame {
  spill = 0;
  slots = 0;
  savedBase = 0;
  /** What `sub rsp` takes. */
  sub = 0;
  /** Up to the return address: `sub` and pushes. */
  size = 0;
  /** In push order. */
  saved: readonly number[] = NONE_SAVED;
  shift = 0;
  /** What a return pops. */
  popped = 0;

  compute(m: MachFunc, unit: Unit): void {
    const used = m.usedRegs[0] & SAVED_MASK;
    this.saved = used === 0 ? NONE_SAVED : CALLEE_SAVED.filter(r => (used & (1 << r)) !== 0);
    this.spill = align16(unit.outgoing);
    const spillBytes = m.spillSlots * 8;
    this.slots = unit.slotBytes > 0 ? align16(this.spill + spillBytes) : this.spill + spillBytes;
    const body = this.slots + unit.slotBytes + (unit.savesBase ? 8 : 0);
    const pushes = this.saved.length * 8;
    // A leaf with an empty frame leaves rsp as it is.
    if (!unit.calls && body === 0) this.size = pushes;
    else this.size = align16(body + pushes + 8) - 8;
    this.sub = this.size - pushes;
    this.savedBase = this.sub - 8;
    this.shift = unit.shift;
    this.popped = unit.argBytes + unit.shift;
  }

  /** Whether dense code must compare. */
  needsCheck(calls: boolean): boolean {
    return calls || this.shift > 0 || this.size > UNCHECKED_FRAME;
  }

  /** Offset of the incoming stack arguments. */
  get incoming(): number {
    return this.size + 8 + this.shift;
  }
}
