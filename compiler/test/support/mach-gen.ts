/**
 * Random machine functions for tests of register allocation, and an interpreter that runs them over vregs or over
 * allocated locations.
 */
import {
  EDIT,
  EditKind,
  FLOAT_BASE,
  fixed,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  MachFunc,
  MFlag,
  MROW,
  Opd,
  opdArg,
  RegClass,
  type RegSet,
  reuse,
  SLOT_BASE,
} from '../../backend/mach.ts';

export type Random = () => number;

/** xorshift; integers 0 .. 2^32 - 1. */
export function random(seed: number): Random {
  let s = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return s >>> 0;
  };
}

/** `n` registers of each class, of which the last `callee` integer ones are callee-saved. */
export function regSet(n: number, callee: number): RegSet {
  const list = Array.from({ length: n }, (_, i) => i);
  const mask = (1 << n) - 1;
  return {
    allocatable: [mask, mask],
    calleeSaved: [mask & ~((1 << (n - callee)) - 1), 0],
    order: [list, list.map(r => r + FLOAT_BASE)],
    name: r => (r < FLOAT_BASE ? `r${r}` : `f${r - FLOAT_BASE}`),
  };
}

export interface GenOptions {
  readonly regs: RegSet;
  /** Upper bounds: blocks before critical edges are split, instructions in a block. */
  readonly blocks: number;
  readonly length: number;
  /** Blocks in random layout order (a loop's blocks are then not adjacent). */
  readonly shuffle: boolean;
}

interface Block {
  succ: number[];
  params: number[];
  args: number[][];
  insts: Inst[];
  /** Vregs that may be used at the end of the block. */
  avail: number[];
  depth: number;
  cold: boolean;
  /** Of a split edge: only a jump. */
  bare: boolean;
  /** It ends with a call, whose results arrive in its successors. */
  calls?: boolean;
}
interface Inst {
  flags: number;
  clobber: number;
  operands: [number, number][];
}

export function generate(rand: Random, opts: GenOptions): MachFunc {
  return new Generator(rand, opts).run();
}

class Generator {
  private readonly m = new MachFunc();
  private blocks: Block[] = [];
  private readonly ints: number[];
  private readonly floats: number[];
  private readonly callerSaved: [number, number];

  constructor(
    private readonly rand: Random,
    private readonly opts: GenOptions,
  ) {
    const { regs } = opts;
    this.ints = [...regs.order[0]];
    this.floats = [...regs.order[1]];
    this.callerSaved = [regs.allocatable[0] & ~regs.calleeSaved[0], regs.allocatable[1]];
  }

  private below(n: number): number {
    return this.rand() % n;
  }
  private chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  private pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  run(): MachFunc {
    this.makeCfg();
    const idom = this.dominators();
    this.m.clobberSets.push(this.callerSaved, [this.callerSaved[0] & 0b101, 0]);
    const children: number[][] = this.blocks.map(() => []);
    for (let b = 1; b < this.blocks.length; b++) children[idom[b]].push(b);
    const stack = [0];
    while (stack.length > 0) {
      const b = stack.pop()!;
      this.fillBlock(b, b === 0 ? [] : this.blocks[idom[b]].avail);
      stack.push(...children[b]);
    }
    for (const block of this.blocks) {
      block.args = block.succ.map(t =>
        this.blocks[t].params.map(p => this.ofClass(block.avail, this.m.vregClass[p])),
      );
    }
    this.write();
    return this.m;
  }

  private makeCfg(): void {
    const n = 1 + this.below(this.opts.blocks);
    const succ: number[][] = Array.from({ length: n }, () => []);
    for (let b = 1; b < n; b++) {
      let from = this.chance(70) ? b - 1 : this.below(b);
      while (succ[from].length >= 3) from = this.below(b);
      succ[from].push(b);
    }
    for (let k = this.below(n + 2); k > 0 && n > 1; k--) {
      const from = this.below(n);
      if (succ[from].length < 4) succ[from].push(1 + this.below(n - 1));
    }
    const preds = new Array(n).fill(0);
    for (const s of succ) for (const t of s) preds[t]++;
    // Layout order: the order of numbers, each split edge's block behind its source.
    const number: number[] = [];
    const lists: number[][] = [];
    const splits: [number, number, number][] = [];
    for (let b = 0; b < n; b++) {
      number[b] = lists.length;
      lists.push(succ[b]);
      if (succ[b].length < 2) continue;
      for (let k = 0; k < succ[b].length; k++) {
        if (preds[succ[b][k]] < 2) continue;
        splits.push([b, k, lists.length]);
        lists.push([succ[b][k]]);
      }
    }
    let order = lists.map((_, i) => i);
    if (this.opts.shuffle) {
      for (let i = order.length - 1; i > 1; i--) {
        const j = 1 + this.below(i);
        [order[i], order[j]] = [order[j], order[i]];
      }
    }
    const place = new Array(order.length);
    order.forEach((b, i) => {
      place[b] = i;
    });
    const isSplit = new Map(splits.map(([b, k, at]) => [`${b}.${k}`, at]));
    const sourceOf = new Map(number.map((at, b) => [at, b]));
    this.blocks = order.map(at => {
      const b = sourceOf.get(at);
      const targets =
        b === undefined
          ? lists[at].map(t => place[number[t]])
          : succ[b].map((t, k) => place[isSplit.get(`${b}.${k}`) ?? number[t]]);
      return {
        succ: targets,
        params: [],
        args: [],
        insts: [],
        avail: [],
        depth: 0,
        cold: at > 0 && this.chance(15),
        bare: b === undefined && this.chance(70),
      };
    });
    order = [];
    this.blocks.forEach((block, b) => {
      for (const t of block.succ)
        if (t <= b) for (let x = t; x <= b; x++) this.blocks[x].depth = Math.min(4, this.blocks[x].depth + 1);
    });
  }

  private dominators(): number[] {
    const n = this.blocks.length;
    const all = (1n << BigInt(n)) - 1n;
    const dom = this.blocks.map((_, b) => (b === 0 ? 1n : all));
    for (let changed = true; changed; ) {
      changed = false;
      for (let b = 1; b < n; b++) {
        let d = all;
        this.blocks.forEach((p, i) => {
          if (p.succ.includes(b)) d &= dom[i];
        });
        d |= 1n << BigInt(b);
        if (d !== dom[b]) {
          dom[b] = d;
          changed = true;
        }
      }
    }
    // The immediate dominator is the strict dominator that has the most dominators itself.
    const size = dom.map(d => d.toString(2).replaceAll('0', '').length);
    return dom.map((d, b) => {
      let best = 0;
      for (let x = 0; x < n; x++) if (x !== b && (d >> BigInt(x)) & 1n && size[x] > size[best]) best = x;
      return best;
    });
  }

  private ofClass(list: readonly number[], cls: number): number {
    const fit = list.filter(v => this.m.vregClass[v] === cls);
    // Mostly something recent, sometimes something old.
    return this.chance(60) ? fit[fit.length - 1 - this.below(Math.min(4, fit.length))] : this.pick(fit);
  }

  private anyClass(): RegClass {
    return this.chance(60) ? RegClass.Int : this.chance(60) ? RegClass.Float : RegClass.Vec;
  }

  private fillBlock(b: number, inherited: readonly number[]): void {
    const { m } = this;
    const block = this.blocks[b];
    block.avail = [...inherited];
    if (b === 0) this.entry(block);
    else if (!block.bare && this.blocks.some(p => p.succ.includes(b))) {
      for (let k = this.below(4); k > 0; k--) {
        const p = m.newVreg(this.anyClass());
        block.params.push(p);
        block.avail.push(p);
      }
    }
    if (this.blocks.some(p => p.calls && p.succ.includes(b))) this.arrival(block);
    if (!block.bare) for (let k = this.below(this.opts.length + 1); k > 0; k--) this.instruction(block);
    this.terminator(block);
  }

  /** Arguments in registers, and a constant of each class. */
  private entry(block: Block): void {
    const { m } = this;
    const operands: [number, number][] = [];
    for (const r of [this.ints[0], this.ints[1], this.floats[0]]) {
      if (this.chance(30)) continue;
      const v = m.newVreg(r >= FLOAT_BASE ? RegClass.Float : RegClass.Int);
      operands.push([v, fixed(r, Opd.Def)]);
      block.avail.push(v);
    }
    block.insts.push({ flags: MFlag.None, clobber: 0, operands });
    for (const cls of [RegClass.Int, RegClass.Float, RegClass.Vec]) this.constant(block, cls);
  }

  private constant(block: Block, cls: RegClass): void {
    const v = this.m.newVreg(cls);
    block.insts.push({ flags: MFlag.Remat, clobber: 0, operands: [[v, Opd.Def | Opd.Reg]] });
    block.avail.push(v);
  }

  private instruction(block: Block): void {
    const kind = this.below(100);
    if (kind < 10) this.constant(block, this.anyClass());
    else if (kind < 22) this.call(block);
    else if (kind < 30) this.divide(block);
    else if (kind < 36) this.shift(block);
    else if (kind < 43) {
      const cls = this.anyClass();
      const to = this.m.newVreg(cls);
      const from = this.ofClass(block.avail, cls);
      block.insts.push({
        flags: MFlag.Move,
        clobber: 0,
        operands: [
          [from, this.chance(50) ? Opd.Any : Opd.Reg],
          [to, Opd.Def | Opd.Reg],
        ],
      });
      block.avail.push(to);
    } else if (kind < 53) {
      const cls = this.anyClass();
      const d = this.m.newVreg(cls);
      const [a, b] = [this.ofClass(block.avail, cls), this.ofClass(block.avail, cls)];
      block.insts.push({
        flags: MFlag.Commutes,
        clobber: 0,
        operands: [
          [d, reuse(1)],
          [a, Opd.Reg],
          [b, this.chance(70) ? Opd.Any : Opd.Reg],
        ],
      });
      block.avail.push(d);
    } else this.operation(block);
  }

  /** Operands of both classes within what the register set allows: early ones and late ones are counted. */
  private operation(block: Block): void {
    const { m } = this;
    const limit = this.ints.length;
    const early = [0, 0];
    const late = [0, 0];
    const operands: [number, number][] = [];
    const bank = (cls: RegClass) => (cls === RegClass.Int ? 0 : 1);
    const uses = this.below(4);
    for (let k = 0; k < uses; k++) {
      const cls = this.anyClass();
      const v = this.ofClass(block.avail, cls);
      const cross = this.chance(15);
      if (this.chance(25)) operands.push([v, Opd.Any | (cross ? Opd.Cross : 0)]);
      else if (early[bank(cls)] < limit && (!cross || late[bank(cls)] < limit)) {
        operands.push([v, Opd.Reg | (cross ? Opd.Cross : 0)]);
        early[bank(cls)]++;
        if (cross) late[bank(cls)]++;
      }
    }
    const defs: number[] = [];
    const reusable = operands.findIndex(([, f]) => (f & (Opd.ConstraintMask | Opd.Cross)) === Opd.Reg);
    if (reusable >= 0 && this.chance(60)) {
      const cls = m.vregClass[operands[reusable][0]];
      if (late[bank(cls)] < limit) {
        const d = m.newVreg(cls);
        operands.push([d, reuse(reusable)]);
        late[bank(cls)]++;
        defs.push(d);
      }
    }
    for (let k = this.below(3); k > 0; k--) {
      const cls = this.anyClass();
      const at = bank(cls);
      const how = this.below(10);
      if (how === 0) {
        const d = m.newVreg(cls);
        operands.push([d, Opd.Def | Opd.Any]);
        defs.push(d);
      } else if (how < 4) {
        if (early[at] >= limit || late[at] >= limit) continue;
        const d = m.newVreg(cls);
        operands.push([d, Opd.Def | Opd.Cross]);
        early[at]++;
        late[at]++;
        if (this.chance(30)) defs.push(d);
      } else if (late[at] < limit) {
        const d = m.newVreg(cls);
        operands.push([d, Opd.Def]);
        late[at]++;
        defs.push(d);
      }
    }
    block.insts.push({ flags: MFlag.None, clobber: 0, operands });
    block.avail.push(...defs);
  }

  private call(block: Block): void {
    const { m } = this;
    const operands: [number, number][] = [];
    const usable = this.ints.filter(r => (this.callerSaved[0] >>> r) & 1);
    const count = this.below(Math.min(4, usable.length + 1));
    for (let k = 0; k < count; k++)
      operands.push([this.ofClass(block.avail, RegClass.Int), fixed(usable[k])]);
    for (let k = this.below(3); k > 0; k--)
      operands.push([this.ofClass(block.avail, this.pick([1, 2])), fixed(this.floats[k])]);
    for (let k = this.below(4); k > 0; k--)
      operands.push([this.ofClass(block.avail, this.anyClass()), Opd.Any]);
    if (this.chance(20) && count < this.ints.length)
      operands.push([this.ofClass(block.avail, RegClass.Int), Opd.Reg]);
    const defs: number[] = [];
    for (let k = this.below(3); k > 0; k--) {
      const float = this.chance(30);
      const r = float ? this.floats[k - 1] : usable[k - 1];
      if (r === undefined) continue;
      const d = m.newVreg(float ? this.pick([RegClass.Float, RegClass.Vec]) : RegClass.Int);
      operands.push([d, fixed(r, Opd.Def)]);
      defs.push(d);
    }
    block.insts.push({ flags: MFlag.Call, clobber: this.chance(85) ? 1 : 2, operands });
    for (const d of defs) if (this.chance(80)) block.avail.push(d);
  }

  /** One fixed register in and out, a second fixed result, a further input that must survive both. */
  private divide(block: Block): void {
    const { m } = this;
    const [a, b] = this.ints;
    const q = m.newVreg(RegClass.Int);
    const r = m.newVreg(RegClass.Int);
    const x = this.ofClass(block.avail, RegClass.Int);
    const y = this.chance(20) ? x : this.ofClass(block.avail, RegClass.Int);
    block.insts.push({
      flags: MFlag.None,
      clobber: 0,
      operands: [
        [x, fixed(a)],
        [y, (this.chance(70) ? Opd.Reg : Opd.Any) | Opd.Cross],
        [q, fixed(a, Opd.Def)],
        [r, fixed(b, Opd.Def | Opd.Cross)],
      ],
    });
    if (this.chance(80)) block.avail.push(q);
    if (this.chance(30)) block.avail.push(r);
  }

  private shift(block: Block): void {
    const { m } = this;
    const d = m.newVreg(RegClass.Int);
    const x = this.ofClass(block.avail, RegClass.Int);
    const y = this.chance(20) ? x : this.ofClass(block.avail, RegClass.Int);
    block.insts.push({
      flags: MFlag.None,
      clobber: 0,
      operands: [
        [x, Opd.Reg],
        [y, fixed(this.ints[1])],
        [d, reuse(0)],
      ],
    });
    block.avail.push(d);
  }

  /** What the call before has left in registers. */
  private arrival(block: Block): void {
    const { m } = this;
    const operands: [number, number][] = [];
    const usable = [
      ...this.ints.filter(r => (this.callerSaved[0] >>> r) & 1),
      ...this.floats.filter(r => (this.callerSaved[1] >>> (r & 31)) & 1),
    ];
    for (const r of usable) {
      if (!this.chance(30)) continue;
      const v = m.newVreg(r >= FLOAT_BASE ? this.pick([RegClass.Float, RegClass.Vec]) : RegClass.Int);
      operands.push([v, fixed(r, Opd.Def)]);
      if (this.chance(80)) block.avail.push(v);
    }
    block.insts.push({ flags: MFlag.Arrives, clobber: 0, operands });
  }

  private terminator(block: Block): void {
    const operands: [number, number][] = [];
    if (block.succ.length > 1 && this.chance(40)) {
      const usable = this.ints.filter(r => (this.callerSaved[0] >>> r) & 1);
      for (let k = this.below(Math.min(4, usable.length + 1)); k > 0; k--)
        operands.push([this.ofClass(block.avail, RegClass.Int), fixed(usable[k - 1])]);
      if (this.chance(30)) operands.push([this.ofClass(block.avail, this.anyClass()), Opd.Any]);
      block.insts.push({ flags: MFlag.Branch | MFlag.Call, clobber: 1, operands });
      block.calls = true;
      return;
    }
    if (block.succ.length === 0) {
      const usable = this.ints.filter(r => (this.callerSaved[0] >>> r) & 1);
      for (let k = this.below(Math.min(3, usable.length + 1)); k > 0; k--)
        operands.push([this.ofClass(block.avail, RegClass.Int), fixed(usable[k - 1])]);
      block.insts.push({ flags: MFlag.Ret, clobber: 0, operands });
      return;
    }
    // Half of the branches read flags only.
    if (block.succ.length > 1 && this.chance(50)) {
      operands.push([this.ofClass(block.avail, RegClass.Int), Opd.Reg]);
      if (this.chance(30)) operands.push([this.ofClass(block.avail, RegClass.Int), Opd.Any]);
    }
    block.insts.push({ flags: MFlag.Branch, clobber: 0, operands });
  }

  private write(): void {
    const { m, blocks } = this;
    m.blockCount = blocks.length;
    m.blockStart = new Int32Array(blocks.length + 1);
    blocks.forEach((block, b) => {
      m.blockStart[b] = m.count;
      for (const inst of block.insts) {
        m.inst(0, inst.flags | (inst.clobber << 16));
        for (const [v, f] of inst.operands) m.opd(v, f);
      }
      m.succStart.push(m.edgeTarget.length);
      block.succ.forEach((t, k) => {
        m.edgeTarget.push(t);
        m.edgeArgStart.push(m.edgeArgs.length);
        m.edgeArgs.push(...block.args[k]);
      });
      m.blockParams.push(block.params);
      m.loopDepth.push(block.depth);
      m.cold.push(block.cold);
    });
    m.blockStart[blocks.length] = m.count;
    m.succStart.push(m.edgeTarget.length);
    m.edgeArgStart.push(m.edgeArgs.length);
  }
}

export function show(m: MachFunc, regs: RegSet): string {
  const loc = (l: number) => (l >= SLOT_BASE ? `[${l - SLOT_BASE}]` : l < 0 ? '-' : regs.name(l));
  const constraint = ['reg', 'any', 'fixed', 'reuse'];
  const out: string[] = [];
  const edit = (e: number) => {
    const [, k, from, to] = m.edits.subarray(e * EDIT, e * EDIT + EDIT);
    const kind = k & 0xff;
    out.push(
      `        ${loc(to)} ${kind === EditKind.Swap ? '<->' : '<-'} ${kind === EditKind.Remat ? `remat ${from}` : loc(from)}`,
    );
  };
  let e = 0;
  for (let b = 0; b < m.blockCount; b++) {
    out.push(
      `block ${b}(${m.blockParams[b].map(v => `v${v}`)}) depth ${m.loopDepth[b]}${m.cold[b] ? ' cold' : ''}`,
    );
    for (let i = m.blockStart[b]; i < m.blockStart[b + 1]; i++) {
      for (; e < m.editCount && m.edits[e * EDIT] <= 2 * i; e++) edit(e);
      const first = m.insts[i * MROW + M_OPD];
      const list = [];
      for (let o = first; o < first + m.insts[i * MROW + M_OPDS]; o++) {
        const f = m.operands[o * 2 + 1];
        const c = (f >> 2) & 7;
        list.push(
          `${f & Opd.Def ? 'def ' : ''}v${m.operands[o * 2]}:${constraint[c]}${c === 2 ? ` ${regs.name(opdArg(f))}` : c === 3 ? opdArg(f) : ''}${f & Opd.Cross ? ' cross' : ''}=${loc(m.allocs[o])}`,
        );
      }
      const flags = m.insts[i * MROW + M_FLAGS];
      out.push(
        `  ${i}: ${list.join(', ')}${flags & 0xff ? ` flags ${flags & 0xff}` : ''}${flags >> 16 ? ` clobber ${flags >> 16}` : ''}`,
      );
      for (; e < m.editCount && m.edits[e * EDIT] <= 2 * i + 1; e++) edit(e);
    }
    for (let s = m.succStart[b]; s < m.succStart[b + 1]; s++) {
      out.push(
        `    -> ${m.edgeTarget[s]}(${m.edgeArgs.slice(m.edgeArgStart[s], m.edgeArgStart[s + 1]).map(v => `v${v}`)})`,
      );
    }
  }
  return out.join('\n');
}

// ---- execution

function mix(a: number, b: number): number {
  let h = Math.imul(a ^ (b + 0x9e3779b9 + (a << 6) + (a >>> 2)), 0x85ebca6b);
  h ^= h >>> 13;
  return h | 0;
}

/**
 * Places of values: two halves each, the second only meaningful for vectors. Registers, then slots (a vector in a slot
 * takes two).
 */
class Places {
  readonly low: Int32Array;
  readonly high: Int32Array;

  constructor(count: number) {
    this.low = new Int32Array(count).fill(0x0bad);
    this.high = new Int32Array(count).fill(0x0bad);
  }
  read(loc: number, cls: number): number {
    if (cls !== RegClass.Vec) return this.low[loc];
    return mix(this.low[loc], loc >= SLOT_BASE ? this.low[loc + 1] : this.high[loc]);
  }
  copy(from: number, to: number, cls: number): void {
    const low = this.low[from];
    const high = from >= SLOT_BASE ? (cls === RegClass.Vec ? this.low[from + 1] : 0) : this.high[from];
    this.put(to, low, high, cls);
  }
  put(loc: number, low: number, high: number, cls: number): void {
    this.low[loc] = low;
    if (loc < SLOT_BASE) this.high[loc] = cls === RegClass.Vec ? high : 0x0bad;
    else if (cls === RegClass.Vec) this.low[loc + 1] = high;
  }
}

/** The inputs of a row that commutes count in any order. */
function combine(m: MachFunc, i: number, seen: number, input: number): number {
  return m.insts[i * MROW + M_FLAGS] & MFlag.Commutes ? (seen + mix(input, i)) | 0 : mix(seen, input);
}

function rowOperands(m: MachFunc, i: number): [number, number] {
  const first = m.insts[i * MROW + M_OPD];
  return [first, first + m.insts[i * MROW + M_OPDS]];
}

/** Hash of everything that the first `steps` instructions read, executed over vregs: what the function means. */
export function runVirtual(m: MachFunc, steps: number): number {
  const low = new Int32Array(m.vregCount);
  const high = new Int32Array(m.vregCount);
  const read = (v: number) => (m.vregClass[v] === RegClass.Vec ? mix(low[v], high[v]) : low[v]);
  let trace = 0;
  let b = 0;
  for (;;) {
    let seen = 0;
    for (let i = m.blockStart[b]; i < m.blockStart[b + 1]; i++) {
      if (steps-- === 0) return trace;
      const [first, end] = rowOperands(m, i);
      seen = i;
      for (let o = first; o < end; o++)
        if (!(m.operands[o * 2 + 1] & Opd.Def)) seen = combine(m, i, seen, read(m.operands[o * 2]));
      trace = mix(trace, seen);
      const input = resultSeed(m, i, seen);
      for (let o = first; o < end; o++) {
        if (!(m.operands[o * 2 + 1] & Opd.Def)) continue;
        low[m.operands[o * 2]] = mix(input(o), o - first);
        high[m.operands[o * 2]] = mix(input(o), ~(o - first));
      }
    }
    const e = chooseEdge(m, b, seen);
    if (e < 0) return trace;
    const args = m.edgeArgs.slice(m.edgeArgStart[e], m.edgeArgStart[e + 1]);
    const lows = args.map(v => low[v]);
    const highs = args.map(v => high[v]);
    b = m.edgeTarget[e];
    m.blockParams[b].forEach((p, k) => {
      low[p] = lows[k];
      high[p] = highs[k];
    });
  }
}

/**
 * A move's result is its input; a constant and an early result (Cross) depend on the row alone; other results on all
 * inputs.
 */
function resultSeed(m: MachFunc, i: number, seen: number): (o: number) => number {
  const constant = (m.insts[i * MROW + M_FLAGS] & MFlag.Remat) !== 0;
  return o => (constant || m.operands[o * 2 + 1] & Opd.Cross ? i : seen);
}

function chooseEdge(m: MachFunc, b: number, seen: number): number {
  const n = m.succStart[b + 1] - m.succStart[b];
  return n === 0 ? -1 : m.succStart[b] + ((seen >>> 3) % n);
}

/** The same over allocated locations and edits. */
export function runAllocated(m: MachFunc, steps: number): number {
  const at = new Places(SLOT_BASE + m.spillSlots + 1);
  const editAt = new Map<number, number>();
  for (let e = m.editCount - 1; e >= 0; e--) editAt.set(m.edits[e * EDIT], e);
  const edits = (position: number) => {
    let e = editAt.get(position) ?? m.editCount;
    for (; e < m.editCount && m.edits[e * EDIT] === position; e++) {
      const kind = m.edits[e * EDIT + 1] & 0xff;
      const cls = m.edits[e * EDIT + 1] >> 8;
      const from = m.edits[e * EDIT + 2];
      const to = m.edits[e * EDIT + 3];
      if (kind === EditKind.Remat) at.put(to, mix(from, 0), mix(from, ~0), cls);
      else if (kind === EditKind.Move) at.copy(from, to, cls);
      else {
        const low = at.low[to];
        const high = at.high[to];
        at.copy(from, to, cls);
        at.put(from, low, high, cls);
      }
    }
  };
  let trace = 0;
  let b = 0;
  for (;;) {
    let seen = 0;
    arrive(m, m.blockStart[b], at);
    for (let i = m.blockStart[b]; i < m.blockStart[b + 1]; i++) {
      edits(2 * i);
      if (steps-- === 0) return trace;
      seen = execute(m, i, at);
      trace = mix(trace, seen);
      edits(2 * i + 1);
    }
    const e = chooseEdge(m, b, seen);
    if (e < 0) return trace;
    b = m.edgeTarget[e];
  }
}

/** What arrives in registers is there before any edit. */
function arrive(m: MachFunc, i: number, at: Places): void {
  if (!(m.insts[i * MROW + M_FLAGS] & MFlag.Arrives)) return;
  const [first, end] = rowOperands(m, i);
  for (let o = first; o < end; o++)
    at.put(
      opdArg(m.operands[o * 2 + 1]),
      mix(i, o - first),
      mix(i, ~(o - first)),
      m.vregClass[m.operands[o * 2]],
    );
}

function execute(m: MachFunc, i: number, at: Places): number {
  const [first, end] = rowOperands(m, i);
  if (m.insts[i * MROW + M_FLAGS] & MFlag.Arrives) return i;
  const { operands, allocs } = m;
  const put = (o: number, seed: number) =>
    at.put(allocs[o], mix(seed, o - first), mix(seed, ~(o - first)), m.vregClass[operands[o * 2]]);
  const values: number[] = [];
  let reused = -1;
  // Early results are written, and the reused input is overwritten, before the other inputs are read.
  for (let o = first; o < end; o++) {
    const f = operands[o * 2 + 1];
    if ((f & Opd.ConstraintMask) === Opd.Reuse) reused = first + opdArg(f);
  }
  const value = (o: number) => at.read(allocs[o], m.vregClass[operands[o * 2]]);
  for (let o = first; o < end; o++) {
    const f = operands[o * 2 + 1];
    if (f & Opd.Def && f & Opd.Cross) put(o, i);
    if (!(f & Opd.Def) && reused >= 0 && operands[o * 2] === operands[reused * 2]) values[o] = value(o);
  }
  if (reused >= 0) at.put(allocs[reused], 0x0bad, 0x0bad, m.vregClass[operands[reused * 2]]);
  for (let o = first; o < end; o++)
    if (!(operands[o * 2 + 1] & Opd.Def) && values[o] === undefined) values[o] = value(o);
  let seen = i;
  for (let o = first; o < end; o++)
    if (!(operands[o * 2 + 1] & Opd.Def)) seen = combine(m, i, seen, values[o]);
  const clobbers = m.clobberSets[(m.insts[i * MROW + M_FLAGS] >>> 16) & 0xff];
  for (let r = 0; r < SLOT_BASE; r++) {
    if ((clobbers[r >= FLOAT_BASE ? 1 : 0] >>> (r & 31)) & 1 && !isEarlyResult(m, first, end, r))
      at.put(r, 0x0bad, 0x0bad, RegClass.Vec);
  }
  const input = resultSeed(m, i, seen);
  for (let o = first; o < end; o++)
    if (operands[o * 2 + 1] & Opd.Def && !(operands[o * 2 + 1] & Opd.Cross)) put(o, input(o));
  // Inputs that cross must still be there.
  for (let o = first; o < end; o++) {
    if ((operands[o * 2 + 1] & (Opd.Def | Opd.Cross)) === Opd.Cross && value(o) !== values[o]) return ~seen;
  }
  return seen;
}

function isEarlyResult(m: MachFunc, first: number, end: number, r: number): boolean {
  for (let o = first; o < end; o++)
    if ((m.operands[o * 2 + 1] & (Opd.Def | Opd.Cross)) === (Opd.Def | Opd.Cross) && m.allocs[o] === r)
      return true;
  return false;
}
