/**
 * IR to machine rows: instruction selection (lower-base.ts explains the method and the zero-extension invariant).
 *
 * Blocks are taken from the last to the first of the layout, and each from its last instruction to its first, so that
 * when an instruction is looked at, all that uses it has been selected, except for back edges, whose arguments are
 * asked for when their source is selected, which is dominated by the definitions. The rows come out in reverse and are
 * turned round at the end.
 */

import type { CpuFeature } from '../../abi/artifact.ts';
import type { VmctxLayout } from '../../abi/vmctx.ts';
import { bug } from '../../diagnostics.ts';
import type { Cfg } from '../../ir/cfg.ts';
import type { Edge, Func, Value } from '../../ir/func.ts';
import { F_A, ROW } from '../../ir/func.ts';
import { OP_FLAGS, Op, OpFlag } from '../../ir/ops.ts';
import { sized } from '../../ir/scratch.ts';
import type { Module } from '../../wasm/module.ts';
import { type MachFunc, MFlag, MROW, RegClass } from '../mach.ts';
import { Unit, X, xop } from './insts.ts';
import { classOf, Selection, trapFlags } from './lower-base.ts';
import { BlockPlan } from './lower-blocks.ts';
import { Calls } from './lower-call.ts';
import { selectCondition, selectSelect, selectSetcc, selectTrapIf } from './lower-cond.ts';
import { selectDiv } from './lower-div.ts';
import {
  selectBitcast,
  selectFloatArith,
  selectFloatUnary,
  selectMinMax,
  selectSignBits,
  selectToFloat,
  selectTrunc,
} from './lower-float.ts';
import {
  selectAdd,
  selectCount,
  selectExtend,
  selectExtendU,
  selectLogic,
  selectMul,
  selectReverse,
  selectShift,
  selectSub,
  selectWrap,
} from './lower-int.ts';
import {
  isTruth,
  selectBitmask,
  selectExtract,
  selectReplace,
  selectSplat,
  selectZext,
} from './lower-lanes.ts';
import { selectLoad, selectStore } from './lower-mem.ts';
import { selectShuffle } from './lower-shuffle.ts';
import {
  selectVectorBinary,
  selectVectorShift,
  selectVectorTernary,
  selectVectorUnary,
} from './lower-simd.ts';
import { selectCarry, selectMulHigh } from './lower-wide.ts';

/** Switches of at most this many cases are compared one by one. */
const CHAIN_CASES = 3;

/** What selection must know of the module. */
export interface X64Context {
  readonly module: Module;
  readonly layout: VmctxLayout;
  readonly features: ReadonlySet<CpuFeature>;
}

export class Lowering {
  private s: Selection;
  private calls: Calls;
  private plan = new BlockPlan();
  private unit = new Unit();
  /** Number of rows when a machine block was begun, by layout position. */
  private blockEnd = new Int32Array(64);
  /**
   * Arguments of all edges, in the order in which edges were looked at; where those of a successor or of a split edge
   * start.
   */
  private edgeVregs: number[] = [];
  private succVregs = new Int32Array(64);
  private splitVregs = new Int32Array(16);
  private swap = new Int32Array(MROW);
  /** The call of the current block that ends it. */
  private invoked: Value = 0;

  constructor(context: X64Context) {
    const { module, features } = context;
    const primary = module.memories.length > module.importedMemories ? module.importedMemories : -1;
    const avx512vl = ['avx', 'avx512f', 'avx512vl'].every(f => features.has(f as CpuFeature));
    this.s = new Selection(
      {
        lzcnt: features.has('lzcnt'),
        bmi1: features.has('bmi1'),
        bmi2: features.has('bmi2'),
        popcnt: features.has('popcnt'),
        avx: features.has('avx'),
        avx2: features.has('avx2'),
        fma: features.has('fma'),
        sse42: features.has('sse4.2'),
        avx512vl,
        avx512dq: avx512vl && features.has('avx512dq'),
      },
      context.layout,
      module.memories.length,
      primary,
    );
    this.calls = new Calls(this.s, module);
  }

  /**
   * Fill `m` (reset here) with the code of a function; `cfg` must be computed. The emitter wants the Unit returned,
   * which is valid until the next call.
   */
  lower(func: Func, cfg: Cfg, m: MachFunc): Unit {
    const { s, plan, unit } = this;
    m.reset();
    unit.reset();
    s.func = func;
    s.cfg = cfg;
    s.m = m;
    s.unit = unit;
    s.rodata = unit.rodata;
    if (cfg.predCount(0) !== 0) bug('the entry block has predecessors');
    if (s.uses.length < func.count) {
      const n = func.count * 2;
      s.uses = new Int32Array(n);
      s.vreg = new Int32Array(n);
      s.vregZ = new Int32Array(n);
      s.effectsBefore = new Int32Array(n);
      s.writesBefore = new Int32Array(n);
      s.folded = new Uint8Array(n);
    }
    s.uses.fill(0, 0, func.count);
    s.vreg.fill(-1, 0, func.count);
    s.vregZ.fill(-1, 0, func.count);
    s.folded.fill(0, 0, func.count);
    for (const size of func.slots) unit.slotBytes += (size + 15) & ~15;

    plan.compute(func, cfg);
    plan.countUses(func, cfg, s.uses);
    this.calls.start();

    this.blockEnd = sized(this.blockEnd, plan.count + 1);
    this.succVregs = sized(this.succVregs, plan.succStart[cfg.orderCount]!);
    this.splitVregs = sized(this.splitVregs, plan.splitCount);
    for (let k = plan.count - 1; k >= 0; k--) {
      this.blockEnd[k] = m.count;
      const b = plan.layout[k]!;
      if (b >= 0) this.block(b);
      else this.splitBlock(-1 - b);
    }
    this.turnRound(plan.count);
    this.addBlocks();
    return unit;
  }

  private splitBlock(split: number): void {
    const { s, plan } = this;
    const from = plan.splitFrom[split]!;
    s.block = from;
    s.loop = s.cfg.loopOf[from]!;
    s.root = s.func.terminator(from);
    const start = s.m.count;
    this.splitVregs[split] = this.askEdge(plan.splitEdge[split]!);
    s.row(xop(X.Jmp), MFlag.Branch);
    this.turnGroup(start);
    if (s.opOf(s.root) === Op.Invoke) this.arrive(s.root, plan.splitEdge[split]!);
  }

  /** What an invoked call leaves in registers, at the start of the block of one of its edges. */
  private arrive(invoke: Value, edge: Edge): void {
    const { s } = this;
    const start = s.m.count;
    const call = this.callOf(invoke);
    if (edge === s.func.b(invoke)) this.calls.returned(call);
    else this.calls.caught(call);
    this.turnGroup(start);
  }

  private callOf(invoke: Value): Value {
    const { s } = this;
    let v = s.func.prev[invoke]!;
    while (s.opOf(v) === Op.Result || s.opOf(v) === Op.Caught) v = s.func.prev[v]!;
    return v;
  }

  /** Give the arguments of an edge registers; constants are made here. Returns their place in `edgeVregs`. */
  private askEdge(edge: Edge): number {
    const { s } = this;
    const { func } = s;
    const target = func.edgeTarget(edge);
    const start = this.edgeVregs.length;
    const n = func.edgeArgCount(edge);
    for (let i = 0; i < n; i++) {
      if (s.uses[func.param(target, i)] !== 0) this.edgeVregs.push(s.edgeVal(func.edgeArg(edge, i)));
    }
    return start;
  }

  private block(b: number): void {
    const { s } = this;
    const { func, m } = s;
    s.block = b;
    s.loop = s.cfg.loopOf[b]!;
    this.invoked = 0;
    this.numberEffects(b);
    for (let v = func.last[b]!; v !== 0; v = func.prev[v]!) {
      s.root = v;
      const start = m.count;
      this.select(v);
      this.turnGroup(start);
    }
    s.root = func.first[b]!;
    const start = m.count;
    if (b === 0) this.calls.arguments();
    s.loadMemoryBases();
    this.turnGroup(start);
  }

  private numberEffects(b: number): void {
    const { func, effectsBefore, writesBefore } = this.s;
    const { rows, next } = func;
    let effects = 0;
    let writes = 0;
    for (let v = func.first[b]!; v !== 0; v = next[v]!) {
      effectsBefore[v] = effects;
      writesBefore[v] = writes;
      const at = v * ROW;
      const op = rows[at]! & 0xffff;
      const flags = OP_FLAGS[op]!;
      if ((flags & OpFlag.Write) !== 0) {
        writes++;
        effects++;
      } else if ((flags & OpFlag.Trap) !== 0 || (op === Op.RawLoad && this.s.accessTrap(v) !== 0)) {
        effects++;
      }
    }
  }

  /** Rows of one group have been appended in natural order. */
  private turnGroup(start: number): void {
    const end = this.s.m.count - 1;
    if (start < end) this.reverse(start, end);
  }

  private reverse(from: number, to: number): void {
    const { insts } = this.s.m;
    const { swap } = this;
    while (from < to) {
      const a = from * MROW;
      const b = to * MROW;
      for (let k = 0; k < MROW; k++) swap[k] = insts[a + k]!;
      insts.copyWithin(a, b, b + MROW);
      insts.set(swap, b);
      from++;
      to--;
    }
  }

  private turnRound(blocks: number): void {
    const { m } = this.s;
    this.reverse(0, m.count - 1);
    m.blockCount = blocks;
    if (m.blockStart.length <= blocks) m.blockStart = new Int32Array(blocks * 2 + 1);
    // A block that began behind `blockEnd` rows of those after it.
    for (let k = 0; k < blocks; k++) m.blockStart[k + 1] = m.count - this.blockEnd[k]!;
    m.blockStart[0] = 0;
  }

  /** Edges, parameters, depths. */
  private addBlocks(): void {
    const { s, plan } = this;
    const { func, cfg, m } = s;
    for (let k = 0; k < plan.count; k++) {
      const b = plan.layout[k]!;
      m.succStart.push(m.edgeTarget.length);
      if (b < 0) {
        const split = -1 - b;
        const edge = plan.splitEdge[split]!;
        const from = plan.splitFrom[split]!;
        const to = func.edgeTarget(edge);
        this.addEdge(plan.position[to]!, edge, this.splitVregs[split]!);
        m.blockParams.push([]);
        m.loopDepth.push(Math.min(cfg.depth(from), cfg.depth(to)));
        m.cold.push(plan.cold[from] !== 0 || plan.cold[to] !== 0);
        continue;
      }
      const i = cfg.orderIndex[b]!;
      for (let e = plan.succStart[i]!; e < plan.succStart[i + 1]!; e++) {
        const edge = plan.succEdge[e]!;
        const split = plan.succSplit[e]!;
        if (split >= 0) this.addEdge(plan.splitPosition[split]!, -1, 0);
        else this.addEdge(plan.position[func.edgeTarget(edge)]!, edge, this.succVregs[e]!);
      }
      const params: number[] = [];
      const n = b === 0 ? 0 : func.paramCount(b);
      for (let p = 0; p < n; p++) {
        const v = func.param(b, p);
        if (s.uses[v] === 0) continue;
        // A use may have come to nothing: the parameter is still one of the edges' arguments.
        if (s.vreg[v]! < 0) s.vreg[v] = m.newVreg(classOf(func.type(v)));
        params.push(s.vreg[v]!);
      }
      m.blockParams.push(params);
      m.loopDepth.push(cfg.depth(b));
      m.cold.push(plan.cold[b] !== 0);
    }
    m.succStart.push(m.edgeTarget.length);
    m.edgeArgStart.push(m.edgeArgs.length);
    this.edgeVregs.length = 0;
  }

  /** `edge` -1: to a split block, without arguments. */
  private addEdge(target: number, edge: Edge, vregs: number): void {
    const { s } = this;
    const { func, m } = s;
    m.edgeTarget.push(target);
    m.edgeArgStart.push(m.edgeArgs.length);
    if (edge < 0) return;
    const block = func.edgeTarget(edge);
    const n = func.edgeArgCount(edge);
    for (let i = 0; i < n; i++) {
      if (s.uses[func.param(block, i)] !== 0) m.edgeArgs.push(this.edgeVregs[vregs++]!);
    }
  }

  /** Ask for the arguments of those edges of the current block that have no block of their own. */
  private askEdges(b: number): void {
    const { plan, s } = this;
    const i = s.cfg.orderIndex[b]!;
    for (let e = plan.succStart[i]!; e < plan.succStart[i + 1]!; e++) {
      if (plan.succSplit[e]! < 0) this.succVregs[e] = this.askEdge(plan.succEdge[e]!);
    }
  }

  private select(v: Value): void {
    const { s } = this;
    const op = s.opOf(v);
    // Values that nobody asked for, unless there is an effect: those are looked at below.
    if (s.vreg[v]! < 0 && (OP_FLAGS[op]! & EFFECTS) === 0 && op !== Op.Wrap) return;
    switch (op) {
      case Op.Nop:
      case Op.IConst:
      case Op.FConst:
      case Op.VConst:
      case Op.Param:
      case Op.Result:
      case Op.Caught:
      case Op.VmAddr:
      case Op.SlotAddr:
      case Op.ImageAddr:
        return;
      case Op.Add:
        selectAdd(s, v);
        return;
      case Op.Sub:
        selectSub(s, v);
        return;
      case Op.Mul:
        selectMul(s, v);
        return;
      case Op.DivS:
      case Op.DivU:
      case Op.RemS:
      case Op.RemU:
        selectDiv(s, v);
        return;
      case Op.And:
      case Op.Or:
      case Op.Xor:
        selectLogic(s, v);
        return;
      case Op.Shl:
      case Op.ShrS:
      case Op.ShrU:
      case Op.Rotl:
      case Op.Rotr:
        selectShift(s, v);
        return;
      case Op.Clz:
      case Op.Ctz:
      case Op.Popcnt:
        selectCount(s, v);
        return;
      case Op.Bswap:
        selectReverse(s, v);
        return;
      case Op.Ext8S:
      case Op.Ext16S:
      case Op.Ext32S:
      case Op.ExtendS:
        selectExtend(s, v);
        return;
      case Op.Eq:
      case Op.Ne:
      case Op.LtS:
      case Op.LtU:
      case Op.GtS:
      case Op.GtU:
      case Op.LeS:
      case Op.LeU:
      case Op.GeS:
      case Op.GeU:
      case Op.FEq:
      case Op.FNe:
      case Op.FLt:
      case Op.FGt:
      case Op.FLe:
      case Op.FGe:
        selectSetcc(s, v);
        return;
      case Op.FAdd:
      case Op.FSub:
      case Op.FMul:
      case Op.FDiv:
        selectFloatArith(s, v);
        return;
      case Op.FMin:
      case Op.FMax:
        selectMinMax(s, v);
        return;
      case Op.FCopysign:
      case Op.FAbs:
      case Op.FNeg:
        selectSignBits(s, v);
        return;
      case Op.FSqrt:
      case Op.FCeil:
      case Op.FFloor:
      case Op.FTrunc:
      case Op.FNearest:
        selectFloatUnary(s, v);
        return;
      case Op.Wrap:
        selectWrap(s, v);
        return;
      case Op.ExtendU:
        selectExtendU(s, v);
        return;
      case Op.TruncS:
      case Op.TruncU:
      case Op.TruncSatS:
      case Op.TruncSatU:
        selectTrunc(s, v);
        return;
      case Op.ConvertS:
      case Op.ConvertU:
      case Op.Promote:
      case Op.Demote:
        selectToFloat(s, v);
        return;
      case Op.Bitcast:
        selectBitcast(s, v);
        return;
      case Op.Select:
        selectSelect(s, v);
        return;
      case Op.MulHighS:
      case Op.MulHighU:
        selectMulHigh(s, v);
        return;
      case Op.AddCarry:
      case Op.SubBorrow:
        selectCarry(s, v);
        return;
      case Op.Load:
      case Op.RawLoad:
      case Op.VmLoad:
        selectLoad(s, v);
        return;
      case Op.Store:
      case Op.RawStore:
      case Op.VmStore:
        selectStore(s, v);
        return;
      case Op.TrapZ:
      case Op.TrapNz:
        selectTrapIf(s, v);
        return;
      case Op.SeqPoint:
        s.row(xop(X.Point), 0, s.func.imm(v));
        return;
      case Op.Call:
      case Op.CallImport:
      case Op.CallIndirect:
      case Op.CallBuiltin:
      case Op.CallHost:
        this.calls.call(v, v === this.invoked);
        return;
      case Op.Invoke:
        // The call is the branch; each of its edges has a block of its own.
        this.invoked = this.callOf(v);
        return;
      case Op.Jump:
        this.askEdges(s.block);
        s.row(xop(X.Jmp), MFlag.Branch);
        return;
      case Op.BrIf:
        this.brIf(v);
        return;
      case Op.BrTable:
        this.brTable(v);
        return;
      case Op.Return:
        this.calls.ret(v);
        return;
      case Op.TailCall:
      case Op.TailCallIndirect:
        this.calls.tailCall(v);
        return;
      case Op.Trap:
        s.row(xop(X.Trap), MFlag.Branch | MFlag.Ret | trapFlags(s.imm(v)));
        return;
      case Op.VUnary:
        selectVectorUnary(s, v);
        return;
      case Op.VBinary:
        selectVectorBinary(s, v);
        return;
      case Op.VTernary:
        selectVectorTernary(s, v);
        return;
      case Op.VShift:
        selectVectorShift(s, v);
        return;
      case Op.VSplat:
        selectSplat(s, v);
        return;
      case Op.VExtract:
        selectExtract(s, v);
        return;
      case Op.VReplace:
        selectReplace(s, v);
        return;
      case Op.VTest:
        if (isTruth(s, v)) selectSetcc(s, v);
        else selectBitmask(s, v);
        return;
      case Op.VShuffle:
        selectShuffle(s, v);
        return;
      case Op.VZext:
        selectZext(s, v);
        return;
      default:
        bug(`no selection for operator ${op}`);
    }
  }

  private brIf(v: Value): void {
    const { s } = this;
    this.askEdges(s.block);
    const cc = selectCondition(s, s.func.rows[v * ROW + F_A]!);
    s.row(xop(X.Jcc, 0, 0, cc), MFlag.Branch);
  }

  private brTable(v: Value): void {
    const { s, plan } = this;
    const i = s.cfg.orderIndex[s.block]!;
    this.askEdges(s.block);
    if (plan.succStart[i + 1]! - plan.succStart[i]! === 1) {
      s.row(xop(X.Jmp), MFlag.Branch);
      return;
    }
    const first = plan.caseStart[i]!;
    const n = plan.caseStart[i + 1]! - first - 1;
    const at = s.unit.tables.length;
    s.unit.tables.push(n);
    for (let k = 0; k <= n; k++) s.unit.tables.push(plan.cases[first + k]!);
    const index = s.func.rows[v * ROW + F_A]!;
    if (n <= CHAIN_CASES) {
      const x = s.val(index);
      s.row(xop(X.Chain), MFlag.Branch, at);
      s.use(x);
      return;
    }
    const x = s.ext(index);
    s.row(xop(X.Table), MFlag.Branch, at);
    // The index is read last when the target is written, so those two may share a register.
    s.def(s.fresh(RegClass.Int));
    s.temp(RegClass.Int);
    s.use(x);
  }
}

/** Rows that are looked at even if nobody asked for their value: they have an effect, or (raw loads) may have one. */
const EFFECTS = OpFlag.Trap | OpFlag.Write | OpFlag.Read | OpFlag.Call | OpFlag.Terminator;
