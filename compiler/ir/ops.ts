/**
 * The operators of the IR, as data.
 *
 * An instruction is one row of `ROW` int32 fields (func.ts). Its value, if it has one, is named by the row's index.
 * Operators are typed by the type of their result, except comparisons, tests and stores, which are typed by their
 * operand `a`.
 *
 * i32 values have undefined upper halves in 64-bit registers unless the backend proves otherwise. Ref is 64 bits in an
 * integer register: 0 is null.
 */

export const enum Type {
  None = 0,
  I32 = 1,
  I64 = 2,
  F32 = 3,
  F64 = 4,
  V128 = 5,
  Ref = 6,
}

export const TYPE_NAMES = ['none', 'i32', 'i64', 'f32', 'f64', 'v128', 'ref'] as const;

/** Operand fields: how many of A, B, C are values. LIST: B is a list of values in the pool. */
export const enum Op {
  Nop,
  // -- Constants and parameters
  /** I32: IMM = bits. I64, Ref: IMM = low, IMM2 = high. */
  IConst,
  /** F32: IMM = bits. F64: IMM = low, IMM2 = high. */
  FConst,
  /** V128: IMM = list reference of 4 int32. */
  VConst,
  /** Block parameter: A = block (not a value), IMM = position. Not linked in the block's instruction list. */
  Param,
  /**
   * Result IMM of the call A; stands directly behind its call (and its other results). A call with exactly one result
   * has it itself.
   */
  Result,
  /**
   * What the call A has thrown; behind its results, before an Invoke. IMM 0, Ref: the exception; IMM 1, I32: number of
   * the clause that catches it.
   */
  Caught,
  // -- Integer, I32 and I64
  Add,
  Sub,
  Mul,
  DivS,
  DivU,
  RemS,
  RemU,
  And,
  Or,
  Xor,
  Shl,
  ShrS,
  ShrU,
  Rotl,
  Rotr,
  Clz,
  Ctz,
  Popcnt,
  /** The bytes in reverse order. */
  Bswap,
  /** Sign-extend the low 8, 16, 32 bits within the type. */
  Ext8S,
  Ext16S,
  Ext32S,
  // Comparisons: type of operands = type of A; result I32, 0 or 1.
  Eq,
  Ne,
  LtS,
  LtU,
  GtS,
  GtU,
  LeS,
  LeU,
  GeS,
  GeU,
  // -- Floating point, F32 and F64
  FAdd,
  FSub,
  FMul,
  FDiv,
  FMin,
  FMax,
  FCopysign,
  FAbs,
  FNeg,
  FSqrt,
  FCeil,
  FFloor,
  FTrunc,
  FNearest,
  FEq,
  FNe,
  FLt,
  FGt,
  FLe,
  FGe,
  // -- Conversions: source type = type of A
  /** i64 -> i32 */
  Wrap,
  /** i32 -> i64 */
  ExtendS,
  ExtendU,
  /** float -> int, trapping: IntegerOverflow, BadConversionToInteger */
  TruncS,
  TruncU,
  TruncSatS,
  TruncSatU,
  /** int -> float */
  ConvertS,
  ConvertU,
  Promote,
  Demote,
  /** Same width, other register class (or I64 <-> Ref). */
  Bitcast,
  /** A (i32) != 0 ? B : C */
  Select,
  // -- Wide arithmetic, I64
  /** High half of the 128-bit product of A and B. */
  MulHighS,
  MulHighU,
  /** A + B + C, A - B - C; C is an i32, 0 or 1. */
  AddCarry,
  SubBorrow,
  // -- Wasm memory: A = address (i32, or i64 for a memory64), IMM = offset (u32), IMM2 = memAccess(): kind and memory
  Load,
  /** B = value */
  Store,
  // -- Raw memory of the runtime's own: never traps unless RAW_TRAP is in IMM2. A = pointer (i64/Ref), IMM = disp
  // (i32), IMM2 = rawAccess()
  RawLoad,
  RawStore,
  // -- vmctx: IMM = negative displacement from the base (i32), IMM2 = rawAccess()
  VmLoad,
  VmStore,
  /** Address base + IMM as i64; IMM 0: the base itself. */
  VmAddr,
  // -- Stack slots (IMM = slot index; sizes in Func.slots)
  SlotAddr,
  /** Address of a table's image (wasm/table-images.ts) as i64: IMM = bytes from the start of the module's images. */
  ImageAddr,
  // -- Checks
  /** Trap with code IMM if A (i32) is zero / is not zero. */
  TrapZ,
  TrapNz,
  /** Debug code: IMM = point (FuncDebug.points). Everything may be read and written by whoever stops here. */
  SeqPoint,
  // -- Calls: B = list of arguments. More than one result: Result rows follow.
  /** IMM = function index of a function defined in this module. */
  Call,
  /** IMM = index of the function import. Reloads the vmctx afterwards. */
  CallImport,
  /**
   * A = code pointer (i64), C = callee's vmctx base (i64; NONE: it is this instance), IMM = type index. Reloads the
   * vmctx afterwards if C.
   */
  CallIndirect,
  /** IMM = builtin id; arguments are i64 (or i32 zero-extended by the backend). */
  CallBuiltin,
  /** In a host thunk: IMM = function import index, A = address of the argument array. */
  CallHost,
  // -- Terminators
  /** B = edge */
  Jump,
  /** A = condition (i32), B = edge if nonzero, C = edge if zero; IMM = hint (0 none, 1 likely taken, 2 unlikely) */
  BrIf,
  /** A = index (i32), B = list of edges, the last one is the default */
  BrTable,
  /** B = list of results */
  Return,
  /** IMM = trap code */
  Trap,
  /**
   * Ends the block of a call that may throw (only its Results and Caughts stand between): B = edge when the call
   * returns, C = edge to the landing pad when it throws and is caught here; IMM = index in Func.scopes. The call's
   * results are there on edge B only, what is caught on edge C only.
   */
  Invoke,
  // Tail calls: this function's frame is gone before the callee runs. B = list of arguments. The callee belongs to this
  // instance.
  /** IMM = function index of a function defined in this module. */
  TailCall,
  /** A = code pointer (i64), IMM = type index. */
  TailCallIndirect,
  // -- Vectors: IMM2 = VecOp (vec-ops.ts), which tells shape and operation
  VUnary,
  VBinary,
  VTernary,
  /** B = count (i32), taken modulo the width of a lane */
  VShift,
  /** A = scalar */
  VSplat,
  /** IMM = lane; result: the lane's scalar type */
  VExtract,
  /** B = scalar, IMM = lane */
  VReplace,
  /** Result I32. */
  VTest,
  /** C = VConst: for each byte, its index in the bytes of A, then B. */
  VShuffle,
  /** A = f32 or f64: lane 0; zeros above. No VecOp. */
  VZext,
  COUNT,
}

/** What IMM2 of a Load or Store says: bits 0–7 a MemKind, bits 8–31 the memory index. */
export const enum MemKind {
  /** Full width of the type. */
  Full = 0,
  S8 = 1,
  U8 = 2,
  S16 = 3,
  U16 = 4,
  S32 = 5,
  U32 = 6,
}
export function memAccess(kind: MemKind, memory: number): number {
  return kind | (memory << 8);
}
export function memKind(access: number): MemKind {
  return access & 0xff;
}
export function memIndex(access: number): number {
  return access >>> 8;
}
/** Bytes accessed, given the type of the value loaded or stored. */
export function accessSize(kind: MemKind, type: Type): number {
  switch (kind) {
    case MemKind.Full:
      return type === Type.V128 ? 16 : type === Type.I32 || type === Type.F32 ? 4 : 8;
    case MemKind.S8:
    case MemKind.U8:
      return 1;
    case MemKind.S16:
    case MemKind.U16:
      return 2;
    default:
      return 4;
  }
}

/**
 * Alias regions of raw and vmctx accesses. Two accesses of different regions never touch the same bytes; wasm memories
 * are further regions of their own, one for each memory index (imported memories may be the same one: all imported
 * memories are one region).
 */
export const enum Region {
  /** Never written while an instance runs. */
  ReadOnly = 0,
  /** Memory lengths: written by memory.grow (a builtin) and by anything a call may reach. */
  MemoryLength = 1,
  /** Table bases and lengths. */
  TableDesc = 2,
  /** Table elements. */
  TableElement = 3,
  /** Globals: further split by `slot` = global index. */
  Global = 4,
  /** Argument arrays of thunks, stack slots, the instruction counter and its bound. */
  Args = 5,
}

/**
 * IMM2 of raw accesses: bits 0–2 region, bits 3–7 trap code when the pointer may be null (0: can't fault), bits 8–10
 * MemKind, bits 11–31 slot (global index + 1, table index + 1, or 0).
 */
export function rawAccess(region: Region, kind: MemKind, slot = 0, trap = 0): number {
  return region | (trap << 3) | (kind << 8) | (slot << 11);
}
export function rawRegion(access: number): Region {
  return access & 7;
}
export function rawTrap(access: number): number {
  return (access >>> 3) & 31;
}
export function rawKind(access: number): MemKind {
  return (access >>> 8) & 7;
}
export function rawSlot(access: number): number {
  return access >>> 11;
}

export const enum OpFlag {
  None = 0,
  /** Can be removed when unused, and be merged with an equal one that dominates it. */
  Pure = 1,
  Commutative = 2,
  /** May trap: kept even if unused, never moved above another effect. */
  Trap = 4,
  /** Reads memory of some region. */
  Read = 8,
  /** Writes memory of some region, or has another effect. */
  Write = 16,
  Call = 32,
  Terminator = 64,
  /** Comparison: result I32, typed by operand A. */
  Compare = 128,
  /** B is a list of values. */
  ListB = 256,
}

export interface OpInfo {
  readonly name: string;
  /** Number of value operands among A, B, C, in this order (list operands not counted). */
  readonly operands: number;
  readonly flags: number;
}

const P = OpFlag.Pure;
const PC = OpFlag.Pure | OpFlag.Commutative;
const CMP = OpFlag.Pure | OpFlag.Compare;
const T = OpFlag.Trap;
const CALL = OpFlag.Call | OpFlag.Read | OpFlag.Write | OpFlag.Trap | OpFlag.ListB;
const END = OpFlag.Terminator;

function table(): OpInfo[] {
  const t: OpInfo[] = [];
  const def = (op: Op, name: string, operands: number, flags: number) => {
    t[op] = { name, operands, flags };
  };
  def(Op.Nop, 'nop', 0, P);
  def(Op.IConst, 'iconst', 0, P);
  def(Op.FConst, 'fconst', 0, P);
  def(Op.VConst, 'vconst', 0, P);
  def(Op.Param, 'param', 0, P);
  def(Op.Result, 'result', 1, P);
  def(Op.Caught, 'caught', 1, P);
  def(Op.Add, 'add', 2, PC);
  def(Op.Sub, 'sub', 2, P);
  def(Op.Mul, 'mul', 2, PC);
  def(Op.DivS, 'div_s', 2, T);
  def(Op.DivU, 'div_u', 2, T);
  def(Op.RemS, 'rem_s', 2, T);
  def(Op.RemU, 'rem_u', 2, T);
  def(Op.And, 'and', 2, PC);
  def(Op.Or, 'or', 2, PC);
  def(Op.Xor, 'xor', 2, PC);
  def(Op.Shl, 'shl', 2, P);
  def(Op.ShrS, 'shr_s', 2, P);
  def(Op.ShrU, 'shr_u', 2, P);
  def(Op.Rotl, 'rotl', 2, P);
  def(Op.Rotr, 'rotr', 2, P);
  def(Op.Clz, 'clz', 1, P);
  def(Op.Ctz, 'ctz', 1, P);
  def(Op.Popcnt, 'popcnt', 1, P);
  def(Op.Bswap, 'bswap', 1, P);
  def(Op.Ext8S, 'ext8_s', 1, P);
  def(Op.Ext16S, 'ext16_s', 1, P);
  def(Op.Ext32S, 'ext32_s', 1, P);
  def(Op.Eq, 'eq', 2, CMP | OpFlag.Commutative);
  def(Op.Ne, 'ne', 2, CMP | OpFlag.Commutative);
  def(Op.LtS, 'lt_s', 2, CMP);
  def(Op.LtU, 'lt_u', 2, CMP);
  def(Op.GtS, 'gt_s', 2, CMP);
  def(Op.GtU, 'gt_u', 2, CMP);
  def(Op.LeS, 'le_s', 2, CMP);
  def(Op.LeU, 'le_u', 2, CMP);
  def(Op.GeS, 'ge_s', 2, CMP);
  def(Op.GeU, 'ge_u', 2, CMP);
  def(Op.FAdd, 'fadd', 2, P);
  def(Op.FSub, 'fsub', 2, P);
  def(Op.FMul, 'fmul', 2, P);
  def(Op.FDiv, 'fdiv', 2, P);
  def(Op.FMin, 'fmin', 2, P);
  def(Op.FMax, 'fmax', 2, P);
  def(Op.FCopysign, 'fcopysign', 2, P);
  def(Op.FAbs, 'fabs', 1, P);
  def(Op.FNeg, 'fneg', 1, P);
  def(Op.FSqrt, 'fsqrt', 1, P);
  def(Op.FCeil, 'fceil', 1, P);
  def(Op.FFloor, 'ffloor', 1, P);
  def(Op.FTrunc, 'ftrunc', 1, P);
  def(Op.FNearest, 'fnearest', 1, P);
  def(Op.FEq, 'feq', 2, CMP | OpFlag.Commutative);
  def(Op.FNe, 'fne', 2, CMP | OpFlag.Commutative);
  def(Op.FLt, 'flt', 2, CMP);
  def(Op.FGt, 'fgt', 2, CMP);
  def(Op.FLe, 'fle', 2, CMP);
  def(Op.FGe, 'fge', 2, CMP);
  def(Op.Wrap, 'wrap', 1, P);
  def(Op.ExtendS, 'extend_s', 1, P);
  def(Op.ExtendU, 'extend_u', 1, P);
  def(Op.TruncS, 'trunc_s', 1, T);
  def(Op.TruncU, 'trunc_u', 1, T);
  def(Op.TruncSatS, 'trunc_sat_s', 1, P);
  def(Op.TruncSatU, 'trunc_sat_u', 1, P);
  def(Op.ConvertS, 'convert_s', 1, P);
  def(Op.ConvertU, 'convert_u', 1, P);
  def(Op.Promote, 'promote', 1, P);
  def(Op.Demote, 'demote', 1, P);
  def(Op.Bitcast, 'bitcast', 1, P);
  def(Op.Select, 'select', 3, P);
  def(Op.MulHighS, 'mul_high_s', 2, PC);
  def(Op.MulHighU, 'mul_high_u', 2, PC);
  def(Op.AddCarry, 'add_carry', 3, P);
  def(Op.SubBorrow, 'sub_borrow', 3, P);
  def(Op.Load, 'load', 1, OpFlag.Read | T);
  def(Op.Store, 'store', 2, OpFlag.Write | T);
  def(Op.RawLoad, 'raw_load', 1, OpFlag.Read);
  def(Op.RawStore, 'raw_store', 2, OpFlag.Write);
  def(Op.VmLoad, 'vm_load', 0, OpFlag.Read);
  def(Op.VmStore, 'vm_store', 1, OpFlag.Write);
  def(Op.VmAddr, 'vm_addr', 0, P);
  def(Op.SlotAddr, 'slot_addr', 0, P);
  def(Op.ImageAddr, 'image_addr', 0, P);
  def(Op.TrapZ, 'trap_z', 1, T);
  def(Op.TrapNz, 'trap_nz', 1, T);
  def(Op.SeqPoint, 'seq_point', 0, OpFlag.Read | OpFlag.Write);
  def(Op.Call, 'call', 0, CALL);
  def(Op.CallImport, 'call_import', 0, CALL);
  def(Op.CallIndirect, 'call_indirect', 1, CALL);
  def(Op.CallBuiltin, 'call_builtin', 0, CALL);
  def(Op.CallHost, 'call_host', 1, CALL & ~OpFlag.ListB);
  def(Op.Jump, 'jump', 0, END);
  def(Op.BrIf, 'br_if', 1, END);
  def(Op.BrTable, 'br_table', 1, END);
  def(Op.Return, 'return', 0, END | OpFlag.ListB);
  def(Op.Trap, 'trap', 0, END | T);
  def(Op.Invoke, 'invoke', 0, END);
  def(Op.TailCall, 'tail_call', 0, END | OpFlag.ListB);
  def(Op.TailCallIndirect, 'tail_call_indirect', 1, END | OpFlag.ListB);
  def(Op.VUnary, 'vunary', 1, P);
  def(Op.VBinary, 'vbinary', 2, P);
  def(Op.VTernary, 'vternary', 3, P);
  def(Op.VShift, 'vshift', 2, P);
  def(Op.VSplat, 'vsplat', 1, P);
  def(Op.VExtract, 'vextract', 1, P);
  def(Op.VReplace, 'vreplace', 2, P);
  def(Op.VTest, 'vtest', 1, P);
  def(Op.VShuffle, 'vshuffle', 3, P);
  def(Op.VZext, 'vzext', 1, P);
  return t;
}

/** Indexed by Op. */
export const OPS: readonly OpInfo[] = table();
/** `OPS[op].flags`, `OPS[op].operands` as typed arrays, for hot loops. */
export const OP_FLAGS = Uint16Array.from({ length: Op.COUNT }, (_, i) => OPS[i]!.flags);
export const OP_OPERANDS = Uint8Array.from({ length: Op.COUNT }, (_, i) => OPS[i]!.operands);
