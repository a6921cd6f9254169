/** A fault as the native side records it, made into plain facts; and the state of the instance that trapped. */
import { AT, bytesAt, FrameKind, native, STRUCTS, Status, shared } from './ffi.ts';
import type { Module } from './module.ts';
import { funcTypeAt, moduleAt } from './module.ts';
import { type ModuleSymbols, openSymbols } from './symbols.ts';
import { type FactFrame, type FactModule, type GuestState, NO_STATE, type TrapFacts } from './trap-facts.ts';
import { makeReport, type TrapReport } from './trap-report.ts';
import { showFuncType } from './types.ts';

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

function viewAt(address: number, length: number): DataView {
  return new DataView(bytesAt(address, length).buffer);
}

/** An address: exact below 2^53. */
function wordAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** The instance that trapped, as long as nothing has run in it since. */
export interface TrappedInstance {
  readonly module: Module;
  /** The native handle; 0: it has been run again, or given back. */
  handle(): number;
}

/**
 * What the native side tells of a fault, copied at once: it is gone when the instance runs again. Many a trap is caught
 * and forgotten, so everything that takes asking, names of functions included, is left for when somebody wants to know.
 */
export class RawTrap {
  readonly #info: DataView;
  readonly #modules: Module[] = [];
  readonly #records: DataView;
  /**
   * By frame: its module's position, or -1. Modules are looked up at once: another one may come to lie at the address.
   */
  readonly #moduleOf: readonly number[];
  #frames: readonly FactFrame[] | null = null;
  readonly #instance: TrappedInstance;

  /** @param address of a lucet_trap_info. @param aborted see TrapFacts */
  constructor(
    address: number,
    instance: TrappedInstance,
    private readonly aborted: string | null = null,
  ) {
    this.#info = viewAt(address, INFO.size);
    this.#instance = instance;
    const count = this.#u32(INFO.frame_count);
    const records = viewAt(this.#address(INFO.frames), count * FRAME.size);
    this.#records = records;
    const moduleOf: number[] = [];
    for (let at = FRAME.module; at < records.byteLength; at += FRAME.size) {
      moduleOf.push(this.#module(wordAt(records, at)));
    }
    this.#moduleOf = moduleOf;
  }

  get code(): number {
    return this.#u32(INFO.code);
  }

  #module(address: number): number {
    const module = moduleAt(address);
    if (module === null) return -1;
    const known = this.#modules.indexOf(module);
    return known >= 0 ? known : this.#modules.push(module) - 1;
  }

  #frame(index: number, number: number): FactFrame {
    const view = this.#records;
    const at = number * FRAME.size;
    const kind = view.getUint32(at + FRAME.kind, true);
    const module = this.#modules[index];
    const functionIndex = view.getUint32(at + FRAME.function, true);
    const wasm = kind === FrameKind.Wasm && module !== undefined && !module.disposed;
    return {
      kind: kind as FactFrame['kind'],
      module: index,
      functionIndex,
      functionName: wasm ? module.functionName(functionIndex) : '',
      wasmOffset: view.getUint32(at + FRAME.wasm_offset, true),
      textOffset: wasm ? wordAt(view, at + FRAME.pc) - module.code.address : -1,
      count: view.getUint32(at + FRAME.count, true),
    };
  }

  facts(kind: TrapFacts['kind']): TrapFacts {
    const info = this.#info;
    const memory = this.#u32(INFO.memory);
    const signal = this.#u32(INFO.signal);
    const fault = info.getBigUint64(INFO.fault_address, true);
    const module = this.#module(this.#address(INFO.module));
    return {
      kind,
      code: this.code,
      modules: this.#modules.map(factModule),
      module,
      functionIndex: this.#u32(INFO.function),
      wasmOffset: this.#u32(INFO.wasm_offset),
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
      frames: (this.#frames ??= this.#moduleOf.map((module, i) => this.#frame(module, i))),
      totalFrames: this.#u32(INFO.total_frames),
      aborted: this.aborted,
    };
  }

  report(kind: TrapReport['kind']): TrapReport {
    const facts = this.facts(kind);
    return makeReport(facts, m => symbolsOf(this.#modules[facts.modules.indexOf(m)]!), this.state(facts));
  }

  /**
   * The state of the instance; nothing, if the code that trapped is another's (instances that are linked share a
   * stack).
   */
  state(facts: TrapFacts): GuestState {
    return this.#modules[facts.module] === this.#instance.module ? instanceState(this.#instance) : NO_STATE;
  }

  #registers(): Record<string, string> {
    const at = (i: number): bigint => this.#info.getBigUint64(INFO.registers + i * 8, true);
    return Object.fromEntries(REGISTERS.map((name, i) => [name, hex(at(i))]));
  }

  #u32(offset: number): number {
    return this.#info.getUint32(offset, true);
  }

  #address(offset: number): number {
    return wordAt(this.#info, offset);
  }
}

function factModule(module: Module): FactModule {
  return { label: module.label, path: module.path, hash: module.hash };
}

/** null: there is nothing to be known. */
const opened = new WeakMap<Module, ModuleSymbols | null>();

/** Symbols of a loaded module: its artifact is read when they are first asked for. */
export function symbolsOf(module: Module): ModuleSymbols | null {
  let symbols = opened.get(module);
  if (symbols === undefined) {
    const { path, hash } = module;
    const folder = module.sourceFolder;
    symbols = openSymbols({ bytes: module.sourceBytes, path, hash }, folder === null ? {} : { folder });
    opened.set(module, symbols);
  }
  return symbols;
}

/** Reads the state of an instance; all null when it is gone. */
export function instanceState(instance: TrappedInstance): GuestState {
  const memoryAt = (memory: number): { base: number; size: number } | null => {
    const handle = instance.handle();
    if (handle === 0) return null;
    const base = native().lucet_instance_memory(handle, memory, shared().out);
    return base === 0 ? null : { base, size: shared().block.word(AT.OUT) };
  };
  return {
    memory(memory, address, length) {
      const m = memoryAt(memory);
      if (m === null || !(address >= 0 && address + length <= m.size)) return null;
      return bytesAt(m.base + address, length);
    },
    memorySize: memory => memoryAt(memory)?.size ?? null,
    global(index) {
      const handle = instance.handle();
      if (handle === 0) return null;
      const { block, out } = shared();
      if (native().lucet_instance_global_get(handle, index, out) !== Status.Ok) return null;
      return block.u64[AT.OUT >> 3]!;
    },
    tableSize(table) {
      const handle = instance.handle();
      return handle === 0 ? null : native().lucet_instance_table_size(handle, table);
    },
    tableElement(table, index) {
      const handle = instance.handle();
      if (handle === 0) return null;
      const { block, out } = shared();
      if (native().lucet_instance_table_get(handle, table, index, out) !== Status.Ok) return null;
      const record = block.u64[AT.OUT >> 3]!;
      if (record === 0n) return { functionIndex: null, record, signature: '' };
      const types = native().lucet_funcref_type(Number(record), out, out + 4);
      const [params, results] = block.u32.subarray(AT.OUT >> 2);
      return {
        functionIndex: native().lucet_funcref_index(Number(record)),
        record,
        signature: showFuncType(funcTypeAt(types, params!, results!)),
      };
    },
  };
}
