/**
 * Constructs and branches.
 *
 * A construct begins with everything in its home. A branch with values moves them to the homes of its label's results,
 * so whatever way leads to a label, the state behind it is the same. A construct that nothing branches to ends as it
 * is.
 *
 * Of a control frame of the walk, `Label` is where branches to it go, `Term` whether there are any, and `Row` (of an
 * `if`) where its condition leads when it is not met.
 */
import { TrapCode } from '../../abi/traps.ts';
import { RelocKind } from '../../backend/code.ts';
import { CC, Ins, NO_REG, RIP } from '../../backend/x64/encode.ts';
import { R10, R11, RCX } from '../../backend/x64/regs.ts';
import { LIMITS } from '../../wasm/limits.ts';
import { type FuncType, ValType } from '../../wasm/module.ts';
import { readBlockType } from '../../wasm/types.ts';
import { Fr, FrameKind } from '../../wasm/walk.ts';
import { returnHomes, returnValues } from './calls.ts';
import type { State } from './state.ts';

export function open(s: State, kind: FrameKind): void {
  const { w, asm, c } = s;
  const type = readBlockType(w.r, s.module.types);
  if (kind === FrameKind.If) s.take(ValType.I32, c);
  s.flush();
  w.popAll(type.params);
  const label = asm.newLabel();
  let otherwise = 0;
  if (kind === FrameKind.If) {
    otherwise = asm.newLabel();
    const cc = s.testInt(ValType.I32, c);
    s.done(c);
    asm.jcc(cc ^ 1, otherwise);
  }
  w.pushFrame(kind, type, label);
  const i = w.top();
  w.frames[i + Fr.Term] = 0;
  w.frames[i + Fr.Row] = otherwise;
  w.pushAgain(type.params);
  if (kind === FrameKind.Loop) asm.bind(label);
}

/** The results at the end of a sequence: popped; nothing may be left. */
function endSequence(s: State, type: FuncType): void {
  const { w } = s;
  w.popAll(type.results);
  if (w.sp !== w.height) s.leave();
}

export function orElse(s: State): void {
  const { w, asm } = s;
  const i = w.top();
  const { frames } = w;
  if (frames[i + Fr.Kind] !== FrameKind.If) s.leave();
  const type = w.frameTypes[w.depth - 1]!;
  if (w.ssa.live) s.flush();
  endSequence(s, type);
  w.forgetLocals();
  if (w.ssa.live) {
    frames[i + Fr.Term] = 1;
    asm.jmp(frames[i + Fr.Label]!);
  }
  frames[i + Fr.Kind] = FrameKind.Else;
  w.unreachable = false;
  const from = w.sp;
  w.pushAgain(type.params);
  w.ssa.live = frames[i + Fr.Live] !== 0;
  if (!w.ssa.live) return;
  asm.bind(frames[i + Fr.Row]!);
  s.allHome(from);
}

/** `end`. True at the end of the body. */
export function end(s: State): boolean {
  const { w, asm } = s;
  const { frames } = w;
  const i = w.top();
  const kind = frames[i + Fr.Kind]! as FrameKind;
  const type = w.frameTypes[w.depth - 1]!;
  const started = frames[i + Fr.Live] !== 0;
  // Ways that lead here by a branch: to the label, or past an `if`.
  const joined = started && kind !== FrameKind.Loop && frames[i + Fr.Term] !== 0;
  const passed = started && kind === FrameKind.If;
  if (w.ssa.live && (joined || passed)) s.flush();
  endSequence(s, type);
  if (kind === FrameKind.Func) {
    if (w.ssa.live) returnValues(s, type.results);
    w.popFrame();
    return true;
  }
  if (kind === FrameKind.If) {
    const { params, results } = type;
    if (params.length !== results.length) s.leave();
    for (let k = 0; k < params.length; k++) if (!w.matches(params[k]!, results[k]!)) s.leave();
  }
  if (passed) asm.bind(frames[i + Fr.Row]!);
  if (started && kind !== FrameKind.Loop) asm.bind(frames[i + Fr.Label]!);
  w.popFrame();
  const from = w.sp;
  w.pushAgain(type.results);
  if (joined || passed) {
    w.ssa.live = true;
    s.allHome(from);
  }
  return false;
}

// ---- branches
/** Where a branch to a frame goes: the label counts as used. */
function labelOf(s: State, frame: number): number {
  const at = frame * Fr.SIZE;
  s.w.frames[at + Fr.Term] = 1;
  return s.w.frames[at + Fr.Label]!;
}

/**
 * Move the `n` values at `sp…` to the homes of a frame's results. The state stays, and so do the flags. Entries go down
 * or stay, so going upwards overwrites none.
 */
function moveTo(s: State, frame: number, n: number): void {
  const { w } = s;
  const to = w.frames[frame * Fr.SIZE + Fr.Height]!;
  s.countMoves(n);
  for (let k = 0; k < n; k++) s.storeEntry(w.sp + k, s.operandHome(to + k));
}

/** Nothing behind a branch is reached. */
function unreachable(s: State): void {
  const { w } = s;
  w.setUnreachable();
  s.freeAll();
  if (s.lazyFrom > w.sp) s.lazyFrom = w.sp;
}

export function br(s: State): void {
  const { w, asm } = s;
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  w.popAll(types);
  if (frame === 0) returnValues(s, types);
  else {
    moveTo(s, frame, types.length);
    asm.jmp(labelOf(s, frame));
  }
  unreachable(s);
}

export function brIf(s: State): void {
  const { w, asm, c } = s;
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  s.take(ValType.I32, c);
  const n = types.length;
  if (frame === 0 && n > 0) s.flush();
  w.popAll(types);
  const cc = s.testInt(ValType.I32, c);
  s.done(c);
  if (n === 0 && frame !== 0) asm.jcc(cc, labelOf(s, frame));
  else {
    const skip = asm.newLabel();
    asm.jcc(cc ^ 1, skip);
    if (frame === 0) returnHomes(s, types);
    else {
      moveTo(s, frame, n);
      asm.jmp(labelOf(s, frame));
    }
    asm.bind(skip);
  }
  w.pushAgain(types);
}

export function ret(s: State): void {
  const { w } = s;
  const types = w.labelTypes(0);
  w.popAll(types);
  returnValues(s, types);
  unreachable(s);
}

export function trap(s: State): void {
  s.traps(TrapCode.Unreachable);
  s.trap();
  unreachable(s);
}

/** Labels of the moves that lead to each frame, for the br_table in hand: -1 if there are none yet. */
let ways = new Int32Array(64);

export function brTable(s: State): void {
  const { w, asm, c } = s;
  const { r } = w;
  const count = r.u32();
  if (count > r.end - r.pos || count > LIMITS.brTableTargets) s.leave();
  s.take(ValType.I32, c);
  const first = r.pos;
  const n = w.labelTypes(w.frameOf(r.u32())).length;
  r.pos = first;
  if (n > 0) s.flush();
  s.loadInt(ValType.I32, c, RCX);
  s.done(c);
  if (ways.length < w.depth) ways = new Int32Array(2 * w.depth);
  for (let frame = 0; frame < w.depth; frame++) ways[frame] = -1;
  const from = w.sp - n;
  let table = -1;
  if (count > 0) {
    table = s.unit.rodata.table(count);
    const beyond = asm.newLabel();
    // Safety: an index below the count is the only one to reach the table, and as a 32-bit value with a zero upper half
    // it may be scaled.
    asm.ri(Ins.CMP, 4, RCX, count);
    asm.jcc(CC.AE, beyond);
    asm.rm(Ins.LEA, 8, R11, RIP, NO_REG, 0, 0);
    s.reloc(RelocKind.Rodata, asm.lastDisp, 0, table - asm.lastTail);
    asm.rm(Ins.MOVSXD, 8, R10, R11, RCX, 2, 0);
    asm.rr(Ins.ADD, 8, R10, R11);
    asm.r(Ins.JMP, 8, R10);
    asm.bind(beyond);
  }
  let target = -1;
  let checked: readonly ValType[] | null = null;
  for (let i = 0; i <= count; i++) {
    const frame = w.frameOf(r.u32());
    const types = w.labelTypes(frame);
    if (types !== checked) {
      if (types.length !== n) s.leave();
      w.checkTop(types);
      checked = types;
    }
    target = wayTo(s, frame, from);
    if (i < count) s.reloc(RelocKind.JumpTable, table + 4 * i, table, target);
  }
  // An index beyond the table comes here.
  asm.jmp(target);
  emitWays(s, from);
  unreachable(s);
}

/** The label for a branch from a br_table to a frame: its own, or that of code that moves the values first. */
function wayTo(s: State, frame: number, from: number): number {
  const { w, asm } = s;
  const n = w.sp - from;
  if (frame !== 0 && (n === 0 || w.frames[frame * Fr.SIZE + Fr.Height] === from)) return labelOf(s, frame);
  if (ways[frame] === -1) ways[frame] = asm.newLabel();
  return ways[frame]!;
}

/** Code that moves the values of a br_table, all in their homes, to each frame that needs it. */
function emitWays(s: State, from: number): void {
  const { w, asm } = s;
  const n = w.sp - from;
  w.sp = from;
  for (let frame = 0; frame < w.depth; frame++) {
    if (ways[frame] === -1) continue;
    asm.bind(ways[frame]!);
    if (frame === 0) returnHomes(s, w.labelTypes(0));
    else {
      moveTo(s, frame, n);
      asm.jmp(labelOf(s, frame));
    }
  }
}
