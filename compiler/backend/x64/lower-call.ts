/** Selection of calls, arguments and returns (regs.ts has the convention, frame.ts the picture). */
import { IMPORT_ENTRY, VMCTX } from '../../abi/vmctx.ts';
import { F_A, F_B, F_C, F_IMM, NONE, ROW, type Value } from '../../ir/func.ts';
import { Op, Type } from '../../ir/ops.ts';
import type { FuncType, Module } from '../../wasm/module.ts';
import { ValType } from '../../wasm/module.ts';
import { fixed, isFloatReg, MFlag, Opd } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { align16, Places } from './frame.ts';
import { ADDR_BASE_MASK, Base, X, xop } from './insts.ts';
import type { Selection } from './lower-base.ts';
import {
  BUILTIN_ARGS,
  CALLER_SAVED,
  CAUGHT_CLAUSE,
  CAUGHT_EXCEPTION,
  FLOAT_ARGS,
  FLOAT_RESULTS,
  INT_ARGS,
  INT_RESULTS,
  RAX,
  RDX,
} from './regs.ts';

function irType(t: ValType): Type {
  return t >= ValType.FuncRef ? Type.Ref : (t as number);
}

function moveIns(type: Type): Ins {
  switch (type) {
    case Type.F32:
      return Ins.MOVSS;
    case Type.F64:
      return Ins.MOVSD;
    case Type.V128:
      return Ins.MOVUPS;
    default:
      return Ins.MOV;
  }
}
function moveSize(type: Type): number {
  return type === Type.V128 ? 16 : type === Type.I32 || type === Type.F32 ? 4 : 8;
}

export class Calls {
  private args = new Places();
  private results = new Places();
  /** vreg and fixed register of each register argument of the call being selected. */
  private argVregs = new Int32Array(16);
  private argRegs = new Int32Array(16);
  private argCount = 0;
  private invoked = false;
  /** Result rows of the call being selected (0: no row), and places. */
  private resultRows: number[] = [];
  private resultPlaces: number[] = [];

  constructor(
    private s: Selection,
    private module: Module,
  ) {}

  /** The set that a call with these result registers clobbers besides them, as an index into the MachFunc's sets. */
  private clobbers(ints: number, floats: number): number {
    const i = CALLER_SAVED[0] & ~ints;
    const f = CALLER_SAVED[1] & ~floats;
    const sets = this.s.m.clobberSets;
    for (let k = 1; k < sets.length; k++) if (sets[k]![0] === i && sets[k]![1] === f) return k;
    sets.push([i, f]);
    return sets.length - 1;
  }

  /** Rows that put stack arguments in place; register arguments are remembered for the call's row. */
  private passArgs(list: number, ints: readonly number[]): void {
    const { s } = this;
    const pool = s.func.pool;
    const n = list === NONE ? 0 : pool[list]!;
    this.args.start(ints, FLOAT_ARGS);
    this.argCount = 0;
    for (let i = 0; i < n; i++) {
      const v = pool[list + 1 + i]!;
      const type = s.typeOf(v);
      const place = this.args.next(type);
      // Builtins take extended arguments; the convention of wasm code does not ask for it.
      const x = ints === BUILTIN_ARGS ? s.edgeVal(v) : s.val(v);
      if (place >= 0) {
        this.argVregs[this.argCount] = x;
        this.argRegs[this.argCount++] = place;
        continue;
      }
      s.address(Base.Out, -1, -1, 0, -1 - place);
      s.rowMem(xop(X.Mr, moveIns(type), moveSize(type)), 0, 0, s.loc());
      s.use(x);
    }
  }

  /** Places of results and the rows that name them. */
  private placeResults(call: Value, type: FuncType | null): void {
    const { s } = this;
    this.resultRows.length = 0;
    this.resultPlaces.length = 0;
    this.results.start(INT_RESULTS, FLOAT_RESULTS);
    const own = s.typeOf(call);
    if (own !== Type.None) {
      this.resultRows.push(call);
      this.resultPlaces.push(this.results.next(own));
      return;
    }
    if (type === null || type.results.length === 0) return;
    for (const t of type.results) {
      this.resultRows.push(0);
      this.resultPlaces.push(this.results.next(irType(t)));
    }
    const r = s.func.rows;
    for (let v = s.func.next[call]!; v !== 0 && s.opOf(v) === Op.Result && r[v * ROW + F_A] === call; ) {
      this.resultRows[r[v * ROW + F_IMM]!] = v;
      v = s.func.next[v]!;
    }
  }

  /**
   * The call's row: definitions, then arguments. One that is invoked ends its block, and defines nothing: its results
   * arrive in the next one.
   */
  private callRow(op: number, imm: number, imm2: number, aux: number): void {
    const { s } = this;
    s.unit.calls = true;
    if (this.invoked) {
      s.m.inst(op, MFlag.Call | MFlag.Branch | (this.clobbers(0, 0) << 16), imm, imm2, aux, s.loc());
      this.useArgs();
      return;
    }
    let ints = 0;
    let floats = 0;
    for (const p of this.resultPlaces) {
      if (p < 0) continue;
      if (isFloatReg(p)) floats |= 1 << (p & 31);
      else ints |= 1 << p;
    }
    const set = this.clobbers(ints, floats);
    s.m.inst(op, MFlag.Call | (set << 16), imm, imm2, aux, s.loc());
    this.defineResults();
    this.useArgs();
  }

  private defineResults(): void {
    const { s } = this;
    for (let i = 0; i < this.resultPlaces.length; i++) {
      const p = this.resultPlaces[i]!;
      if (p < 0) continue;
      const row = this.resultRows[i]!;
      const vreg = row === 0 ? s.fresh(isFloatReg(p) ? 1 : 0) : s.result(row);
      s.m.opd(vreg, fixed(p, Opd.Def));
    }
  }

  private useArgs(): void {
    for (let i = 0; i < this.argCount; i++) this.s.m.opd(this.argVregs[i]!, fixed(this.argRegs[i]!));
  }

  /** Rows at the start of the block to which an invoked call returns. */
  returned(call: Value): void {
    const { s } = this;
    this.placeResults(call, this.typeOf(call));
    if (this.resultPlaces.some(p => p >= 0)) {
      s.row(xop(X.Args), MFlag.Arrives);
      this.defineResults();
    }
    // Where stack results lie depends on the arguments; builtins have none.
    const { pool, rows } = s.func;
    const list = rows[call * ROW + F_B]!;
    const n = list === NONE ? 0 : pool[list]!;
    this.args.start(INT_ARGS, FLOAT_ARGS);
    for (let i = 0; i < n; i++) this.args.next(s.typeOf(pool[list + 1 + i]!));
    this.takeResults();
  }

  /** Row at the start of the block to which an invoked call goes when it throws. */
  caught(call: Value): void {
    const { s } = this;
    const places = [CAUGHT_EXCEPTION, CAUGHT_CLAUSE];
    const asked: Value[] = [];
    let v = s.func.next[call]!;
    for (; s.opOf(v) === Op.Result || s.opOf(v) === Op.Caught; v = s.func.next[v]!) {
      if (s.opOf(v) === Op.Caught && s.vreg[v]! >= 0) asked.push(v);
    }
    s.m.inst(xop(X.Args), MFlag.Arrives, s.imm(v), 0, 0, s.loc());
    for (const e of asked) s.m.opd(s.result(e), fixed(places[s.imm(e)]!, Opd.Def));
  }

  /** Type of a call's callee; null: a builtin, whose result is the call's own. */
  private typeOf(call: Value): FuncType | null {
    const { s, module } = this;
    const imm = s.imm(call);
    switch (s.opOf(call)) {
      case Op.Call:
      case Op.CallImport:
        return module.types[module.functions[imm]!]!;
      case Op.CallIndirect:
        return module.types[imm]!;
      default:
        return null;
    }
  }

  /** Rows behind the call: stack results, and extensions of i32 results that somebody needs extended. */
  private takeResults(): void {
    const { s } = this;
    const base = align16(this.args.stack);
    const end = this.results.stack > 0 ? base + this.results.stack : this.args.stack;
    if (end > s.unit.outgoing) s.unit.outgoing = end;
    for (let i = 0; i < this.resultPlaces.length; i++) {
      const v = this.resultRows[i]!;
      if (v === 0) continue;
      const p = this.resultPlaces[i]!;
      const type = s.typeOf(v);
      if (p < 0) {
        if (s.vreg[v]! < 0 && s.vregZ[v]! < 0) continue;
        s.address(Base.Out, -1, -1, 0, base - 1 - p);
        s.rowMem(xop(X.Rm, moveIns(type), moveSize(type)), 0, 0, s.loc());
        s.def(s.result(v));
      }
      if (type === Type.I32) s.extendRaw(v, s.result(v));
    }
  }

  /** @param invoked it ends its block */
  call(v: Value, invoked: boolean): void {
    const { s } = this;
    this.invoked = invoked;
    const r = s.func.rows;
    const at = v * ROW;
    const imm = r[at + F_IMM]!;
    const list = r[at + F_B]!;
    switch (s.opOf(v)) {
      case Op.Call:
        this.placeResults(v, this.typeOf(v));
        this.passArgs(list, INT_ARGS);
        this.callRow(xop(X.Call), imm, align16(this.args.stack), 0);
        break;
      case Op.CallImport:
        this.placeResults(v, this.typeOf(v));
        this.passArgs(list, INT_ARGS);
        this.callRow(
          xop(X.CallImport),
          imm * IMPORT_ENTRY.SIZE - s.layout.imports,
          align16(this.args.stack),
          0,
        );
        s.unit.savesBase = true;
        break;
      case Op.CallIndirect: {
        this.placeResults(v, this.typeOf(v));
        this.passArgs(list, INT_ARGS);
        const base = r[at + F_C]!;
        const baseReg = base === NONE ? -1 : s.val(base);
        const code = r[at + F_A]!;
        // r15 changes before the call, so a code pointer is read in place only through another register.
        let fold = false;
        let reg = -1;
        if (s.opOf(code) === Op.RawLoad && s.accessTrap(code) === 0 && s.canFold(code, 8)) {
          s.takeLoad(code);
          fold = (s.addrAux & ADDR_BASE_MASK) === Base.Reg;
          if (!fold) s.folded[code] = 0;
        }
        if (!fold) reg = s.val(code);
        this.callRow(
          xop(X.CallIndirect, 0, 8, base === NONE ? 0 : 1),
          align16(this.args.stack),
          fold ? s.addrDisp : 0,
          fold ? s.addrAux : 0,
        );
        if (baseReg >= 0) {
          s.useAny(baseReg);
          s.unit.savesBase = true;
        }
        if (fold) s.addr();
        else s.useAny(reg);
        break;
      }
      case Op.CallBuiltin:
        this.placeResults(v, null);
        this.passArgs(list, BUILTIN_ARGS);
        this.callRow(xop(X.CallStub), imm, -VMCTX.BUILTIN_STUB, 0);
        break;
      default: {
        const array = s.val(r[at + F_A]!);
        this.placeResults(v, null);
        this.passArgs(NONE, INT_ARGS);
        this.argVregs[0] = array;
        this.argRegs[0] = RDX;
        this.argCount = 1;
        this.callRow(xop(X.CallStub), imm, -VMCTX.HOSTCALL_STUB, 0);
      }
    }
    if (!invoked) this.takeResults();
  }

  /** Places of the function's own parameters: for `arguments` and `ret`. */
  start(): void {
    const { func } = this.s;
    this.args.start(INT_ARGS, FLOAT_ARGS);
    const n = func.paramCount(0);
    for (let i = 0; i < n; i++) this.args.next(func.type(func.param(0, i)));
    this.s.unit.argBytes = align16(this.args.stack);
  }

  /** First rows of the function: register parameters that are used, then stack parameters. */
  arguments(): void {
    const { s } = this;
    const { func, m } = s;
    const n = func.paramCount(0);
    this.args.start(INT_ARGS, FLOAT_ARGS);
    s.row(xop(X.Args));
    for (let i = 0; i < n; i++) {
      const v = func.param(0, i);
      const p = this.args.next(func.type(v));
      if (p >= 0 && (s.vreg[v]! >= 0 || s.vregZ[v]! >= 0)) m.opd(s.result(v), fixed(p, Opd.Def));
    }
    this.args.start(INT_ARGS, FLOAT_ARGS);
    for (let i = 0; i < n; i++) {
      const v = func.param(0, i);
      const type = func.type(v);
      const p = this.args.next(type);
      if (s.vreg[v]! < 0 && s.vregZ[v]! < 0) continue;
      if (p < 0) {
        // Only a tail call writes the function's argument area, at its very end: reading it again is as good as a spill
        // slot.
        s.address(Base.In, -1, -1, 0, -1 - p);
        s.rowMem(xop(X.Rm, moveIns(type), moveSize(type)), MFlag.Remat, 0, s.loc());
        s.def(s.result(v));
      }
      if (type === Type.I32) s.extendRaw(v, s.result(v));
    }
  }

  ret(v: Value): void {
    const { s } = this;
    const pool = s.func.pool;
    const list = s.func.rows[v * ROW + F_B]!;
    const n = list === NONE ? 0 : pool[list]!;
    this.results.start(INT_RESULTS, FLOAT_RESULTS);
    this.argCount = 0;
    for (let i = 0; i < n; i++) {
      const value = pool[list + 1 + i]!;
      const type = s.typeOf(value);
      const p = this.results.next(type);
      const x = s.val(value);
      if (p >= 0) {
        this.argVregs[this.argCount] = x;
        this.argRegs[this.argCount++] = p;
        continue;
      }
      s.address(Base.In, -1, -1, 0, s.unit.argBytes - 1 - p);
      s.rowMem(xop(X.Mr, moveIns(type), moveSize(type)), 0, 0, s.loc());
      s.use(x);
    }
    s.row(xop(X.Ret), MFlag.Branch | MFlag.Ret);
    for (let i = 0; i < this.argCount; i++) s.m.opd(this.argVregs[i]!, fixed(this.argRegs[i]!));
  }

  /**
   * Stack arguments are put into the outgoing area first: their places may still hold this function's own, or its
   * frame.
   */
  tailCall(v: Value): void {
    const { s } = this;
    const r = s.func.rows;
    const at = v * ROW;
    const indirect = s.opOf(v) === Op.TailCallIndirect;
    this.passArgs(r[at + F_B]!, INT_ARGS);
    const n = align16(this.args.stack);
    if (n > s.unit.outgoing) s.unit.outgoing = n;
    if (n - s.unit.argBytes > s.unit.shift) s.unit.shift = n - s.unit.argBytes;
    const code = indirect ? s.val(r[at + F_A]!) : -1;
    s.m.inst(
      xop(X.TailCall, 0, 0, indirect ? 1 : 0),
      MFlag.Branch | MFlag.Ret,
      r[at + F_IMM]!,
      n,
      0,
      s.loc(),
    );
    for (let i = 0; i < this.argCount; i++) s.m.opd(this.argVregs[i]!, fixed(this.argRegs[i]!));
    if (indirect) s.m.opd(code, fixed(RAX));
  }
}
