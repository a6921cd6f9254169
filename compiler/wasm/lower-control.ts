/** Blocks, branches, calls, returns. */
import { builtinId } from '../abi/builtins.ts';
import { TrapCode } from '../abi/traps.ts';
import { FUNCREF, VMCTX } from '../abi/vmctx.ts';
import { bug } from '../diagnostics.ts';
import { F_C, ROW, type Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { settle, settleAndYield } from './count.ts';
import { LIMITS, overLimit } from './limits.ts';
import { invoke, landingPad, type OpenTry } from './lower-exceptions.ts';
import { constantCallee, imageCode } from './lower-image.ts';
import { emitBuiltin } from './lower-memory.ts';
import { loadElement } from './lower-tables.ts';
import { type FuncType, ValType } from './module.ts';
import { EDGE_B, EDGE_C, NO_LABEL } from './ssa.ts';
import { concreteRef, irType, isRef, readBlockType, readValType, typeName } from './types.ts';
import { Fr, FrameKind, UNKNOWN, type Walk } from './walk.ts';

export function beginBody(w: Walk, type: FuncType): void {
  w.sp = 0;
  w.depth = 0;
  w.constructs = 0;
  w.pendingCost = 0;
  w.openTry = null;
  if (w.tries.length > 0) w.tries.length = 0;
  w.clauses = 0;
  w.payloadSlot = -1;
  w.pushFrame(FrameKind.Func, { params: [], results: type.results }, NO_LABEL);
}

export function open(w: Walk, kind: FrameKind): void {
  const { ssa, assigned } = w;
  const type = readBlockType(w.r, w.module.types);
  const construct = w.constructs++;
  const cond = kind === FrameKind.If ? w.pop(ValType.I32) : 0;
  w.popAll(type.params);
  w.debug?.enterConstruct(w);
  let label = NO_LABEL;
  const live = ssa.live;
  if (live && (kind === FrameKind.If || assigned.targeted[construct])) {
    const types = kind === FrameKind.Loop ? type.params : type.results;
    if (kind !== FrameKind.Block) settle(w);
    label = ssa.newLabel(types, assigned.start[construct]!, assigned.length[construct]!);
    if (kind === FrameKind.Loop) ssa.openLoop(label, w.vals, w.sp);
  }
  w.pushFrame(kind, type, label);
  if (live && kind === FrameKind.If) {
    const then = ssa.func.newBlock();
    const i = w.top();
    w.frames[i + Fr.Row] = ssa.saveRow(label, type.params.length, w.vals, w.sp);
    // The other edge is known at `else` or `end`.
    w.frames[i + Fr.Term] = ssa.terminate(Op.BrIf, cond, ssa.func.newEdge(then), 0, 0);
    ssa.enter(then);
  }
  w.pushAgain(type.params);
}

const SIGNATURE_MATCHES = builtinId('signature_matches');

/** The results at the end of a sequence: popped; nothing may be left. */
function endSequence(w: Walk, type: FuncType): void {
  w.popAll(type.results);
  if (w.sp !== w.height) {
    const n = w.sp - w.height;
    w.fail(`type mismatch: ${n} value${n === 1 ? '' : 's'} left on the stack at the end of a sequence`);
  }
}

/** Opens a block. For a try_table, `handlers` reads its clauses, whose labels are counted from outside of it. */
export function openBlock(w: Walk, kind: FrameKind, handlers: () => OpenTry | null): void {
  const { ssa, assigned } = w;
  const type = readBlockType(w.r, w.module.types);
  w.popAll(type.params);
  w.debug?.enterConstruct(w);
  const open = handlers();
  const construct = w.constructs++;
  let label = NO_LABEL;
  if (ssa.live && assigned.targeted[construct]) {
    label = ssa.newLabel(type.results, assigned.start[construct]!, assigned.length[construct]!);
  }
  w.pushFrame(kind, type, label);
  w.tries[w.depth - 1] = open;
  if (open) w.openTry = open;
  w.pushAgain(type.params);
}

export function orElse(w: Walk): void {
  const { ssa } = w;
  const i = w.top();
  if (w.frames[i + Fr.Kind] !== FrameKind.If) w.r.fail('else without if', w.at);
  const type = w.frameTypes[w.depth - 1]!;
  const label = w.frames[i + Fr.Label]!;
  endSequence(w, type);
  w.forgetLocals();
  if (ssa.live) {
    settle(w);
    ssa.branch(label, ssa.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, w.vals, w.sp);
  }
  w.frames[i + Fr.Kind] = FrameKind.Else;
  w.unreachable = false;
  if (w.frames[i + Fr.Live]) {
    const block = ssa.func.newBlock();
    ssa.func.rows[w.frames[i + Fr.Term]! * ROW + F_C] = ssa.func.newEdge(block);
    ssa.restore(label, w.frames[i + Fr.Row]!, type.params.length, w.vals, w.sp);
    ssa.enter(block);
  }
  w.pushAgain(type.params);
}

/** `end`. True at the end of the body. */
export function end(w: Walk): boolean {
  const { ssa } = w;
  const i = w.top();
  const kind = w.frames[i + Fr.Kind]! as FrameKind;
  const type = w.frameTypes[w.depth - 1]!;
  endSequence(w, type);
  if (kind === FrameKind.Func) {
    if (ssa.live) emitReturn(w, type.results, w.sp);
    w.popFrame();
    return true;
  }
  const label = w.frames[i + Fr.Label]!;
  if (kind === FrameKind.If) {
    // Without `else` the parameters are the results.
    if (!allMatch(w, type.params, type.results))
      w.fail('type mismatch: an if without else must have the results of its parameters');
    if (w.frames[i + Fr.Live]) ssa.addEdge(label, w.frames[i + Fr.Term]!, EDGE_C, w.frames[i + Fr.Row]!);
  }
  if (kind === FrameKind.TryTable) {
    const open = w.tries[w.depth - 1];
    if (open) {
      // The landing pad is entered by another path: costs counted so far belong to the one that ends here.
      if (ssa.live) settle(w);
      landingPad(w, open, type.results.length);
    }
  }
  if (kind !== FrameKind.Loop && label !== NO_LABEL && ssa.hasEdges(label)) {
    if (ssa.live) {
      settle(w);
      ssa.branch(label, ssa.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, w.vals, w.sp);
    }
    ssa.join(label, w.vals, w.sp);
  }
  const height = w.frames[i + Fr.Height]!;
  w.popFrame();
  w.debug?.leaveConstruct(w, height);
  w.pushAgain(type.results);
  return false;
}

function allMatch(w: Walk, sub: readonly ValType[], sup: readonly ValType[]): boolean {
  return sub === sup || (sub.length === sup.length && sub.every((t, i) => w.matches(t, sup[i]!)));
}

// ---- branches
/** Return the values at `vals[from…]`. */
function emitReturn(w: Walk, types: readonly ValType[], from: number): void {
  settleAndYield(w);
  w.ssa.terminate(Op.Return, 0, valueList(w, types.length, from), 0, 0);
}

function passValues(w: Walk, n: number): void {
  w.callValues -= n;
  if (w.callValues < 0)
    overLimit('calls and returns pass too many values', LIMITS.callValues, w.at, w.r.func);
}

function valueList(w: Walk, n: number, from: number): number {
  const { func } = w.ssa;
  passValues(w, n);
  const list = func.newList(n);
  for (let i = 0; i < n; i++) func.pool[list + 1 + i] = w.vals[from + i]!;
  return list;
}

/** A block that returns the values at `vals[from…]`: where a conditional branch to the outermost label goes. */
function returnBlock(w: Walk, types: readonly ValType[], from: number): number {
  const { ssa } = w;
  const here = ssa.block;
  const block = ssa.func.newBlock();
  ssa.enter(block);
  emitReturn(w, types, from);
  ssa.enter(here);
  return block;
}

function liveLabel(w: Walk, frame: number): number {
  const label = w.labelOf(frame);
  if (label === NO_LABEL) bug('branch to a construct that was found to have none');
  return label;
}

/** Go to a frame's label with the values at `vals[from…]`. */
export function leaveTo(w: Walk, frame: number, types: readonly ValType[], from: number): void {
  const { ssa } = w;
  if (frame === 0) {
    emitReturn(w, types, from);
    return;
  }
  if (isLoop(w, frame)) settleAndYield(w);
  else settle(w);
  ssa.branch(liveLabel(w, frame), ssa.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, w.vals, from);
}

export function br(w: Walk): void {
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  w.popAll(types);
  if (w.ssa.live) leaveTo(w, frame, types, w.sp);
  w.setUnreachable();
}

export function brIf(w: Walk): void {
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  const cond = w.pop(ValType.I32);
  w.popAll(types);
  if (w.ssa.live) branchIf(w, cond, frame, types);
  w.pushAgain(types);
}

/** A conditional branch to a frame with the values at `vals[sp…]`; enters what comes behind it. */
function branchIf(w: Walk, cond: Value, frame: number, types: readonly ValType[]): void {
  const { ssa } = w;
  const { func } = ssa;
  settle(w);
  if (w.options.countInstructions && frame !== 0 && isLoop(w, frame)) {
    const back = func.newBlock();
    const on = func.newBlock();
    ssa.terminate(Op.BrIf, cond, func.newEdge(back), func.newEdge(on), 0);
    ssa.enter(back);
    settleAndYield(w);
    ssa.branch(liveLabel(w, frame), ssa.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, w.vals, w.sp);
    ssa.enter(on);
    return;
  }
  const taken = frame === 0 ? func.newEdge(returnBlock(w, types, w.sp)) : 0;
  const next = func.newBlock();
  const term = ssa.terminate(Op.BrIf, cond, taken, func.newEdge(next), 0);
  if (frame !== 0) ssa.branch(liveLabel(w, frame), term, EDGE_B, w.vals, w.sp);
  ssa.enter(next);
}

function isLoop(w: Walk, frame: number): boolean {
  return w.frames[frame * Fr.SIZE + Fr.Kind] === FrameKind.Loop;
}

function compareWithNull(w: Walk, op: Op.Eq | Op.Ne, value: Value): Value {
  const { ssa } = w;
  return ssa.emit(op, Type.I32, value, ssa.emit(Op.IConst, Type.Ref, 0, 0, 0, 0, 0), 0, 0, 0);
}

export function brOnNull(w: Walk): void {
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  const value = w.popRef();
  const type = w.popped as ValType;
  w.popAll(types);
  if (w.ssa.live) branchIf(w, compareWithNull(w, Op.Eq, value), frame, types);
  w.pushAgain(types);
  w.push(type | ValType.NonNull, value);
}

export function brOnNonNull(w: Walk): void {
  const frame = w.frameOf(w.r.u32());
  const types = w.labelTypes(frame);
  const value = w.popRef();
  const type = w.popped as ValType;
  if (types.length === 0) w.fail('type mismatch: br_on_non_null to a label without values');
  w.push(type | ValType.NonNull, value);
  w.popAll(types);
  if (w.ssa.live) branchIf(w, compareWithNull(w, Op.Ne, value), frame, types);
  w.pushAgain(types.slice(0, -1));
}

export function brTable(w: Walk): void {
  const { ssa, r } = w;
  const count = r.u32();
  if (count > r.end - r.pos) r.fail('unexpected end of section or function', r.pos);
  if (count > LIMITS.brTableTargets) overLimit('br_table too large', LIMITS.brTableTargets, w.at, r.func);
  const index = w.pop(ValType.I32);
  const live = ssa.live;
  const { func } = ssa;
  if (live) settleAndYield(w);
  const list = live ? func.newList(count + 1) : 0;
  const term = live ? ssa.terminate(Op.BrTable, index, list, 0, 0) : 0;
  if (live) ssa.beginBrTable();
  let returns = 0;
  let checked: readonly ValType[] | null = null;
  for (let i = 0; i <= count; i++) {
    const frame = w.frameOf(r.u32());
    const types = w.labelTypes(frame);
    if (types !== checked) {
      if (checked && types.length !== checked.length) {
        w.fail('type mismatch: labels of a br_table differ in number of values');
      }
      w.checkTop(types);
      checked = types;
    }
    if (!live) continue;
    const from = w.sp - types.length;
    const place = list + 1 + i;
    if (frame === 0) {
      if (returns === 0) returns = returnBlock(w, types, from);
      // First the edge: making it may replace the pool.
      const edge = func.newEdge(returns);
      func.pool[place] = edge;
    } else {
      ssa.branchOfTable(liveLabel(w, frame), term, place, w.vals, from);
    }
  }
  w.setUnreachable();
}

export function ret(w: Walk): void {
  const types = w.labelTypes(0);
  w.popAll(types);
  if (w.ssa.live) emitReturn(w, types, w.sp);
  w.setUnreachable();
}

export function unreachable(w: Walk): void {
  if (w.ssa.live) {
    settle(w);
    w.ssa.terminate(Op.Trap, 0, 0, 0, TrapCode.Unreachable);
  }
  w.setUnreachable();
}

// ---- calls
/**
 * Emit a call without the Invoke that it needs inside of a try_table, and push its results. The arguments stand at
 * `vals[sp…]`.
 */
function emitBareCall(w: Walk, type: FuncType, op: Op, code: Value, vmctx: Value, imm: number): Value {
  const { ssa } = w;
  const { results } = type;
  if (!ssa.live) {
    for (const t of results) w.push(t, 0);
    return 0;
  }
  passValues(w, results.length);
  settleAndYield(w);
  const args = valueList(w, type.params.length, w.sp);
  const single = results.length === 1 ? irType(results[0]!) : Type.None;
  const call = ssa.emit(op, single, code, args, vmctx, imm, 0);
  if (results.length === 1) w.push(results[0]!, call);
  else {
    for (let i = 0; i < results.length; i++) {
      w.push(results[i]!, ssa.emit(Op.Result, irType(results[i]!), call, 0, 0, i, 0));
    }
  }
  return call;
}

function emitCall(w: Walk, type: FuncType, op: Op, code: Value, vmctx: Value, imm: number): void {
  const { live } = w.ssa;
  const call = emitBareCall(w, type, op, code, vmctx, imm);
  if (live) invoke(w, call);
}

export function call(w: Walk): void {
  const index = w.r.u32();
  w.checkIndex('function', index, w.module.functions.length);
  const type = w.funcType(index);
  w.popAll(type.params);
  emitCall(w, type, directCall(w, index), 0, 0, index);
}

/** What an indirect call needs of its callee's record: meaningless unless live. */
interface Callee {
  readonly type: FuncType;
  readonly typeIndex: number;
  readonly code: Value;
  /** 0: it is this instance's. */
  readonly vmctx: Value;
  /** The one function that it can be, or -1. */
  readonly only: number;
}

const known = (type: FuncType, typeIndex: number, only: number): Callee => ({
  type,
  typeIndex,
  code: 0,
  vmctx: 0,
  only,
});

/**
 * Through a table: bounds check, element, signature check. A null element is found by the load of its signature, which
 * faults. The loads from the record all carry the trap code: by themselves they may fault, so none of them may be moved
 * to where the checks have not been made.
 */
function calleeOfTable(w: Walk): Callee {
  const { ssa, module } = w;
  const typeIndex = w.r.u32();
  const tableIndex = w.r.u32();
  const table = w.table(tableIndex);
  if (!w.matches(table.element, ValType.FuncRef))
    w.fail(`type mismatch: call_indirect through a table of ${typeName(table.element)}`);
  const type = w.functionType(typeIndex);
  const index = w.pop(w.tableIndexType(tableIndex));
  w.popAll(type.params);
  if (!ssa.live) return known(type, typeIndex, -1);
  settle(w);
  const image = module.tableImages[tableIndex];
  if (image) {
    const wanted = module.canonicalTypes[typeIndex]!;
    const selected = constantCallee(w, image, index, wanted);
    if (selected >= 0) {
      w.count('call-constant');
      return known(type, typeIndex, selected);
    }
    const only = image.callees.get(wanted) ?? -1;
    w.count(only >= 0 ? 'call-single' : 'call-image');
    return { ...known(type, typeIndex, only), code: imageCode(w, tableIndex, image, index, wanted, only) };
  }
  const element = loadElement(w, tableIndex, index);
  const record = rawAccess(Region.ReadOnly, MemKind.Full, 0, TrapCode.IndirectCallToNull);
  const plain = rawAccess(Region.ReadOnly, MemKind.Full);
  const canonical = module.canonicalTypes[typeIndex]!;
  const ids = ssa.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.SIG_IDS, plain);
  const found = ssa.emit(Op.RawLoad, Type.I32, element, 0, 0, FUNCREF.SIG_ID, record);
  const id = ssa.emit(Op.RawLoad, Type.I32, ids, 0, 0, 4 * canonical, plain);
  if (type.final) {
    const differ = ssa.emit(Op.Ne, Type.I32, found, id, 0, 0, 0);
    ssa.emit(Op.TrapNz, Type.None, differ, 0, 0, TrapCode.BadSignature, 0);
  } else {
    // The function's own type may be one below.
    const fits = emitBuiltin(w, SIGNATURE_MATCHES, Type.I32, [found, id]);
    ssa.emit(Op.TrapZ, Type.None, fits, 0, 0, TrapCode.BadSignature, 0);
  }
  const code = ssa.emit(Op.RawLoad, Type.I64, element, 0, 0, FUNCREF.CODE, record);
  const vmctx = ssa.emit(Op.RawLoad, Type.I64, element, 0, 0, FUNCREF.VMCTX, record);
  return { type, typeIndex, code, vmctx, only: -1 };
}

function directCall(w: Walk, index: number): Op {
  return index < w.module.importedFunctions ? Op.CallImport : Op.Call;
}

export function callIndirect(w: Walk): void {
  const { type, typeIndex, code, vmctx, only } = calleeOfTable(w);
  if (only >= 0) emitCall(w, type, directCall(w, only), 0, 0, only);
  else emitCall(w, type, Op.CallIndirect, code, vmctx, typeIndex);
}

/**
 * Through a reference: its type says what it is, so only null is to be found out, by the load of the code, which
 * faults.
 */
function calleeOfRef(w: Walk): Callee {
  const { ssa } = w;
  const typeIndex = w.r.u32();
  const type = w.functionType(typeIndex);
  const ref = w.pop(concreteRef(typeIndex));
  w.popAll(type.params);
  if (!ssa.live) return known(type, typeIndex, -1);
  settle(w);
  const record = rawAccess(Region.ReadOnly, MemKind.Full, 0, TrapCode.NullReference);
  const code = ssa.emit(Op.RawLoad, Type.I64, ref, 0, 0, FUNCREF.CODE, record);
  const vmctx = ssa.emit(Op.RawLoad, Type.I64, ref, 0, 0, FUNCREF.VMCTX, record);
  return { type, typeIndex, code, vmctx, only: -1 };
}

export function callRef(w: Walk): void {
  const { type, typeIndex, code, vmctx } = calleeOfRef(w);
  emitCall(w, type, Op.CallIndirect, code, vmctx, typeIndex);
}

// ---- tail calls
function checkTailCall(w: Walk, callee: FuncType): void {
  if (!allMatch(w, callee.results, w.labelTypes(0))) {
    w.fail('type mismatch: the callee of a tail call must have the results of its caller');
  }
}

/**
 * A tail call that is made as an ordinary call and a return, for callees of other instances. They run with another
 * vmctx: our caller relies on finding its own again, and this function is the one to restore it. Exceptions pass this
 * frame as if it were gone. A chain of tail calls that alternates between instances does use stack.
 */
function callAndReturn(w: Walk, type: FuncType, op: Op, code: Value, vmctx: Value, imm: number): void {
  emitBareCall(w, type, op, code, vmctx, imm);
  w.popAll(type.results);
  emitReturn(w, type.results, w.sp);
}

export function returnCall(w: Walk): void {
  const { ssa, module } = w;
  const index = w.r.u32();
  w.checkIndex('function', index, module.functions.length);
  const type = w.funcType(index);
  checkTailCall(w, type);
  w.popAll(type.params);
  if (ssa.live) {
    settleAndYield(w);
    tailCall(w, type, index);
  }
  w.setUnreachable();
}

function tailCall(w: Walk, type: FuncType, index: number): void {
  if (index < w.module.importedFunctions) callAndReturn(w, type, Op.CallImport, 0, 0, index);
  else w.ssa.terminate(Op.TailCall, 0, valueList(w, type.params.length, w.sp), 0, index);
}

export function returnCallIndirect(w: Walk): void {
  const callee = calleeOfTable(w);
  checkTailCall(w, callee.type);
  emitTailCall(w, callee);
  w.setUnreachable();
}

export function returnCallRef(w: Walk): void {
  const callee = calleeOfRef(w);
  checkTailCall(w, callee.type);
  emitTailCall(w, callee);
  w.setUnreachable();
}

/** A real tail call if the callee turns out to be of this instance. The arguments stand at `vals[sp…]`. */
function emitTailCall(w: Walk, { type, typeIndex, code, vmctx, only }: Callee): void {
  const { ssa } = w;
  if (!ssa.live) return;
  settleAndYield(w);
  const { func } = ssa;
  if (only >= 0) {
    tailCall(w, type, only);
    return;
  }
  if (vmctx === 0) {
    ssa.terminate(Op.TailCallIndirect, code, valueList(w, type.params.length, w.sp), 0, typeIndex);
    return;
  }
  const own = ssa.emit(Op.VmAddr, Type.I64, 0, 0, 0, 0, 0);
  const same = ssa.emit(Op.Eq, Type.I32, vmctx, own, 0, 0, 0);
  const here = func.newBlock();
  const elsewhere = func.newBlock();
  const LIKELY = 1;
  ssa.terminate(Op.BrIf, same, func.newEdge(here), func.newEdge(elsewhere), LIKELY);
  ssa.enter(here);
  ssa.terminate(Op.TailCallIndirect, code, valueList(w, type.params.length, w.sp), 0, typeIndex);
  ssa.enter(elsewhere);
  callAndReturn(w, type, Op.CallIndirect, code, vmctx, typeIndex);
}

// ---- parametric operators
export function select(w: Walk): void {
  const cond = w.pop(ValType.I32);
  const b = w.popAny();
  const typeB = w.popped;
  const a = w.popAny();
  const typeA = w.popped;
  if (isRef(typeA) || isRef(typeB)) w.fail('type mismatch: select without a type must have numeric operands');
  if (typeA !== typeB && typeA !== UNKNOWN && typeB !== UNKNOWN) {
    w.fail(`type mismatch: select of ${typeName(typeA)} and ${typeName(typeB)}`);
  }
  pushSelect(w, typeA || typeB, cond, a, b);
}

export function selectTyped(w: Walk): void {
  const count = w.r.u32();
  if (count !== 1) w.fail('invalid result arity: select must have one type');
  const type = readValType(w.r, w.module.types.length);
  const cond = w.pop(ValType.I32);
  const b = w.pop(type);
  const a = w.pop(type);
  pushSelect(w, type, cond, a, b);
}

function pushSelect(w: Walk, type: ValType | 0, cond: Value, a: Value, b: Value): void {
  const { ssa } = w;
  w.push(type, ssa.live ? ssa.emit(Op.Select, irType(type as ValType), cond, a, b, 0, 0) : 0);
}
