/**
 * The single pass: code for debuggers in one walk over the bytes of a body, without intermediate code.
 *
 *   bytes ── decode, validate (wasm/walk.ts), emit ──▶ CompiledFunc
 *
 * Code for debuggers keeps every local and, where it can stop, every operand in a home in the frame (wasm/debug-code.ts): a register allocator has little left
 * to do there, and building SSA for it is all cost. Here an operator is written as machine code as soon as it has been read, with operands put off, in registers, or in
 * their homes (x64/state.ts has the rules). The result is what the path over intermediate code makes: same convention, frames, pc map, trap sites, homes,
 * relocations; so the runtime, the unwinder and the debugger don't know which path a function took.
 *
 * It knows what compilers of C, C++, Rust and Go emit. A body with anything else (vectors, exceptions, tail calls, 64-bit memories, …) is *left*: the
 * caller compiles it the other way. So is an invalid one: validation here only finds that something is wrong, the other path says what. Whether a body is
 * left depends on the module's bytes and the options alone.
 *
 *   x64/state.ts      operands, registers, frame        x64/ints.ts, floats.ts, memory.ts     operators
 *   x64/calls.ts      arguments, results, prologue      x64/control.ts                        constructs, branches
 *   x64/thunks.ts     thunks                            outgoing.ts                           what calls will need, guessed
 */
import type { VmctxLayout } from '../abi/vmctx.ts';
import type { Arena } from '../backend/arena.ts';
import type { CompiledDebug, CompiledFunc } from '../backend/code.ts';
import { emitSlowPath } from '../backend/x64/emit-float.ts';
import { FLOAT_ARGS, INT_ARGS } from '../backend/x64/regs.ts';
import { CompileError } from '../diagnostics.ts';
import type { TryScope } from '../ir/func.ts';
import type { CompileOptions } from '../options.ts';
import { thunkAt } from '../thunks.ts';
import { operator, readLocals } from '../wasm/lower.ts';
import { beginBody } from '../wasm/lower-control.ts';
import { type Module, ValType } from '../wasm/module.ts';
import { Code, OPCODE_OP, OPCODE_OPERAND, OPCODE_RESULT, OpcodePage } from '../wasm/opcodes.ts';
import { isDefaultable, isRef } from '../wasm/types.ts';
import { FrameKind, UNKNOWN, Walk } from '../wasm/walk.ts';
import { ACTIONS, Action } from './actions.ts';
import { OutgoingAreas } from './outgoing.ts';
import { PlacedPoints } from './points.ts';
import * as calls from './x64/calls.ts';
import * as control from './x64/control.ts';
import * as floats from './x64/floats.ts';
import * as ints from './x64/ints.ts';
import * as memory from './x64/memory.ts';
import { AGAIN, isFloatType, Kind, LEFT, State } from './x64/state.ts';
import { emitThunk } from './x64/thunks.ts';

const NO_SCOPES: readonly TryScope[] = [];

/** Whether options and module are such that bodies may be compiled by the single pass. */
export function singlePassApplies(module: Module, options: CompileOptions): boolean {
  return (
    options.debugCode &&
    options.memory === 'guarded' &&
    !options.countInstructions &&
    !options.canonicalizeNans &&
    module.memories.every(m => !m.index64 && m.pageSizeLog2 >= 12)
  );
}

/** Compiles bodies of one module, one after the other; all scratch state is kept and reused. */
export class SinglePass {
  private readonly w: Walk;
  private readonly s: State;
  private readonly points: PlacedPoints;
  private readonly areas: OutgoingAreas;
  /** Whether the body has locals that must be set before they are read. */
  private checksLocals = false;

  constructor(
    private readonly module: Module,
    layout: VmctxLayout,
    options: CompileOptions,
    arena: Arena,
  ) {
    this.w = new Walk(module, layout, options);
    const typeBytes = calls.argumentBytesOf(module);
    this.areas = new OutgoingAreas(module, typeBytes);
    this.s = new State(this.w, options.features, arena, typeBytes);
    this.points = new PlacedPoints(module);
  }

  /** null: the body is left to the other path. */
  compile(index: number): CompiledFunc | null {
    const { module, s } = this;
    s.outgoing = this.areas.guess(module.bodies[index - module.importedFunctions]!);
    for (;;) {
      try {
        return this.body(index);
      } catch (e) {
        if (e === AGAIN) continue;
        if (e === LEFT || e instanceof CompileError) return null;
        throw e;
      }
    }
  }

  /** The thunk with the given index; null if it has no code, or is left to the other path. */
  thunk(index: number): CompiledFunc | null {
    const { s, module } = this;
    const thunk = thunkAt(module, index);
    if (!thunk || !calls.knowsType(thunk.type)) return null;
    s.beginCode();
    s.pcMap.start(0);
    emitThunk(s, thunk);
    return this.result(index, 0, null);
  }

  private body(index: number): CompiledFunc {
    const { w, s, module, points } = this;
    const { r, ssa } = w;
    const body = module.bodies[index - module.importedFunctions]!;
    const type = w.funcType(index);
    if (!calls.knowsType(type)) s.leave();
    r.pos = body.start;
    r.end = body.end;
    r.func = index;
    readLocals(w, type.params);
    this.checksLocals = false;
    for (let x = 0; x < w.localCount; x++) {
      const type = w.localTypes[x]! as ValType;
      if (type === ValType.V128) s.leave();
      if (!isDefaultable(type)) this.checksLocals = true;
    }
    s.begin();
    s.unit.argBytes = calls.stackBytes(type.params, INT_ARGS.length, FLOAT_ARGS.length);
    s.pcMap.start(body.start);
    points.beginFunction(body.start, w, s.localHomes);
    beginBody(w, type);
    ssa.live = true;
    calls.enterFunction(s, type.params);
    this.walk();
    if (r.pos !== r.end) s.leave();
    return this.finish(index, body.start);
  }

  private finish(index: number, start: number): CompiledFunc {
    const { w, s, points } = this;
    s.forSlowPaths(emitSlowPath);
    s.emitStubs();
    s.completeFrame();
    return this.result(index, start, points.result(w.localCount, s.operandHomes, s.arena));
  }

  private result(index: number, wasmStart: number, debug: CompiledDebug | null): CompiledFunc {
    const { s } = this;
    const { asm, arena, frame, unit, pcMap, popSites } = s;
    const code = asm.finish(arena);
    return {
      index,
      code,
      relocs: s.finalRelocs(),
      rodata: unit.rodata.bytes(arena),
      pcMap: pcMap.finish(asm, arena),
      wasmStart,
      frameSize: frame.size,
      argBytes: unit.argBytes,
      popped: frame.popped,
      landings: arena.ints(0),
      scopes: NO_SCOPES,
      saved: frame.saved,
      debug,
      savesBase: unit.savesBase,
      popSites: arena.copyInts(popSites.data, popSites.length),
    };
  }

  private walk(): void {
    const { w, s, points } = this;
    const { r, ssa } = w;
    for (;;) {
      const at = r.pos;
      w.at = at;
      // By hand what `u8` does: this is done for every operator.
      if (at >= r.end) r.u8();
      r.pos = at + 1;
      const code = r.bytes[at]!;
      if (points.isDue(w, code)) this.point();
      if (!ssa.live) {
        if (code === Code.End) {
          if (control.end(s)) return;
        } else if (code === Code.Else) control.orElse(s);
        else operator(w, code);
        continue;
      }
      // What puts itself off needs no place of its own in the pc map.
      if (code === Code.LocalGet) {
        this.localGet();
        continue;
      }
      if (code === Code.I32Const) {
        s.pushConst(ValType.I32, r.s32(), 0);
        continue;
      }
      if (code === Code.Else) {
        control.orElse(s);
        continue;
      }
      s.pcMap.note(s.asm.here(), at, 0);
      if (code === Code.End) {
        if (control.end(s)) return;
        continue;
      }
      if (w.forbidden?.has(code)) s.leave();
      this.live(code);
    }
  }

  /** A sequence point. */
  private point(): void {
    const { w, s } = this;
    s.flush();
    const here = s.asm.here();
    s.pcMap.note(here, w.at, 0);
    this.points.add(w, here);
    s.asm.nop();
  }

  /** One operator that can be reached, other than `end` and `else`. The frequent ones: the engine compiles this early, before it has seen others. */
  private live(code: number): void {
    const { s } = this;
    const action = ACTIONS[code]! as Action;
    switch (action) {
      case Action.LocalSet:
        this.localSet(false);
        return;
      case Action.LocalTee:
        this.localSet(true);
        return;
      case Action.Load:
        memory.load(s, code);
        return;
      case Action.Store:
        memory.store(s, code);
        return;
      case Action.IntBinary:
        ints.intBinary(s, OPCODE_OP[code]!, OPCODE_OPERAND[code]! as ValType);
        return;
      case Action.IntUnary:
        ints.intUnary(s, OPCODE_OP[code]!, OPCODE_OPERAND[code]! as ValType, OPCODE_RESULT[code]! as ValType);
        return;
      case Action.Eqz:
        ints.eqz(s, OPCODE_OPERAND[code]! as ValType);
        return;
      case Action.I64Const:
        this.i64Const();
        return;
      case Action.Block:
        control.open(s, FrameKind.Block);
        return;
      case Action.Loop:
        control.open(s, FrameKind.Loop);
        return;
      case Action.If:
        control.open(s, FrameKind.If);
        return;
      case Action.Br:
        control.br(s);
        return;
      case Action.BrIf:
        control.brIf(s);
        return;
      case Action.Call:
        calls.call(s);
        return;
      case Action.GlobalGet:
        memory.globalGet(s);
        return;
      case Action.GlobalSet:
        memory.globalSet(s);
        return;
      case Action.Drop:
        this.drop();
        return;
      default:
        this.seldom(action, code);
    }
  }

  private seldom(action: Action, code: number): void {
    const { w, s } = this;
    const { r } = w;
    switch (action) {
      case Action.F32Const:
        s.pushConst(ValType.F32, r.f32(), 0);
        return;
      case Action.F64Const:
        r.f64();
        s.pushConst(ValType.F64, r.lo, r.hi);
        return;
      case Action.FloatBinary:
        floats.floatBinary(s, OPCODE_OP[code]!, OPCODE_OPERAND[code]! as ValType);
        return;
      case Action.FloatUnary:
        floats.floatUnary(s, OPCODE_OP[code]!, OPCODE_OPERAND[code]! as ValType);
        return;
      case Action.Conversion:
        floats.conversion(
          s,
          OPCODE_OP[code]!,
          OPCODE_OPERAND[code]! as ValType,
          OPCODE_RESULT[code]! as ValType,
        );
        return;
      case Action.Unreachable:
        control.trap(s);
        return;
      case Action.Nop:
        return;
      case Action.BrTable:
        control.brTable(s);
        return;
      case Action.Return:
        control.ret(s);
        return;
      case Action.CallIndirect:
        calls.callIndirect(s);
        return;
      case Action.Select:
        this.select();
        return;
      case Action.MemorySize:
        memory.memorySize(s);
        return;
      case Action.MemoryGrow:
        memory.memoryGrow(s);
        return;
      case Action.MemoryCopy:
        memory.memoryCopy(s);
        return;
      case Action.MemoryFill:
        memory.memoryFill(s);
        return;
      case Action.MiscPrefix:
        this.misc();
        return;
      default:
        s.leave();
    }
  }

  private misc(): void {
    const { w, s } = this;
    const code = OpcodePage.Misc + Math.min(w.r.u32(), 255);
    if (w.forbidden?.has(code)) s.leave();
    this.live(code);
  }

  private i64Const(): void {
    const { s } = this;
    const { r } = s.w;
    r.s64();
    s.pushConst(ValType.I64, r.lo, r.hi);
  }

  private drop(): void {
    const { s } = this;
    s.w.popAny();
    s.hold(s.w.sp, s.a);
    s.done(s.a);
  }

  private localGet(): void {
    const { w, s } = this;
    const x = w.r.u32();
    if (x >= w.localCount) s.leave();
    if (this.checksLocals) w.checkLocal(x);
    s.pushLocal(w.localTypes[x]! as ValType, x);
  }

  private localSet(tee: boolean): void {
    const { w, s } = this;
    const { a } = s;
    const x = w.r.u32();
    if (x >= w.localCount) s.leave();
    const type = w.localTypes[x]! as ValType;
    s.take(type, a);
    if (this.checksLocals) w.noteLocalSet(x);
    s.settleLocal(x);
    const home = s.localHomes[x]!;
    s.storeEntry(a.at, home);
    if (!tee) {
      s.done(a);
      return;
    }
    switch (a.kind) {
      case Kind.Reg:
        s.pushReg(type, a.val);
        return;
      case Kind.Const:
        s.pushConst(type, a.val, a.high);
        return;
      default:
        s.pushLocal(type, x);
    }
  }

  private select(): void {
    const { w, s } = this;
    const { a, b, c } = s;
    s.take(ValType.I32, c);
    w.popAny();
    const typeB = w.popped;
    s.hold(w.sp, b);
    w.popAny();
    const typeA = w.popped;
    s.hold(w.sp, a);
    if (typeA === UNKNOWN || typeA !== typeB || typeA === ValType.V128 || isRef(typeA)) s.leave();
    else if (isFloatType(typeA)) floats.selectFloat(s, typeA);
    else ints.selectInt(s, typeA);
  }
}
