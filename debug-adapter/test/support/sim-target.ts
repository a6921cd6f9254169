/**
 * A test double of a running guest: an interpreter of the part of WebAssembly that clang -O0 needs for small programs,
 * one operator at a time, with every operator that begins a source line as a sequence point. It knows nothing of the
 * debugger, and the compiler and the runtime have no part in it.
 */
import { openSymbols } from '../../../runtime/index.ts';
import type { DebugTarget, TargetEvent, TargetFrame, TargetState } from '../../target.ts';

interface Frame {
  readonly functionIndex: number;
  readonly locals: bigint[];
  readonly stack: bigint[];
  readonly labels: {
    readonly op: number;
    readonly start: number;
    readonly end: number;
    readonly height: number;
  }[];
  pc: number;
  /** Operator that is next, or of the call that is going on. */
  at: number;
}

const STACK_POINTER = 65536n;
const MEMORY = 2 * 65536;

export class SimTarget implements DebugTarget {
  readonly name = 'sim';
  readonly canRun = true;
  readonly watchpoints = null;
  readonly symbols;
  readonly threads = [{ id: 1, name: 'sim#1' }];
  readonly memory = new Uint8Array(MEMORY);
  private readonly view = new DataView(this.memory.buffer);
  readonly globals = [STACK_POINTER];
  private readonly wasm: Uint8Array;
  private readonly set = new Set<number>();
  private readonly points = new Map<number, readonly number[]>();
  private readonly stackFrames: Frame[] = [];
  private readonly listeners: ((e: TargetEvent) => void)[] = [];
  private pausing = false;
  private killed = false;
  /** The breakpoint that it stands at does not stop it again. */
  private passing = -1;

  /** @param artifact compiled by this project, for its symbols; it is not run. @param entry exported function to run */
  constructor(
    artifact: Uint8Array,
    private readonly entry: number,
  ) {
    const symbols = openSymbols({ bytes: artifact, path: null, hash: '' });
    if (symbols?.wasm == null) throw new Error('no debug information');
    this.symbols = symbols;
    this.wasm = symbols.wasm;
    for (const d of symbols.artifact.data) this.memory.set(d.bytes, Number(d.offset.bits));
  }

  onEvent(listener: (e: TargetEvent) => void): void {
    this.listeners.push(listener);
  }

  private emit(e: TargetEvent): void {
    for (const l of this.listeners) l(e);
  }

  sequencePoints(functionIndex: number): readonly number[] {
    let points = this.points.get(functionIndex);
    if (points === undefined) {
      const found: number[] = [];
      const body = this.symbols.body(functionIndex);
      if (body !== null) {
        for (const file of this.symbols.debug?.files ?? []) {
          for (const p of this.symbols.debug!.positions(file)) {
            const at = p.codeOffset + this.symbols.artifact.codeStart;
            if (at > body.start && at < body.end) found.push(at);
          }
        }
      }
      points = [...new Set(found)].sort((a, b) => a - b);
      this.points.set(functionIndex, points);
    }
    return points;
  }

  setBreakpoint(wasmOffset: number): void {
    this.set.add(wasmOffset);
  }

  clearBreakpoint(wasmOffset: number): void {
    this.set.delete(wasmOffset);
  }

  start(): void {
    this.enter(this.entry, []);
    this.schedule();
  }

  resume(): void {
    this.passing = this.stackFrames.at(-1)?.pc ?? -1;
    this.schedule();
  }

  pause(): void {
    this.pausing = true;
  }

  kill(): void {
    this.killed = true;
    this.schedule();
  }

  dispose(): void {}

  private schedule(): void {
    setImmediate(() => this.run());
  }

  private run(): void {
    for (let n = 0; n < 20_000; n++) {
      if (this.killed || this.stackFrames.length === 0) {
        this.emit({ kind: 'exited', code: this.killed ? 137 : 0 });
        this.killed = false;
        this.stackFrames.length = 0;
        this.listeners.length = 0;
        return;
      }
      const top = this.stackFrames.at(-1)!;
      top.at = top.pc;
      if (this.pausing) {
        this.pausing = false;
        this.emit({ kind: 'stopped', thread: 1, reason: 'pause' });
        return;
      }
      if (this.set.has(top.pc) && this.passing !== top.pc) {
        this.emit({ kind: 'stopped', thread: 1, reason: 'breakpoint' });
        return;
      }
      this.passing = -1;
      this.step(top);
    }
    this.schedule();
  }

  // --------------------------------------------------------------------------------------------------------- Interpreter

  private enter(functionIndex: number, args: bigint[]): void {
    const body = this.symbols.body(functionIndex)!;
    const frame: Frame = {
      functionIndex,
      locals: [...args],
      stack: [],
      labels: [],
      pc: body.start,
      at: body.start,
    };
    const types = this.symbols.localTypes(functionIndex);
    while (frame.locals.length < types.length) frame.locals.push(0n);
    for (let groups = this.u32(frame); groups > 0; groups--) {
      this.u32(frame);
      frame.pc++;
    }
    frame.labels.push({ op: 0x02, start: frame.pc, end: body.end, height: 0 });
    frame.at = frame.pc;
    this.stackFrames.push(frame);
  }

  private u32(f: Frame): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const b = this.wasm[f.pc++]!;
      value += (b & 127) * scale;
      if (b < 128) return value;
    }
  }

  private s64(f: Frame): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const b = this.wasm[f.pc++]!;
      value |= BigInt(b & 127) << shift;
      if (b < 128) return b & 64 ? value - (1n << (shift + 7n)) : value;
    }
  }

  /** Where the block that begins at `pc` (behind its type) ends, and its `else`. */
  private matching(pc: number): { end: number; otherwise: number } {
    const probe = { pc } as Frame;
    let otherwise = -1;
    for (let depth = 1; ; ) {
      const at = probe.pc;
      const op = this.wasm[probe.pc++]!;
      if (op === 0x02 || op === 0x03 || op === 0x04) {
        depth++;
        probe.pc++;
      } else if (op === 0x05 && depth === 1) otherwise = at;
      else if (op === 0x0b && --depth === 0) return { end: at, otherwise };
      else if (op === 0x0c || op === 0x0d || op === 0x10 || (op >= 0x20 && op <= 0x24)) this.u32(probe);
      else if (op === 0x41 || op === 0x42) this.s64(probe);
      else if (op === 0x43) probe.pc += 4;
      else if (op === 0x44) probe.pc += 8;
      else if (op >= 0x28 && op <= 0x3e) {
        this.u32(probe);
        this.u32(probe);
      }
    }
  }

  private branch(f: Frame, depth: number): void {
    const label = f.labels[f.labels.length - 1 - depth]!;
    f.labels.length -= depth;
    if (label.op === 0x03) f.pc = label.start;
    else {
      f.pc = label.end;
      if (f.labels.length > 1) return;
    }
    if (label.op !== 0x03) this.leave(f);
  }

  private leave(f: Frame): void {
    this.stackFrames.pop();
    const type = this.symbols.artifact.types[this.symbols.artifact.func(f.functionIndex).typeIndex]!;
    const caller = this.stackFrames.at(-1);
    if (caller !== undefined && type.results.length > 0) caller.stack.push(f.stack.pop()!);
  }

  private step(f: Frame): void {
    const op = this.wasm[f.pc++]!;
    const { stack } = f;
    const pop = (): bigint => stack.pop()!;
    const i32 = (v: bigint): bigint => BigInt.asUintN(32, v);
    const s = (v: bigint): bigint => BigInt.asIntN(32, v);
    const two = (g: (a: bigint, b: bigint) => bigint): void => {
      const b = pop();
      stack.push(i32(g(pop(), b)));
    };
    const compare = (g: (a: bigint, b: bigint) => boolean): void => two((a, b) => (g(a, b) ? 1n : 0n));
    const address = (): number => {
      this.u32(f);
      const offset = this.u32(f);
      return Number(pop()) + offset;
    };
    switch (op) {
      case 0x01:
        return;
      case 0x02:
      case 0x03:
      case 0x04: {
        f.pc++;
        const { end, otherwise } = this.matching(f.pc);
        const taken = op !== 0x04 || pop() !== 0n;
        if (taken || otherwise >= 0) f.labels.push({ op, start: f.pc, end: end, height: stack.length });
        if (!taken) f.pc = otherwise >= 0 ? otherwise + 1 : end + 1;
        return;
      }
      case 0x05:
        f.pc = f.labels.at(-1)!.end;
        return;
      case 0x0b:
        f.labels.pop();
        if (f.labels.length === 0) this.leave(f);
        return;
      case 0x0c:
        this.branch(f, this.u32(f));
        return;
      case 0x0d: {
        const depth = this.u32(f);
        if (pop() !== 0n) this.branch(f, depth);
        return;
      }
      case 0x0f:
        this.leave(f);
        return;
      case 0x10: {
        const callee = this.u32(f);
        const { params } = this.symbols.artifact.types[this.symbols.artifact.func(callee).typeIndex]!;
        this.enter(callee, stack.splice(stack.length - params.length));
        return;
      }
      case 0x1a:
        pop();
        return;
      case 0x20:
        stack.push(f.locals[this.u32(f)]!);
        return;
      case 0x21:
        f.locals[this.u32(f)] = pop();
        return;
      case 0x22:
        f.locals[this.u32(f)] = stack.at(-1)!;
        return;
      case 0x23:
        stack.push(this.globals[this.u32(f)]!);
        return;
      case 0x24:
        this.globals[this.u32(f)] = pop();
        return;
      case 0x28:
        stack.push(BigInt(this.view.getUint32(address(), true)));
        return;
      case 0x29:
        stack.push(this.view.getBigUint64(address(), true));
        return;
      case 0x37: {
        const value = pop();
        this.view.setBigUint64(address(), value, true);
        return;
      }
      case 0x2c:
        stack.push(i32(BigInt(this.view.getInt8(address()))));
        return;
      case 0x2d:
        stack.push(BigInt(this.view.getUint8(address())));
        return;
      case 0x36:
      case 0x3a: {
        const value = Number(pop());
        const at = address();
        if (op === 0x36) this.view.setUint32(at, value, true);
        else this.view.setUint8(at, value & 255);
        return;
      }
      case 0x41:
        stack.push(i32(this.s64(f)));
        return;
      case 0x45:
        stack.push(pop() === 0n ? 1n : 0n);
        return;
      case 0x46:
        compare((a, b) => a === b);
        return;
      case 0x47:
        compare((a, b) => a !== b);
        return;
      case 0x48:
        compare((a, b) => s(a) < s(b));
        return;
      case 0x4a:
        compare((a, b) => s(a) > s(b));
        return;
      case 0x4c:
        compare((a, b) => s(a) <= s(b));
        return;
      case 0x4e:
        compare((a, b) => s(a) >= s(b));
        return;
      case 0x6a:
        two((a, b) => a + b);
        return;
      case 0x6b:
        two((a, b) => a - b);
        return;
      case 0x6c:
        two((a, b) => a * b);
        return;
      case 0x71:
        two((a, b) => a & b);
        return;
      case 0x74:
        two((a, b) => a << (b & 31n));
        return;
      default:
        throw new Error(`operator 0x${op.toString(16)} is not simulated`);
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- State

  readonly state: TargetState = {
    memory: (memory, at, n) =>
      memory === 0 && at >= 0 && at + n <= MEMORY ? this.memory.slice(at, at + n) : null,
    memorySize: () => MEMORY,
    global: i => this.globals[i] ?? null,
    tableSize: () => 0,
    tableElement: () => null,
    writeMemory: (_memory, at, bytes) => {
      this.memory.set(bytes, at);
      return true;
    },
    setGlobal: (i, bits) => {
      this.globals[i] = bits;
      return true;
    },
  };

  private frameOf(frame: TargetFrame): Frame {
    return this.stackFrames[this.stackFrames.length - 1 - frame.depth]!;
  }

  frames(): TargetFrame[] {
    return [...this.stackFrames].reverse().map((f, depth) => ({
      depth,
      kind: 'wasm',
      functionIndex: f.functionIndex,
      functionName: this.symbols.artifact.func(f.functionIndex).name,
      wasmOffset: f.at,
      textOffset: -1,
      count: 0,
      stackAddress: this.stackFrames.length - depth,
    }));
  }

  readLocal(_thread: number, frame: TargetFrame, index: number): bigint | null {
    return this.frameOf(frame).locals[index] ?? null;
  }

  writeLocal(_thread: number, frame: TargetFrame, index: number, bits: bigint): boolean {
    this.frameOf(frame).locals[index] = BigInt.asUintN(32, bits);
    return true;
  }

  readOperand(_thread: number, frame: TargetFrame, index: number): bigint | null {
    return this.frameOf(frame).stack[index] ?? null;
  }

  operandCount(_thread: number, frame: TargetFrame): number {
    return this.frameOf(frame).stack.length;
  }

  registers(): Record<string, string> {
    return {};
  }

  trapReport(): null {
    return null;
  }
}
