/** What a debugger sees of a guest that is stopped. */
import type { RunEvent } from './calls.ts';
import { StateError } from './errors.ts';
import { Block, bytesAt, EventKind, FrameKind, native, STRUCTS, Status } from './ffi.ts';
import { type Module, moduleAt } from './module.ts';

/** In the order of lucet_instance_registers. */
const REGISTERS = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags'],
] as const;
export type RegisterName = (typeof REGISTERS)[number];

export interface StopFrame {
  /** null: here a host function was called which called the guest again. */
  readonly module: Module | null;
  readonly functionIndex: number;
  /**
   * The innermost, of a guest that waits in the host: what it has called is this imported function, which has neither
   * code nor a place on the stack.
   */
  readonly isImport: boolean;
  /** Byte offset in the wasm module. */
  readonly wasmOffset: number;
  /** Address of the instruction (innermost frame), or the return address. */
  readonly pc: number;
  /** Stack pointer behind the prologue: homes of locals are counted from here. */
  readonly sp: number;
}

/** In the order of lucet_stop. */
const STOPS = ['breakpoint', 'step', 'watchpoint'] as const;

const FRAME = STRUCTS.lucet_frame;
const MOST_FRAMES = 1024;

export function isStop(event: RunEvent): boolean {
  if (event.status !== Status.Ok) return false;
  return event.kind === EventKind.Stopped || event.kind === EventKind.Interrupted;
}

/** A native host function asked to yield. */
export function isNativeYield(event: RunEvent): boolean {
  return event.status === Status.Ok && event.kind === EventKind.Yielded;
}

/** Valid until the guest goes on. */
export class Stop {
  readonly reason: 'breakpoint' | 'step' | 'watchpoint' | 'pause';
  readonly #instance: number;
  #over = false;

  /** @param instance the native handle */
  constructor(instance: number, event: RunEvent) {
    this.#instance = instance;
    this.reason = event.kind === EventKind.Interrupted ? 'pause' : STOPS[event.code]!;
  }

  /** The guest goes on: nothing of this may be used any more. */
  end(): void {
    this.#over = true;
  }

  #address(): number {
    const address = this.#over ? 0 : native().lucet_instance_registers(this.#instance);
    if (address === 0) throw new StateError('the guest is not stopped at an instruction');
    return address;
  }

  /** It waits in a host function, which goes on when the guest does: there are no registers. */
  get isInHost(): boolean {
    return !this.#over && native().lucet_instance_registers(this.#instance) === 0;
  }

  get registers(): Readonly<Record<RegisterName, bigint>> {
    const words = new BigUint64Array(bytesAt(this.#address(), REGISTERS.length * 8).buffer);
    return Object.fromEntries(REGISTERS.map((name, i) => [name, words[i]!])) as Record<RegisterName, bigint>;
  }

  /**
   * What `rip`, `rsp` and `r15` are set to is not checked: a guest that goes on with wrong ones is out of its sandbox.
   */
  setRegister(name: RegisterName, value: bigint): void {
    const bytes = new Uint8Array(BigUint64Array.of(value).buffer);
    native().copyIn(this.#address() + REGISTERS.indexOf(name) * 8, bytes, 8);
  }

  /** Innermost first, 1,024 at most. */
  frames(): StopFrame[] {
    if (this.#over) throw new StateError('the guest is not stopped at an instruction');
    const block = new Block(MOST_FRAMES * FRAME.size);
    const count = native().lucet_instance_backtrace(this.#instance, block.address, MOST_FRAMES);
    return Array.from({ length: Math.min(count, MOST_FRAMES) }, (_, i) => {
      const at = i * FRAME.size;
      const kind = block.u32[(at + FRAME.kind) >> 2]!;
      return {
        module: kind === FrameKind.Host ? null : moduleAt(block.word(at + FRAME.module)),
        isImport: kind === FrameKind.Waiting,
        functionIndex: block.u32[(at + FRAME.function) >> 2]!,
        wasmOffset: block.u32[(at + FRAME.wasm_offset) >> 2]!,
        pc: block.word(at + FRAME.pc),
        sp: block.word(at + FRAME.sp),
      };
    });
  }

  /**
   * @param address as in StopFrame.sp and the registers. @throws RangeError when the bytes aren't all in the guest's
   * stack
   */
  readStack(address: number, length: number): Uint8Array {
    const block = new Block(length);
    const status = this.#over
      ? Status.State
      : native().lucet_instance_stack_read(this.#instance, address, block.address, length);
    if (status !== Status.Ok)
      throw new RangeError(`${length} bytes at ${address} are not in the guest's stack`);
    return block.u8.slice(0, length);
  }

  /** @throws RangeError, and nothing is written */
  writeStack(address: number, bytes: Uint8Array): void {
    const block = new Block(bytes.length);
    block.u8.set(bytes);
    const status = this.#over
      ? Status.State
      : native().lucet_instance_stack_write(this.#instance, address, block.address, bytes.length);
    if (status !== Status.Ok)
      throw new RangeError(`${bytes.length} bytes at ${address} are not in the guest's stack`);
  }
}

/** How to go on: freely, or for one instruction. */
export type StopAction = 'continue' | 'step';
export type StopHandler = (stop: Stop) => StopAction | Promise<StopAction>;
