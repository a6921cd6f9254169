/**
 * Where frames of C, C++, Rust and others lie in the guest's memory, without any help of generated code.
 *
 * LLVM keeps variables whose address is taken (at -O0: all of them) on a stack in linear memory, whose pointer is a
 * mutable global. A function that has a frame begins with
 *
 *     global.get $sp; i32.const N; i32.sub; local.tee $fp; [global.set $sp]
 *
 * or the same by way of more locals, and puts the pointer back before it returns. $fp is what DWARF's frame base names;
 * optimised native code does not keep it, but it can be told from the global's value when the guest stopped: every
 * function on the call stack has changed it by an amount that its first instructions say. `readFrameShape` runs them
 * symbolically.
 */

/** What a function's first instructions do with the stack pointer. */
interface FrameShape {
  /** The global that is the stack pointer. */
  readonly global: number;
  /** What the function adds to it while it runs: 0 or less. */
  readonly delta: number;
  /** Locals that were set to the pointer at entry plus an amount. */
  readonly bases: ReadonlyMap<number, number>;
  /** Offset in the bytes of the instruction behind the ones that were looked at: further on, all this holds. */
  readonly end: number;
}

/** Instructions that are looked at: prologues at -O0 set up every local they use. */
const MAX_INSTRUCTIONS = 64;
const MAX_OPERANDS = 16;

/** A value: of the stack pointer at entry plus `n`, a constant, or anything. */
type Symbolic = { readonly sp: boolean; readonly n: number } | null;

const enum Op {
  LocalGet = 0x20,
  LocalSet = 0x21,
  LocalTee = 0x22,
  GlobalGet = 0x23,
  GlobalSet = 0x24,
  I32Const = 0x41,
  I64Const = 0x42,
  I32Add = 0x6a,
  I32Sub = 0x6b,
  I64Add = 0x7c,
  I64Sub = 0x7d,
}

/**
 * @param body offset of a function's body in `bytes`: its local declarations
 * @returns null: it has no frame, or not one of this kind
 */
function readFrameShape(bytes: Uint8Array, body: number, end: number): FrameShape | null {
  let at = body;
  const uleb = (): number => {
    let value = 0;
    for (let scale = 1, n = 0; n < 10 && at < end; n++, scale *= 128) {
      const b = bytes[at++]!;
      value += (b & 0x7f) * scale;
      if (b < 0x80) return value;
    }
    at = end + 1;
    return 0;
  };
  const sleb = (): number => {
    let value = 0;
    for (let scale = 1, n = 0; n < 10 && at < end; n++) {
      const b = bytes[at++]!;
      value += (b & 0x7f) * scale;
      scale *= 128;
      if (b < 0x80) return b & 0x40 ? value - scale : value;
    }
    at = end + 1;
    return 0;
  };
  for (let groups = uleb(); groups > 0 && at < end; groups--) {
    uleb();
    // A type of one byte, or a reference with a heap type behind it.
    const type = bytes[at++];
    if (type === 0x63 || type === 0x64) sleb();
  }
  const stack: Symbolic[] = [];
  const locals = new Map<number, Symbolic>();
  let global = -1;
  let delta = 0;
  let done = at;
  for (let n = 0; n < MAX_INSTRUCTIONS && at < end && stack.length <= MAX_OPERANDS; n++) {
    const op = bytes[at++]!;
    if (op === Op.LocalGet) stack.push(locals.get(uleb()) ?? null);
    else if (op === Op.LocalSet || op === Op.LocalTee) {
      const v = op === Op.LocalSet ? (stack.pop() ?? null) : (stack.at(-1) ?? null);
      locals.set(uleb(), v);
    } else if (op === Op.GlobalGet) {
      const g = uleb();
      // The first global that is read is the stack pointer, if anything is.
      if (global < 0) global = g;
      stack.push(g === global ? { sp: true, n: delta } : null);
    } else if (op === Op.GlobalSet) {
      const v = stack.pop() ?? null;
      if (uleb() !== global || v === null || !v.sp) break;
      delta = v.n;
    } else if (op === Op.I32Const || op === Op.I64Const) stack.push({ sp: false, n: sleb() });
    else if (op === Op.I32Add || op === Op.I32Sub || op === Op.I64Add || op === Op.I64Sub) {
      const b = stack.pop() ?? null;
      const a = stack.pop() ?? null;
      const sign = op === Op.I32Sub || op === Op.I64Sub ? -1 : 1;
      stack.push(a === null || b === null || b.sp ? null : { sp: a.sp, n: a.n + sign * b.n });
    } else break;
    if (at > end) return null;
    done = at;
    // Once a frame has been set up and named there is no more to learn: what comes next may well be the program's own
    // code.
    if (delta !== 0 && stack.length === 0) break;
  }
  if (global < 0) return null;
  const bases = new Map<number, number>();
  for (const [index, v] of locals) if (v?.sp) bases.set(index, v.n);
  return bases.size === 0 && delta === 0 ? null : { global, delta, bases, end: done };
}

/** One call on the stack, innermost first. */
export interface StackFrame {
  readonly functionIndex: number;
  /** Byte offset in the module. */
  readonly wasmOffset: number;
}

/** What the bodies of a module's functions say. */
export interface FunctionBodies {
  readonly bytes: Uint8Array;
  /** Byte range of a function's body; null: imported, or none. */
  body(functionIndex: number): { readonly start: number; readonly end: number } | null;
}

/** For each frame, the locals that hold an address of its frame, by index; null: not known from there on outwards. */
export function frameBases(
  frames: readonly StackFrame[],
  bodies: FunctionBodies,
  stackPointer: (global: number) => number | null,
): (ReadonlyMap<number, number> | null)[] {
  let sp: number | null = null;
  let global = -1;
  let lost = false;
  return frames.map(frame => {
    const body = lost ? null : bodies.body(frame.functionIndex);
    if (body === null) {
      lost = true;
      return null;
    }
    const shape = readFrameShape(bodies.bytes, body.start, body.end);
    if (shape === null) return new Map<number, number>();
    if (global < 0) {
      global = shape.global;
      sp = stackPointer(global);
    }
    if (sp === null || shape.global !== global || frame.wasmOffset < shape.end) {
      lost = true;
      return null;
    }
    const entry: number = sp - shape.delta;
    sp = entry;
    return new Map([...shape.bases].map(([index, n]) => [index, entry + n] as const));
  });
}
