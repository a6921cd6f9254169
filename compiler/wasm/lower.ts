/**
 * Function bodies: decode, validate and build SSA, in one walk over the operators.
 *
 *   assigned-locals.ts  a first, cheap pass: which locals does each construct assign?
 *   walk.ts             operand stack and control stack
 *   ssa.ts              locals, labels, block parameters
 *   lower-control.ts, lower-memory.ts, lower-tables.ts, lower-simd.ts   what operators become
 */
import type { VmctxLayout } from '../abi/vmctx.ts';
import { unsupported } from '../features.ts';
import { Func } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { defaultOptions, type LowerOptions } from '../options.ts';
import { canonicalNan } from './canonical-nans.ts';
import { costOf } from './count.ts';
import { DebugPoints } from './debug-code.ts';
import { CALL_VALUES_PER_BYTE, LIMITS, overLimit } from './limits.ts';
import * as control from './lower-control.ts';
import * as exceptions from './lower-exceptions.ts';
import * as memory from './lower-memory.ts';
import { simd } from './lower-simd.ts';
import * as tables from './lower-tables.ts';
import * as wide from './lower-wide.ts';
import { type Module, ValType } from './module.ts';
import {
  Code,
  OPCODE_CLASS,
  OPCODE_OP,
  OPCODE_OPERAND,
  OPCODE_RESULT,
  OPCODES,
  OpcodeClass,
  OpcodePage,
  unsupportedOpcode,
} from './opcodes.ts';
import { RESTART_IN_MEMORY } from './ssa.ts';
import { irType, readValType } from './types.ts';
import { FrameKind, Walk } from './walk.ts';

const DEFAULTS: LowerOptions = defaultOptions();
const MAX_LOCALS = 0xffffffff;

/** Scratch state, kept from function to function of a module. */
const walks = new WeakMap<Module, Walk>();

function walkFor(module: Module, layout: VmctxLayout, options: LowerOptions): Walk {
  let w = walks.get(module);
  if (!w) walks.set(module, (w = new Walk(module, layout, options)));
  w.layout = layout;
  w.options = options;
  w.debug = options.debugCode ? (w.debug ?? new DebugPoints(module)) : null;
  return w;
}

/**
 * Decode and validate the body of a defined function, and build its SSA form.
 * @param func is reset and filled; keeps its name
 * @param counters what is transformed here is counted in it, by name
 * @param localsInMemory keep all locals in a stack slot, as is done by itself for functions too large for SSA form
 * (ssa.ts)
 * @throws CompileError: malformed, invalid, unsupported or limit, with offset and function index
 */
export function lowerFunction(
  module: Module,
  funcIndex: number,
  layout: VmctxLayout,
  func: Func,
  options: LowerOptions = DEFAULTS,
  counters: Record<string, number> = {},
  localsInMemory = false,
): void {
  const w = walkFor(module, layout, options);
  w.counters = counters;
  const { name } = func;
  try {
    func.reset(funcIndex, name);
    lowerBody(w, funcIndex, func, localsInMemory, true);
  } catch (e) {
    if (e !== RESTART_IN_MEMORY) throw e;
    func.reset(funcIndex, name);
    lowerBody(w, funcIndex, func, true, true);
  }
}

const NO_LAYOUT: VmctxLayout = { memories: 0, tables: 0, globals: 0, imports: 0, size: 0 };
const nothing = new Func();

/** Decode and validate the body of a defined function: the same walk, without building. */
export function validateFunction(module: Module, funcIndex: number): void {
  lowerBody(walkFor(module, NO_LAYOUT, DEFAULTS), funcIndex, nothing, false, false);
}

function lowerBody(w: Walk, funcIndex: number, func: Func, localsInMemory: boolean, build: boolean): void {
  const { module, r } = w;
  const body = module.bodies[funcIndex - module.importedFunctions]!;
  const type = w.funcType(funcIndex);
  r.pos = body.start;
  r.end = body.end;
  r.func = funcIndex;
  w.callValues = LIMITS.callValues + CALL_VALUES_PER_BYTE * (body.end - body.start);
  func.loc = body.start;
  func.results = type.results.map(irType);
  readLocals(w, type.params);
  const code = r.pos;
  let inMemory = localsInMemory || w.debug !== null;
  if (build) {
    w.assigned.compute(r, w.localCount, type.params.length);
    r.pos = code;
    if (w.assigned.overBudget) inMemory = true;
  }
  const bytes = body.end - body.start;
  w.ssa.begin(
    func,
    w.localTypes,
    w.localCount,
    type.params.length,
    w.assigned.locals,
    inMemory,
    bytes,
    build,
  );
  w.debug?.begin(body.start);
  control.beginBody(w, type);
  walkCode(w);
  if (r.pos !== r.end) r.fail('section size mismatch: bytes behind the end of a function', r.pos);
  if (build) {
    w.ssa.finish();
    if (w.debug) func.debug = w.debug.finish(w);
  }
}

/** Parameters and declared locals, into `localTypes`. */
export function readLocals(w: Walk, params: readonly ValType[]): void {
  const { r } = w;
  const at = r.pos;
  let count = params.length;
  if (w.localTypes.length < count) w.localTypes = new Int32Array(LIMITS.locals);
  for (let i = 0; i < count; i++) w.localTypes[i] = params[i]!;
  for (let runs = r.u32(); runs > 0; runs--) {
    const n = r.u32();
    const type = readValType(r, w.module.types.length);
    if (count + n <= LIMITS.locals) {
      if (w.localTypes.length < count + n) {
        const types = new Int32Array(LIMITS.locals);
        types.set(w.localTypes);
        w.localTypes = types;
      }
      // Runs are short: `fill` is a call into the engine for each.
      const { localTypes } = w;
      for (let x = count; x < count + n; x++) localTypes[x] = type;
    }
    count += n;
    if (count > MAX_LOCALS) r.fail('too many locals', at);
  }
  if (count > LIMITS.locals) overLimit('too many locals', LIMITS.locals, at, r.func);
  w.localCount = count;
  w.paramCount = params.length;
  w.beginLocals();
}

/** All operators up to the `end` of the body. */
function walkCode(w: Walk): void {
  const { r, ssa } = w;
  const { func } = ssa;
  const counting = w.options.countInstructions;
  for (;;) {
    w.at = r.pos;
    func.loc = r.pos;
    if (func.count > LIMITS.rows) overLimit('function too large', LIMITS.rows, r.pos, r.func);
    const code = r.u8();
    if (w.debug !== null) w.debug.visit(w, code);
    if (counting && ssa.live) w.pendingCost += costOf(code);
    if (operator(w, code)) return;
  }
}

/**
 * One operator whose first byte has been read. Where the walk is not live, it is validated and nothing else.
 * @returns true at the end of the body
 */
export function operator(w: Walk, code: number): boolean {
  const { r, ssa, forbidden } = w;
  if (forbidden !== null) checkAllowed(w, code);
  switch (code) {
    case Code.LocalGet: {
      const x = localIndex(w);
      w.checkLocal(x);
      w.push(w.localTypes[x]! as ValType, ssa.live ? ssa.getLocal(x) : 0);
      break;
    }
    case Code.LocalSet: {
      const x = localIndex(w);
      const value = w.pop(w.localTypes[x]! as ValType);
      w.noteLocalSet(x);
      if (ssa.live) ssa.setLocal(x, value);
      break;
    }
    case Code.LocalTee: {
      const x = localIndex(w);
      const type = w.localTypes[x]! as ValType;
      const value = w.pop(type);
      w.noteLocalSet(x);
      if (ssa.live) ssa.setLocal(x, value);
      w.push(type, value);
      break;
    }
    case Code.I32Const: {
      const value = r.s32();
      w.push(ValType.I32, ssa.live ? ssa.emit(Op.IConst, Type.I32, 0, 0, 0, value, 0) : 0);
      break;
    }
    case Code.I64Const:
      r.s64();
      w.push(ValType.I64, ssa.live ? ssa.emit(Op.IConst, Type.I64, 0, 0, 0, r.lo, r.hi) : 0);
      break;
    case Code.F32Const: {
      const bits = r.f32();
      w.push(ValType.F32, ssa.live ? ssa.emit(Op.FConst, Type.F32, 0, 0, 0, bits, 0) : 0);
      break;
    }
    case Code.F64Const:
      r.f64();
      w.push(ValType.F64, ssa.live ? ssa.emit(Op.FConst, Type.F64, 0, 0, 0, r.lo, r.hi) : 0);
      break;
    case Code.Unreachable:
      control.unreachable(w);
      break;
    case Code.Nop:
      break;
    case Code.Block:
      control.open(w, FrameKind.Block);
      break;
    case Code.Loop:
      control.open(w, FrameKind.Loop);
      break;
    case Code.If:
      control.open(w, FrameKind.If);
      break;
    case Code.TryTable:
      exceptions.tryTable(w);
      break;
    case Code.Throw:
      exceptions.throwTag(w);
      break;
    case Code.ThrowRef:
      exceptions.throwRef(w);
      break;
    case Code.Else:
      control.orElse(w);
      break;
    case Code.End:
      return control.end(w);
    case Code.Br:
      control.br(w);
      break;
    case Code.BrIf:
      control.brIf(w);
      break;
    case Code.BrTable:
      control.brTable(w);
      break;
    case Code.Return:
      control.ret(w);
      break;
    case Code.Call:
      control.call(w);
      break;
    case Code.CallIndirect:
      control.callIndirect(w);
      break;
    case Code.ReturnCall:
      control.returnCall(w);
      break;
    case Code.ReturnCallIndirect:
      control.returnCallIndirect(w);
      break;
    case Code.CallRef:
      control.callRef(w);
      break;
    case Code.ReturnCallRef:
      control.returnCallRef(w);
      break;
    case Code.BrOnNull:
      control.brOnNull(w);
      break;
    case Code.BrOnNonNull:
      control.brOnNonNull(w);
      break;
    case Code.RefAsNonNull:
      tables.refAsNonNull(w);
      break;
    case Code.Drop:
      w.popAny();
      break;
    case Code.Select:
      control.select(w);
      break;
    case Code.SelectT:
      control.selectTyped(w);
      break;
    case Code.GlobalGet:
      memory.globalGet(w);
      break;
    case Code.GlobalSet:
      memory.globalSet(w);
      break;
    case Code.TableGet:
      tables.tableGet(w);
      break;
    case Code.TableSet:
      tables.tableSet(w);
      break;
    case Code.MemorySize:
      memory.memorySize(w);
      break;
    case Code.MemoryGrow:
      memory.memoryGrow(w);
      break;
    case Code.RefNull:
      tables.refNull(w);
      break;
    case Code.RefIsNull:
      tables.refIsNull(w);
      break;
    case Code.RefFunc:
      tables.refFunc(w);
      break;
    case Code.RefEq:
      tables.refEq(w);
      break;
    case Code.MiscPrefix:
      misc(w);
      break;
    case Code.SimdPrefix: {
      const number = r.u32();
      const at = OpcodePage.Simd + Math.min(number, VEC_OP_COUNT - 1);
      if (w.forbidden !== null && number < VEC_OP_COUNT) checkAllowed(w, at);
      if (OPCODE_CLASS[at] === OpcodeClass.Load) memory.load(w, at);
      else if (OPCODE_CLASS[at] === OpcodeClass.Store) memory.store(w, at);
      else if (number >= VEC_OP_COUNT || !simd(w, at)) {
        r.fail(`illegal opcode fd ${number.toString(16)}`, w.at);
      }
      break;
    }
    default:
      plain(w, code);
  }
  return false;
}

/** Refuse an operator of an extension that is off. */
function checkAllowed(w: Walk, code: number): void {
  const feature = w.forbidden!.get(code);
  if (feature) unsupported(feature, `${OPCODES[code]!.name} (it is switched off)`, w.at, w.r.func);
}

function localIndex(w: Walk): number {
  const x = w.r.u32();
  w.checkIndex('local', x, w.localCount);
  return x;
}

/** Operators whose type is fixed. */
function plain(w: Walk, code: number): void {
  const { ssa } = w;
  switch (OPCODE_CLASS[code]! as OpcodeClass) {
    case OpcodeClass.Binary: {
      const operand = OPCODE_OPERAND[code]! as ValType;
      const result = OPCODE_RESULT[code]! as ValType;
      const b = w.pop(operand);
      const a = w.pop(operand);
      const op = OPCODE_OP[code]! as Op;
      w.push(result, ssa.live ? canonicalNan(w, op, ssa.emit(op, irType(result), a, b, 0, 0, 0)) : 0);
      break;
    }
    case OpcodeClass.Unary: {
      const a = w.pop(OPCODE_OPERAND[code]! as ValType);
      const result = OPCODE_RESULT[code]! as ValType;
      const op = OPCODE_OP[code]! as Op;
      w.push(result, ssa.live ? canonicalNan(w, op, ssa.emit(op, irType(result), a, 0, 0, 0, 0)) : 0);
      break;
    }
    case OpcodeClass.Load:
      memory.load(w, code);
      break;
    case OpcodeClass.Store:
      memory.store(w, code);
      break;
    case OpcodeClass.Eqz: {
      const operand = OPCODE_OPERAND[code]! as ValType;
      const a = w.pop(operand);
      let value = 0;
      if (ssa.live) value = ssa.emit(Op.Eq, Type.I32, a, ssa.int(irType(operand), 0), 0, 0, 0);
      w.push(ValType.I32, value);
      break;
    }
    default:
      illegal(w, code);
  }
}

function misc(w: Walk): void {
  const number = w.r.u32();
  const code = OpcodePage.Misc + number;
  if (w.forbidden !== null) checkAllowed(w, code);
  switch (code) {
    case Code.MemoryInit:
      memory.memoryInit(w);
      break;
    case Code.DataDrop:
      memory.dataDrop(w);
      break;
    case Code.MemoryCopy:
      memory.memoryCopy(w);
      break;
    case Code.MemoryFill:
      memory.memoryFill(w);
      break;
    case Code.TableInit:
      tables.tableInit(w);
      break;
    case Code.ElemDrop:
      tables.elemDrop(w);
      break;
    case Code.TableCopy:
      tables.tableCopy(w);
      break;
    case Code.TableGrow:
      tables.tableGrow(w);
      break;
    case Code.TableSize:
      tables.tableSize(w);
      break;
    case Code.TableFill:
      tables.tableFill(w);
      break;
    case Code.I64Add128:
    case Code.I64Sub128:
      wide.addWide(w, code === Code.I64Sub128);
      break;
    case Code.I64MulWideS:
      wide.mulWide(w, Op.MulHighS);
      break;
    case Code.I64MulWideU:
      wide.mulWide(w, Op.MulHighU);
      break;
    default:
      if (code < OpcodePage.Simd) plain(w, code);
      else illegal(w, Code.MiscPrefix);
  }
}

function illegal(w: Walk, code: number): never {
  const first = code < OpcodePage.Misc ? code : Code.MiscPrefix;
  const proposal = first === Code.MiscPrefix ? null : unsupportedOpcode(first);
  if (proposal) unsupported(proposal, `opcode 0x${first.toString(16)}`, w.at, w.r.func);
  const number = code < OpcodePage.Misc ? '' : ` ${(code - OpcodePage.Misc).toString(16)}`;
  return w.r.fail(`illegal opcode ${first.toString(16)}${number}`, w.at);
}
