/**
 * Thunks (thunks.ts says what they are) without intermediate code: there are a few dozen in a module, and it is not
 * worth an engine's while to warm up a second compiler for them. Their types are such that results are in registers and
 * nothing is a vector.
 */
import { VMCTX } from '../../abi/vmctx.ts';
import { FLOAT_BASE } from '../../backend/mach.ts';
import { Ins, NO_REG } from '../../backend/x64/encode.ts';
import { align16, Places } from '../../backend/x64/frame.ts';
import {
  BASE_REG,
  FLOAT_ARGS,
  FLOAT_RESULTS,
  INT_ARGS,
  INT_RESULTS,
  R10,
  R11,
  RAX,
  RDI,
  RDX,
  RSI,
  RSP,
} from '../../backend/x64/regs.ts';
import { type Thunk, ThunkKind } from '../../thunks.ts';
import { type FuncType, ValType } from '../../wasm/module.ts';
import { irType } from '../../wasm/types.ts';
import { afterCall, callImport, stackBytes } from './calls.ts';
import { intBytes, type State } from './state.ts';

/** Of a value in an array of arguments or results. */
const PLACE = 8;
/** A host function may use this much of the array. */
const LEAST_ARRAY = 16;

/** The register of each value, or -1 - its offset in the stack area. */
function placesOf(
  types: readonly ValType[],
  ints: readonly number[],
  floats: readonly number[],
): readonly number[] {
  const places = new Places();
  places.start(ints, floats);
  return types.map(t => places.next(irType(t)));
}

const floatMove = (type: ValType): Ins => (type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD);

function load(s: State, type: ValType, r: number, base: number, disp: number): void {
  if (r < FLOAT_BASE) s.asm.rm(Ins.MOV, intBytes(type), r, base, NO_REG, 0, disp);
  else s.asm.rm(floatMove(type), 8, r & 31, base, NO_REG, 0, disp);
}

function store(s: State, type: ValType, base: number, disp: number, r: number): void {
  if (r < FLOAT_BASE) s.asm.mr(Ins.MOV, intBytes(type), base, NO_REG, 0, disp, r);
  else s.asm.mr(floatMove(type), 8, base, NO_REG, 0, disp, r & 31);
}

/** A word from memory to memory. r11 is used. */
function copy(s: State, from: number, fromDisp: number, to: number, toDisp: number): void {
  s.asm.rm(Ins.MOV, 8, R11, from, NO_REG, 0, fromDisp);
  s.asm.mr(Ins.MOV, 8, to, NO_REG, 0, toDisp, R11);
}

/** The frame, of what `unit` says. It is smaller than what would have to be probed. */
function enter(s: State): void {
  s.unit.calls = true;
  s.frame.compute(s.m, s.unit);
  s.asm.ri(Ins.SUB, 8, RSP, s.frame.sub);
}

function leave(s: State): void {
  const { asm, unit, frame } = s;
  asm.ri(Ins.ADD, 8, RSP, frame.sub);
  if (unit.argBytes > 0) asm.retPop(unit.argBytes);
  else asm.plain(Ins.RET);
}

const argumentBytes = (type: FuncType): number => stackBytes(type.params, INT_ARGS.length, FLOAT_ARGS.length);

/** Arguments in registers stay there. */
function wrapper(s: State, { params }: FuncType, importIndex: number, bytes: number): void {
  const { asm, unit, frame } = s;
  unit.argBytes = bytes;
  unit.outgoing = bytes;
  unit.savesBase = true;
  enter(s);
  asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, frame.savedBase, BASE_REG);
  for (const p of placesOf(params, INT_ARGS, FLOAT_ARGS))
    if (p < 0) copy(s, RSP, frame.incoming - 1 - p, RSP, -1 - p);
  callImport(s, importIndex, bytes);
  asm.rm(Ins.MOV, 8, BASE_REG, RSP, NO_REG, 0, frame.savedBase);
  leave(s);
}

function hostThunk(s: State, { params, results }: FuncType, importIndex: number, bytes: number): void {
  const { asm, unit, frame } = s;
  unit.argBytes = bytes;
  unit.slotBytes = align16(Math.max(PLACE * params.length, PLACE * results.length, LEAST_ARRAY));
  enter(s);
  placesOf(params, INT_ARGS, FLOAT_ARGS).forEach((p, i) => {
    if (p >= 0) store(s, params[i]!, RSP, PLACE * i, p);
    else copy(s, RSP, frame.incoming - 1 - p, RSP, PLACE * i);
  });
  asm.rr(Ins.MOV, 8, RDX, RSP);
  asm.ri(Ins.MOV, 4, RAX, importIndex);
  asm.m(Ins.CALL, 8, BASE_REG, NO_REG, 0, -VMCTX.HOSTCALL_STUB);
  placesOf(results, INT_RESULTS, FLOAT_RESULTS).forEach((p, i) => {
    load(s, results[i]!, p, RSP, PLACE * i);
  });
  leave(s);
}

/** rdi: the array; rsi: the code. */
function entryThunk(s: State, { params, results }: FuncType, bytes: number): void {
  const { asm, unit } = s;
  unit.outgoing = bytes;
  unit.slotBytes = 16;
  const array = bytes;
  enter(s);
  asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, array, RDI);
  asm.rr(Ins.MOV, 8, RAX, RSI);
  asm.rr(Ins.MOV, 8, R10, RDI);
  placesOf(params, INT_ARGS, FLOAT_ARGS).forEach((p, i) => {
    if (p >= 0) load(s, params[i]!, p, R10, PLACE * i);
    else copy(s, R10, PLACE * i, RSP, -1 - p);
  });
  asm.r(Ins.CALL, 8, RAX);
  afterCall(s, bytes);
  if (results.length > 0) asm.rm(Ins.MOV, 8, R10, RSP, NO_REG, 0, array);
  placesOf(results, INT_RESULTS, FLOAT_RESULTS).forEach((p, i) => {
    store(s, results[i]!, R10, PLACE * i, p);
  });
  leave(s);
}

/** The state has been started. */
export function emitThunk(s: State, { kind, type, number }: Thunk): void {
  const bytes = argumentBytes(type);
  switch (kind) {
    case ThunkKind.Wrapper:
      wrapper(s, type, number, bytes);
      return;
    case ThunkKind.Host:
      hostThunk(s, type, number, bytes);
      return;
    case ThunkKind.Entry:
      entryThunk(s, type, bytes);
  }
}
