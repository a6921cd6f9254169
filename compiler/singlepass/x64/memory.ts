/** Loads, stores, globals, and what the runtime's builtins do with whole memories. */
import { builtinId } from '../../abi/builtins.ts';
import { TrapCode } from '../../abi/traps.ts';
import { GLOBAL_ENTRY_SIZE, MEMORY_ENTRY, VMCTX } from '../../abi/vmctx.ts';
import { Ins, NO_REG } from '../../backend/x64/encode.ts';
import { BASE_REG, BUILTIN_ARGS, R10, R11, RAX, RCX } from '../../backend/x64/regs.ts';
import { accessSize, MemKind } from '../../ir/ops.ts';
import { memArg } from '../../wasm/lower-memory.ts';
import { ValType } from '../../wasm/module.ts';
import { OPCODE_ALIGN, OPCODE_KIND, OPCODE_OPERAND, OPCODE_RESULT } from '../../wasm/opcodes.ts';
import { irType } from '../../wasm/types.ts';
import { FREE, intBytes, isFloatType, Kind, type Operand, type State, XMM15 } from './state.ts';

/** Larger offsets don't fit the displacement of an address. */
const MAX_DISPLACEMENT = 0x7fffffff;

/**
 * Take the address `o` of an access with the walk's offset into the memory operand in hand. r10 and r11 are used, and
 * rcx.
 *
 * Sandbox argument (wasm/bounds.ts): the memory is guarded; an address is zero-extended in its register, or a constant
 * below 2^31 with the offset added, and an offset is below 2^32: the sum stays inside of the slot's reservation.
 */
function address(s: State, memory: number, o: Operand): void {
  const { asm, w } = s;
  const offset = w.offset >>> 0;
  s.mb = s.memoryBase(memory, MEMORY_ENTRY.SIZE * memory - w.layout.memories + MEMORY_ENTRY.BASE);
  s.mi = NO_REG;
  s.ms = 0;
  if (o.kind === Kind.Const) {
    const at = (o.val >>> 0) + offset;
    if (at <= MAX_DISPLACEMENT) {
      s.md = at;
      return;
    }
  }
  if (o.kind === Kind.Reg) s.mi = o.val;
  else {
    s.loadInt(ValType.I32, o, R11);
    s.mi = R11;
  }
  s.md = offset;
  if (offset <= MAX_DISPLACEMENT) return;
  asm.ri(Ins.MOV, 4, RCX, offset | 0);
  if (s.mi !== R11) asm.rr(Ins.MOV, 4, R11, s.mi);
  asm.rr(Ins.ADD, 8, R11, RCX);
  s.mi = R11;
  s.md = 0;
}

function loadIns(kind: MemKind, type: ValType): Ins {
  switch (kind) {
    case MemKind.S8:
      return Ins.MOVSX8;
    case MemKind.U8:
      return Ins.MOVZX8;
    case MemKind.S16:
      return Ins.MOVSX16;
    case MemKind.U16:
      return Ins.MOVZX16;
    case MemKind.S32:
      return Ins.MOVSXD;
    default:
      return type === ValType.F32 ? Ins.MOVSS : type === ValType.F64 ? Ins.MOVSD : Ins.MOV;
  }
}

export function load(s: State, code: number): void {
  const { a, w, asm } = s;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const type = OPCODE_RESULT[code]! as ValType;
  if (type === ValType.V128) s.leave();
  const kind = OPCODE_KIND[code]! as MemKind;
  s.take(ValType.I32, a);
  address(s, memory, a);
  s.done(a);
  const size = kind === MemKind.U8 || kind === MemKind.U16 || kind === MemKind.U32 ? 4 : intBytes(type);
  const r = isFloatType(type) ? s.allocFloat() : s.allocInt();
  s.traps(TrapCode.HeapOutOfBounds);
  asm.rm(loadIns(kind, type), size, r & 31, s.mb, s.mi, s.ms, s.md);
  s.pushReg(type, r);
}

export function store(s: State, code: number): void {
  const { a, b, w, asm } = s;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const type = OPCODE_OPERAND[code]! as ValType;
  if (type === ValType.V128) s.leave();
  s.take(type, b);
  s.take(ValType.I32, a);
  const size = accessSize(OPCODE_KIND[code]! as MemKind, irType(type));
  address(s, memory, a);
  if (isFloatType(type) && b.kind !== Kind.Const) {
    let x = b.val & 31;
    if (b.kind !== Kind.Reg) {
      x = XMM15;
      s.loadReg(type, 32 + XMM15, s.disp(b));
    }
    s.traps(TrapCode.HeapOutOfBounds);
    asm.mr(type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD, 8, s.mb, s.mi, s.ms, s.md, x);
  } else if (b.kind === Kind.Const && (size < 8 || b.high === b.val >> 31)) {
    const imm = size === 1 ? (b.val << 24) >> 24 : size === 2 ? (b.val << 16) >> 16 : b.val;
    s.traps(TrapCode.HeapOutOfBounds);
    asm.mi(Ins.MOV, size, s.mb, s.mi, s.ms, s.md, imm);
  } else {
    let r = b.val;
    if (b.kind !== Kind.Reg) {
      r = RCX;
      if (b.kind === Kind.Const) asm.movabs(RCX, b.val, b.high);
      else s.loadInt(type, b, RCX);
    }
    s.traps(TrapCode.HeapOutOfBounds);
    asm.mr(Ins.MOV, size, s.mb, s.mi, s.ms, s.md, r);
  }
  s.done(a);
  s.done(b);
}

// ---- globals
/** The place of a global comes into the memory operand in hand. r10 is used. */
function globalPlace(s: State, index: number): void {
  const at = GLOBAL_ENTRY_SIZE * index - s.w.layout.globals;
  s.mi = NO_REG;
  s.ms = 0;
  if (index >= s.module.importedGlobals) {
    s.mb = BASE_REG;
    s.md = at;
    return;
  }
  s.asm.rm(Ins.MOV, 8, R10, BASE_REG, NO_REG, 0, at);
  s.mb = R10;
  s.md = 0;
}

export function globalGet(s: State): void {
  const { w, asm } = s;
  const index = w.r.u32();
  w.checkIndex('global', index, s.module.globalTypes.length);
  const { type } = s.module.globalTypes[index]!;
  if (type === ValType.V128) s.leave();
  globalPlace(s, index);
  if (isFloatType(type)) {
    const x = s.allocFloat();
    asm.rm(type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD, 8, x & 31, s.mb, s.mi, 0, s.md);
    s.pushReg(type, x);
    return;
  }
  const r = s.allocInt();
  asm.rm(Ins.MOV, intBytes(type), r, s.mb, s.mi, 0, s.md);
  s.pushReg(type, r);
}

export function globalSet(s: State): void {
  const { w, asm, a } = s;
  const index = w.r.u32();
  w.checkIndex('global', index, s.module.globalTypes.length);
  const { type, mutable } = s.module.globalTypes[index]!;
  if (!mutable || type === ValType.V128) s.leave();
  s.take(type, a);
  globalPlace(s, index);
  if (isFloatType(type)) {
    let x = a.val & 31;
    if (a.kind !== Kind.Reg) s.loadFloat(type, a, (x = XMM15));
    asm.mr(type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD, 8, s.mb, s.mi, 0, s.md, x);
  } else {
    let r = a.val;
    if (a.kind !== Kind.Reg) s.loadInt(type, a, (r = R11));
    asm.mr(Ins.MOV, intBytes(type), s.mb, s.mi, 0, s.md, r);
  }
  s.done(a);
}

// ---- builtins
const MEMORY_GROW = builtinId('memory_grow');
const MEMORY_FILL = builtinId('memory_fill');
const MEMORY_COPY = builtinId('memory_copy');

/** Call a builtin whose arguments are in their registers; the result is in rax. */
function callBuiltin(s: State, id: number): void {
  const { asm } = s;
  asm.ri(Ins.MOV, 4, RAX, id);
  asm.m(Ins.CALL, 8, BASE_REG, NO_REG, 0, -VMCTX.BUILTIN_STUB);
}

/** Load operand `at` of the stack, which is in its home, as a builtin's argument. */
function homeArgument(s: State, at: number, reg: number): void {
  s.loadReg(s.w.types[at]!, reg, s.operandHome(at));
}

export function memorySize(s: State): void {
  const { w, asm } = s;
  const memory = w.r.u32();
  w.checkMemory(memory);
  const r = s.allocInt();
  if (memory === s.module.importedMemories) {
    asm.rm(Ins.MOV, 8, r, BASE_REG, NO_REG, 0, -VMCTX.MEMORY_LENGTH);
  } else {
    const entry = MEMORY_ENTRY.SIZE * memory - w.layout.memories;
    asm.rm(Ins.MOV, 8, R10, BASE_REG, NO_REG, 0, entry + MEMORY_ENTRY.LENGTH_PTR);
    asm.rm(Ins.MOV, 8, r, R10, NO_REG, 0, 0);
  }
  asm.ri(Ins.SHR, 8, r, s.module.memories[memory]!.pageSizeLog2);
  s.pushReg(ValType.I32, r);
}

export function memoryGrow(s: State): void {
  const { w, asm } = s;
  const memory = w.r.u32();
  w.checkMemory(memory);
  s.flush();
  w.pop(ValType.I32);
  homeArgument(s, w.sp, BUILTIN_ARGS[1]);
  asm.ri(Ins.MOV, 4, BUILTIN_ARGS[0], memory);
  callBuiltin(s, MEMORY_GROW);
  asm.rr(Ins.MOV, 4, RAX, RAX);
  s.owner[RAX] = FREE;
  s.pushReg(ValType.I32, RAX);
}

export function memoryFill(s: State): void {
  const { w, asm } = s;
  const memory = w.r.u32();
  w.checkMemory(memory);
  s.flush();
  for (let i = 0; i < 3; i++) w.pop(ValType.I32);
  for (let i = 0; i < 3; i++) homeArgument(s, w.sp + i, BUILTIN_ARGS[1 + i]!);
  asm.ri(Ins.MOV, 4, BUILTIN_ARGS[0], memory);
  callBuiltin(s, MEMORY_FILL);
}

export function memoryCopy(s: State): void {
  const { w, asm } = s;
  const to = w.r.u32();
  const from = w.r.u32();
  w.checkMemory(to);
  w.checkMemory(from);
  s.flush();
  for (let i = 0; i < 3; i++) w.pop(ValType.I32);
  for (let i = 0; i < 3; i++) homeArgument(s, w.sp + i, BUILTIN_ARGS[1 + i]!);
  asm.movabs(BUILTIN_ARGS[0], to, from);
  asm.ri(Ins.MOV, 4, BUILTIN_ARGS[4], 0);
  callBuiltin(s, MEMORY_COPY);
}
