/**
 * The record of a fault: one form for the command line, the editor and the debugger. It is plain data, good for JSON.
 */
import { TRAPS } from '../compiler/abi/traps.ts';
import { bytesAt, FrameKind, STRUCTS } from './ffi.ts';
import { type Module, moduleAt } from './module.ts';
import { type SourcePosition, sourceLookup } from './source.ts';

/** Bump when a field changes its meaning. */
export const TRAP_REPORT_VERSION = 1;

export interface ReportFrame {
  /** host: here a host function was called which called the guest again. elided: `count` frames were left out. */
  readonly kind: 'wasm' | 'host' | 'elided';
  readonly moduleName: string;
  readonly functionIndex: number;
  /** Empty: unknown. */
  readonly functionName: string;
  /** Byte offset in the wasm module. */
  readonly wasmOffset: number;
  readonly source: SourcePosition | null;
  /** elided: number of frames. */
  readonly count: number;
}

export interface TrapReport {
  readonly version: typeof TRAP_REPORT_VERSION;
  /** trap: the guest's own fault. exception: thrown, and not caught. fault: generated code faulted where it can't, a defect of the compiler or the runtime. */
  readonly kind: 'trap' | 'exception' | 'fault';
  /** Name of the trap code: "HeapOutOfBounds". */
  readonly code: string;
  /** "out of bounds memory access" */
  readonly message: string;
  readonly moduleName: string;
  /** The artifact's path, if it was loaded from a file. */
  readonly modulePath: string | null;
  /** First 16 bytes of the SHA-256 of the wasm module, in hex; empty: unknown. */
  readonly moduleHash: string;
  /** null: the trap has no place in the code (a segment that does not fit). */
  readonly functionIndex: number | null;
  readonly functionName: string;
  readonly wasmOffset: number | null;
  readonly source: SourcePosition | null;
  /** Memory access that trapped, where it is known. */
  readonly access: {
    readonly memory: number;
    /** Byte offset in the memory, decimal. */
    readonly offset: string;
    /** Size of the memory in bytes. */
    readonly memorySize: number;
  } | null;
  /** Number of the signal, or 0 when no fault raised it. */
  readonly signal: number;
  /** Addresses in hex; null: not a fault. */
  readonly faultAddress: string | null;
  readonly pc: string;
  /** x86-64, in hex; empty unless `signal`. */
  readonly registers: Readonly<Record<string, string>>;
  /** Innermost first. */
  readonly frames: readonly ReportFrame[];
  /** Frames of the whole backtrace; `frames` may have fewer. */
  readonly totalFrames: number;
}

const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
  'rip',
  'rflags',
];
const INFO = STRUCTS.lucet_trap_info;
const FRAME = STRUCTS.lucet_frame;
const ALL_ONES_32 = 0xffff_ffff;
const ALL_ONES_64 = 0xffff_ffff_ffff_ffffn;

function hex(n: bigint): string {
  return `0x${n.toString(16)}`;
}

/** A frame as the native side tells it. */
interface RawFrame {
  readonly module: Module | null;
  readonly kind: FrameKind;
  readonly functionIndex: number;
  readonly functionName: string;
  readonly wasmOffset: number;
  readonly count: number;
}

/** What the native side tells of a fault, copied at once: it is gone when the instance runs again. Names and lines are for later. */
export class RawTrap {
  readonly #info: DataView;
  readonly #module: Module | null;
  readonly #frames: readonly RawFrame[];

  /** @param address of a lucet_trap_info */
  constructor(address: number) {
    this.#info = viewAt(address, INFO.size);
    this.#module = moduleAt(this.#address(INFO.module));
    const count = this.#u32(INFO.frame_count);
    const frames = viewAt(this.#address(INFO.frames), count * FRAME.size);
    this.#frames = Array.from({ length: count }, (_, i) => readFrame(frames, i * FRAME.size));
  }

  get code(): number {
    return this.#u32(INFO.code);
  }

  report(kind: TrapReport['kind']): TrapReport {
    const info = this.#info;
    const { name, message } = trapWords(this.code);
    const module = this.#module;
    const wasmOffset = this.#u32(INFO.wasm_offset);
    const functionIndex = this.#u32(INFO.function);
    const memory = this.#u32(INFO.memory);
    const signal = this.#u32(INFO.signal);
    const fault = info.getBigUint64(INFO.fault_address, true);
    return {
      version: TRAP_REPORT_VERSION,
      kind,
      code: name,
      message,
      moduleName: module?.label ?? '',
      modulePath: module?.path ?? null,
      moduleHash: module?.hash ?? '',
      functionIndex,
      functionName: module?.functionName(functionIndex) ?? '',
      wasmOffset,
      source: module && sourceLookup(module, wasmOffset),
      access:
        memory === ALL_ONES_32
          ? null
          : {
              memory,
              offset: info.getBigUint64(INFO.memory_offset, true).toString(),
              memorySize: Number(info.getBigUint64(INFO.memory_length, true)),
            },
      signal,
      faultAddress: fault === ALL_ONES_64 ? null : hex(fault),
      pc: hex(info.getBigUint64(INFO.pc, true)),
      registers: signal === 0 ? {} : this.#registers(),
      frames: this.#frames.map(reportFrame),
      totalFrames: this.#u32(INFO.total_frames),
    };
  }

  #registers(): Record<string, string> {
    const at = (i: number): bigint => this.#info.getBigUint64(INFO.registers + i * 8, true);
    return Object.fromEntries(REGISTERS.map((name, i) => [name, hex(at(i))]));
  }

  #u32(offset: number): number {
    return this.#info.getUint32(offset, true);
  }

  #address(offset: number): number {
    return Number(this.#info.getBigUint64(offset, true));
  }
}

/** A report that was made without debug information (by the lucet-wasi executable), with the positions that the module's tells. */
export function withSources(report: TrapReport, module: Module | null): TrapReport {
  // The module may have been compiled anew since.
  if (module === null || module.hash !== report.moduleHash) return report;
  const source = (offset: number | null): SourcePosition | null =>
    offset === null ? null : sourceLookup(module, offset);
  return {
    ...report,
    source: source(report.wasmOffset),
    frames: report.frames.map(f => (f.kind === 'wasm' ? { ...f, source: source(f.wasmOffset) } : f)),
  };
}

/** The report of a trap that has no place in the code: a segment that doesn't fit, while instantiating. */
export function placelessReport(code: number, module: Module): TrapReport {
  const { name, message } = trapWords(code);
  return {
    version: TRAP_REPORT_VERSION,
    kind: 'trap',
    code: name,
    message,
    moduleName: module.label,
    modulePath: module.path,
    moduleHash: module.hash,
    functionIndex: null,
    functionName: '',
    wasmOffset: null,
    source: null,
    access: null,
    signal: 0,
    faultAddress: null,
    pc: '0x0',
    registers: {},
    frames: [],
    totalFrames: 0,
  };
}

export function trapWords(code: number): { readonly name: string; readonly message: string } {
  const trap = TRAPS[code];
  return { name: trap?.name ?? 'Unknown', message: trap?.spec ?? `trap code ${code}` };
}

function viewAt(address: number, length: number): DataView {
  return new DataView(bytesAt(address, length).buffer);
}

function readFrame(view: DataView, at: number): RawFrame {
  const kind = view.getUint32(at + FRAME.kind, true);
  const module = moduleAt(Number(view.getBigUint64(at + FRAME.module, true)));
  const functionIndex = view.getUint32(at + FRAME.function, true);
  return {
    module,
    kind,
    functionIndex,
    functionName: kind === FrameKind.Wasm && module ? module.functionName(functionIndex) : '',
    wasmOffset: view.getUint32(at + FRAME.wasm_offset, true),
    count: view.getUint32(at + FRAME.count, true),
  };
}

const FRAME_KINDS = ['wasm', 'host', 'elided'] as const;

function reportFrame(frame: RawFrame): ReportFrame {
  const { module } = frame;
  return {
    kind: FRAME_KINDS[frame.kind] ?? 'wasm',
    moduleName: module?.label ?? '',
    functionIndex: frame.functionIndex,
    functionName: frame.functionName,
    wasmOffset: frame.wasmOffset,
    source: module && frame.kind === FrameKind.Wasm ? sourceLookup(module, frame.wasmOffset) : null,
    count: frame.count,
  };
}
