/** Arguments, results, calls (backend/x64/regs.ts has the convention). */
import { TrapCode } from '../../abi/traps.ts';
import { FUNCREF, IMPORT_ENTRY, TABLE_DESC, VMCTX } from '../../abi/vmctx.ts';
import { RelocKind } from '../../backend/code.ts';
import { FLOAT_BASE } from '../../backend/mach.ts';
import { CC, Ins, NO_REG, RIP } from '../../backend/x64/encode.ts';
import { align16 } from '../../backend/x64/frame.ts';
import {
  BASE_REG,
  FLOAT_ARGS,
  FLOAT_RESULTS,
  INT_ARGS,
  INT_RESULTS,
  R10,
  R11,
  RAX,
  RCX,
  RSP,
} from '../../backend/x64/regs.ts';
import { type FuncType, type Module, ValType } from '../../wasm/module.ts';
import { IMAGE_ENTRY, type TableImage } from '../../wasm/table-images.ts';
import { FREE, intBytes, isFloatType, Kind, type State, XMM15 } from './state.ts';

/** Bytes of stack arguments, 16-aligned. */
export function stackBytes(types: readonly ValType[], ints: number, floats: number): number {
  let words = 0;
  for (const t of types) {
    if (isFloatType(t)) {
      if (--floats < 0) words++;
    } else if (--ints < 0) words++;
  }
  return align16(8 * words);
}

/** Whether values of the types have the places that this path knows: no vectors, and results in registers. */
export function knowsType(type: FuncType): boolean {
  for (const t of type.params) if (t === ValType.V128) return false;
  for (const t of type.results) if (t === ValType.V128) return false;
  return stackBytes(type.results, INT_RESULTS.length, FLOAT_RESULTS.length) === 0;
}

/**
 * Put entry `at` into register `r`, whoever is in it: an entry that will be moved yet, or that was flushed if it hadn't to be. Entries that have been placed are
 * in registers of their own, which nothing else is placed in.
 */
function place(s: State, at: number, r: number): void {
  const { owner, kinds, asm } = s;
  const { vals, types } = s.w;
  const there = owner[r]!;
  const type = types[at]! as ValType;
  if (there >= 0 && there !== at) {
    if (kinds[at] === Kind.Reg && r < FLOAT_BASE) {
      const from = vals[at]!;
      asm.rr(Ins.XCHG, 8, from, r);
      owner[from] = there;
      vals[there] = from;
      owner[r] = at;
      vals[at] = r;
      return;
    }
    s.vacate(r);
  }
  const { a } = s;
  s.hold(at, a);
  if (r < FLOAT_BASE) s.loadInt(type, a, r);
  else s.loadFloat(type, a, r & 31);
  if (a.kind === Kind.Reg) owner[a.val] = FREE;
  kinds[at] = Kind.Reg;
  vals[at] = r;
  s.occupy(r, at);
}

/** Put entries into the registers for values of the types; those for which there is none are left. */
function placeAll(
  s: State,
  from: number,
  types: readonly ValType[],
  ints: readonly number[],
  floats: readonly number[],
): void {
  let int = 0;
  let float = 0;
  for (let i = 0; i < types.length; i++) {
    if (isFloatType(types[i]!)) {
      if (float < floats.length) place(s, from + i, floats[float++]!);
    } else if (int < ints.length) place(s, from + i, ints[int++]!);
  }
}

/** Store the stack arguments into the outgoing area. */
function stackArguments(s: State, from: number, types: readonly ValType[]): void {
  let int = 0;
  let float = 0;
  let at = 0;
  for (let i = 0; i < types.length; i++) {
    const inRegister = isFloatType(types[i]!) ? float++ < FLOAT_ARGS.length : int++ < INT_ARGS.length;
    if (inRegister) continue;
    s.storeEntry(from + i, at);
    at += 8;
    // Its home is as good as its register from now on: nobody asks for it again.
    if (s.kinds[from + i] === Kind.Reg) s.owner[s.w.vals[from + i]!] = FREE;
    s.kinds[from + i] = Kind.Const;
  }
}

/** For each type of a module: bytes of stack arguments; -1: a type that isn't known here. */
export function argumentBytesOf(module: Module): Int32Array {
  return Int32Array.from(module.types, type =>
    knowsType(type) ? stackBytes(type.params, INT_ARGS.length, FLOAT_ARGS.length) : -1,
  );
}

/** Likewise of one; a body that needs a type which isn't known is left. */
function argumentBytes(s: State, typeIndex: number): number {
  const bytes = s.typeBytes[typeIndex]!;
  if (bytes < 0) s.leave();
  return bytes;
}

/** The arguments, popped, stand at `sp…`: to their places. What lies below them goes home. */
function passArguments(s: State, type: FuncType, bytes: number): void {
  const { w } = s;
  const { params } = type;
  s.more(bytes);
  s.flushTo(w.sp);
  if (bytes > 0) stackArguments(s, w.sp, params);
  placeAll(s, w.sp, params, INT_ARGS, FLOAT_ARGS);
}

/** Behind a call: the room that the callee has popped is taken back, and results are pushed. */
export function afterCall(s: State, popped: number): void {
  if (popped === 0) return;
  s.popSites.push(s.asm.here());
  s.asm.ri(Ins.SUB, 8, RSP, popped);
}

/** The arguments are in their places. r15 is another module's afterwards. */
export function callImport(s: State, index: number, popped: number): void {
  const { asm, w } = s;
  // rax holds the entry's address at the call.
  const entry = index * IMPORT_ENTRY.SIZE - w.layout.imports;
  asm.rm(Ins.LEA, 8, RAX, BASE_REG, NO_REG, 0, entry);
  asm.rm(Ins.MOV, 8, BASE_REG, RAX, NO_REG, 0, IMPORT_ENTRY.VMCTX);
  asm.m(Ins.CALL, 8, RAX, NO_REG, 0, IMPORT_ENTRY.CODE);
  afterCall(s, popped);
}

function pushResults(s: State, type: FuncType): void {
  const { asm, w } = s;
  s.freeAll();
  s.lazyFrom = Math.min(s.lazyFrom, w.sp);
  let int = 0;
  let float = 0;
  for (const t of type.results) {
    if (isFloatType(t)) {
      s.pushReg(t, FLOAT_RESULTS[float++]!);
      continue;
    }
    const r = INT_RESULTS[int++]!;
    if (r === RCX) {
      // A scratch register: to its home at once.
      w.push(t, 0);
      s.pushedHome();
      s.storeReg(t, r, s.operandHome(w.sp - 1));
      continue;
    }
    // The upper half of an i32 that comes from a call is undefined.
    if (t === ValType.I32) asm.rr(Ins.MOV, 4, r, r);
    s.pushReg(t, r);
  }
}

export function call(s: State): void {
  const { w, asm } = s;
  const index = w.r.u32();
  w.checkIndex('function', index, s.module.functions.length);
  const type = w.funcType(index);
  const popped = argumentBytes(s, s.module.functions[index]!);
  w.popAll(type.params);
  passArguments(s, type, popped);
  if (index < s.module.importedFunctions) {
    callImport(s, index, popped);
    s.restoreBase();
  } else {
    asm.callRel();
    s.reloc(RelocKind.CallFunc, asm.lastDisp, index, 0);
    afterCall(s, popped);
  }
  pushResults(s, type);
}

export function callIndirect(s: State): void {
  const { w, a, asm } = s;
  const typeIndex = w.r.u32();
  const tableIndex = w.r.u32();
  const table = w.table(tableIndex);
  const type = w.functionType(typeIndex);
  if (table.index64 || !w.matches(table.element, ValType.FuncRef)) s.leave();
  const popped = argumentBytes(s, typeIndex);
  s.take(ValType.I32, a);
  // No argument is passed in r10.
  s.loadInt(ValType.I32, a, R10);
  s.done(a);
  w.popAll(type.params);
  passArguments(s, type, popped);
  const image = s.module.tableImages[tableIndex];
  const canonical = s.module.canonicalTypes[typeIndex]!;
  if (image) {
    imageCode(s, image, canonical);
    asm.r(Ins.CALL, 8, RAX);
    afterCall(s, popped);
  } else {
    if (!type.final) s.leave();
    tableElement(s, tableIndex, R10);
    asm.rm(Ins.MOV, 8, R10, BASE_REG, NO_REG, 0, -VMCTX.SIG_IDS);
    asm.rm(Ins.MOV, 4, R10, R10, NO_REG, 0, 4 * canonical);
    // A null element is found by this, which faults.
    s.traps(TrapCode.IndirectCallToNull);
    asm.mr(Ins.CMP, 4, R11, NO_REG, 0, FUNCREF.SIG_ID, R10);
    asm.jcc(CC.NE, s.trapStub(w.at, TrapCode.BadSignature));
    asm.rm(Ins.MOV, 8, RAX, R11, NO_REG, 0, FUNCREF.CODE);
    asm.rm(Ins.MOV, 8, BASE_REG, R11, NO_REG, 0, FUNCREF.VMCTX);
    asm.r(Ins.CALL, 8, RAX);
    afterCall(s, popped);
    s.restoreBase();
  }
  pushResults(s, type);
}

/** Code address of the element of a table image that r10 says, behind its checks, in rax. r11 is used (wasm/lower-image.ts). */
function imageCode(s: State, image: TableImage, canonical: number): void {
  const { asm, w } = s;
  asm.ri(Ins.CMP, 4, R10, image.functions.length);
  asm.jcc(CC.AE, s.trapStub(w.at, TrapCode.TableOutOfBounds));
  asm.rm(Ins.LEA, 8, R11, RIP, NO_REG, 0, 0);
  s.reloc(RelocKind.Image, asm.lastDisp, 0, image.offset - asm.lastTail);
  asm.rm(Ins.LEA, 8, R11, R11, R10, Math.log2(IMAGE_ENTRY.SIZE), 0);
  if (image.type !== canonical || image.nulls) {
    asm.mi(Ins.CMP, 4, R11, NO_REG, 0, IMAGE_ENTRY.TYPE, canonical);
    if (!image.nulls || image.type === canonical) {
      const code = image.nulls ? TrapCode.IndirectCallToNull : TrapCode.BadSignature;
      asm.jcc(CC.NE, s.trapStub(w.at, code));
    } else {
      const right = asm.newLabel();
      asm.jcc(CC.E, right);
      asm.mi(Ins.CMP, 4, R11, NO_REG, 0, IMAGE_ENTRY.CODE, 0);
      asm.jcc(CC.E, s.trapStub(w.at, TrapCode.IndirectCallToNull));
      asm.jmp(s.trapStub(w.at, TrapCode.BadSignature));
      asm.bind(right);
    }
  }
  asm.rm(Ins.MOVSXD, 8, RAX, R11, NO_REG, 0, IMAGE_ENTRY.CODE);
  asm.rr(Ins.ADD, 8, RAX, R11);
}

/** The element of a table at the index in `index`, behind its bounds check, in r11. */
function tableElement(s: State, tableIndex: number, index: number): void {
  const { asm, w } = s;
  tableField(s, tableIndex, TABLE_DESC.LENGTH, 4);
  asm.rr(Ins.CMP, 4, index, R11);
  asm.jcc(CC.AE, s.trapStub(w.at, TrapCode.TableOutOfBounds));
  tableField(s, tableIndex, TABLE_DESC.BASE, 8);
  asm.rm(Ins.MOV, 8, R11, R11, index, 3, 0);
}

/** A field of a table's descriptor in r11. */
function tableField(s: State, tableIndex: number, field: number, size: number): void {
  const { asm } = s;
  const at = TABLE_DESC.SIZE * tableIndex - s.w.layout.tables;
  if (tableIndex >= s.module.importedTables) {
    asm.rm(Ins.MOV, size, R11, BASE_REG, NO_REG, 0, at + field);
    return;
  }
  asm.rm(Ins.MOV, 8, R11, BASE_REG, NO_REG, 0, at);
  asm.rm(Ins.MOV, size, R11, R11, NO_REG, 0, field);
}

/** Return the values at `sp…`, wherever they are; nothing of the state counts afterwards. */
export function returnValues(s: State, types: readonly ValType[]): void {
  placeAll(s, s.w.sp, types, INT_RESULTS, FLOAT_RESULTS);
  s.leaveFrame();
}

/** The same when all of them are in their homes, which stay what they are. */
export function returnHomes(s: State, types: readonly ValType[]): void {
  let int = 0;
  let float = 0;
  const { sp } = s.w;
  for (let i = 0; i < types.length; i++) {
    const t = types[i]!;
    const r = isFloatType(t) ? FLOAT_RESULTS[float++]! : INT_RESULTS[int++]!;
    s.loadReg(s.w.types[sp + i]!, r, s.operandHome(sp + i));
  }
  s.leaveFrame();
}

/** Bytes of locals from which on a loop sets them to zero. */
const ZERO_LOOP = 256;

/** Parameters go to their homes, and the other locals are set to zero. */
export function enterFunction(s: State, params: readonly ValType[]): void {
  const { asm, w } = s;
  s.enterFrame();
  let int = 0;
  let float = 0;
  let stack = 0;
  for (let x = 0; x < params.length; x++) {
    const t = params[x]!;
    const home = s.localHomes[x]!;
    const r = isFloatType(t)
      ? float < FLOAT_ARGS.length
        ? FLOAT_ARGS[float++]!
        : -1
      : int < INT_ARGS.length
        ? INT_ARGS[int++]!
        : -1;
    if (r >= 0) {
      s.storeReg(t, r, home);
      continue;
    }
    s.incoming(Ins.MOV, intBytes(t), R11, stack);
    asm.mr(Ins.MOV, intBytes(t), RSP, NO_REG, 0, home, R11);
    stack += 8;
  }
  zeroLocals(s, params.length, w.localCount);
}

function zeroLocals(s: State, from: number, to: number): void {
  if (from === to) return;
  const { asm } = s;
  let at = s.localHomes[from]!;
  const end = align16(s.localHomes[to - 1]! + 8);
  if (at % 16 !== 0) {
    asm.mi(Ins.MOV, 8, RSP, NO_REG, 0, at, 0);
    at += 8;
  }
  if (at === end) return;
  asm.rr(Ins.XORPS, 16, XMM15, XMM15);
  if (end - at <= ZERO_LOOP) {
    for (; at < end; at += 16) asm.mr(Ins.MOVAPS, 16, RSP, NO_REG, 0, at, XMM15);
    return;
  }
  asm.rm(Ins.LEA, 8, R11, RSP, NO_REG, 0, at);
  asm.rm(Ins.LEA, 8, R10, RSP, NO_REG, 0, end);
  const loop = asm.newLabel();
  asm.bind(loop);
  asm.mr(Ins.MOVAPS, 16, R11, NO_REG, 0, 0, XMM15);
  asm.ri(Ins.ADD, 8, R11, 16);
  asm.rr(Ins.CMP, 8, R11, R10);
  asm.jcc(CC.NE, loop);
}
