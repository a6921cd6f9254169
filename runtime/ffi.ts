/**
 * The border to liblucet.so: every C function that the runtime calls and every C struct that it reads, declared once
 * (runtime/native/lucet.h).
 *
 * Addresses are JavaScript numbers: user addresses are below 2^47, so they are exact. Structs live in one shared block
 * whose address C is told; a field is read from a typed array, which costs a fraction of a conversion by koffi. The
 * block is used only between a call and the reading of what it left, so nested and suspended runs may share it.
 */
import koffi from 'koffi';
import { libraryPath } from './library.ts';

/** All pointers of ours are `uintptr_t`: koffi passes a number through. */
interface Functions {
  lucet_module_load_file(path: string, out: number, error: number): number;
  lucet_module_load_bytes(bytes: Uint8Array, length: number, out: number, error: number): number;
  lucet_module_release(module: number): void;
  lucet_module_import_count(module: number): number;
  lucet_module_export_count(module: number): number;
  lucet_module_import(module: number, number: number, out: number): number;
  lucet_module_export(module: number, number: number, out: number): number;
  lucet_module_name(module: number, length: number): number;
  lucet_module_function_name(module: number, func: number, length: number): number;
  lucet_module_code(module: number, length: number): number;
  lucet_module_hash(module: number): number;
  lucet_limits_default(limits: number): void;
  lucet_limits_default_dense(limits: number): void;
  lucet_region_create_with(capacity: number, options: number, out: number, error: number): number;
  lucet_region_release(region: number): void;
  lucet_region_used_slots(region: number): number;
  lucet_region_free_slots(region: number): number;
  lucet_instance_new_with(
    region: number,
    module: number,
    imports: number,
    count: number,
    options: number,
    out: number,
    error: number,
  ): number;
  lucet_instance_reset(instance: number, error: number): number;
  lucet_instance_slot(instance: number): number;
  lucet_instance_state(instance: number): number;
  lucet_instance_instruction_count(instance: number): number | bigint;
  lucet_instance_set_instruction_bound(instance: number, count: bigint): void;
  lucet_instance_release(instance: number): void;
  lucet_instance_memory(instance: number, memory: number, length: number): number;
  lucet_instance_memory_grow(instance: number, memory: number, delta: number): number;
  lucet_instance_global_get(instance: number, global: number, value: number): number;
  lucet_instance_global_set(instance: number, global: number, value: number): number;
  lucet_instance_table_size(instance: number, table: number): number;
  lucet_instance_table_get(instance: number, table: number, index: number, value: number): number;
  lucet_instance_table_set(instance: number, table: number, index: number, value: number): number;
  lucet_instance_table_grow(instance: number, table: number, delta: number, value: number): number;
  lucet_instance_function(instance: number, func: number): number;
  lucet_funcref_type(func: number, params: number, results: number): number;
  lucet_funcref_index(func: number): number;
  lucet_funcref_instance(func: number): number;
  lucet_signals_changed(): void;
  lucet_instance_needs_start(instance: number): number;
  lucet_instance_run_start(instance: number, event: number, error: number): number;
  lucet_instance_call(instance: number, func: number, args: number, event: number, error: number): number;
  lucet_wasi_waiting(instance: number, wait: BigUint64Array): number;
  lucet_instance_resume(instance: number, event: number, error: number): number;
  lucet_block_call(block: number): void;
  lucet_block_resume(block: number): void;
  lucet_block_run(call: number, command: number, input: Uint8Array | null, length: number): void;
  lucet_instance_resume_throw(instance: number, exception: number, event: number, error: number): number;
  lucet_instance_abort(instance: number, error: number): number;
  lucet_instance_tag(instance: number, tag: number): number;
  lucet_tag_types(tag: number, params: number): number;
  lucet_exception_new(instance: number, tag: number, values: number, out: number, error: number): number;
  lucet_exception_tag(exception: number): number;
  lucet_exception_values(exception: number): number;
  lucet_exception_retain(exception: number): void;
  lucet_exception_release(exception: number): void;
  lucet_instance_trap_info(instance: number): number;
  lucet_module_set_breakpoint(module: number, offset: number, error: number): number;
  lucet_module_clear_breakpoint(module: number, offset: number, error: number): number;
  lucet_instance_backtrace(instance: number, frames: number, limit: number): number;
  lucet_instance_registers(instance: number): number;
  lucet_instance_step(instance: number, error: number): number;
  lucet_instance_set_watchpoint(instance: number, number: number, watchpoint: number, error: number): number;
  lucet_instance_clear_watchpoint(instance: number, number: number): void;
  lucet_instance_watchpoint_hit(instance: number, number: number, before: number, after: number): number;
  lucet_instance_watchpoint_status(instance: number, number: number, error: number): number;
  lucet_instance_stack_read(instance: number, address: number, to: number, length: number): number;
  lucet_instance_stack_write(instance: number, address: number, from: number, length: number): number;
  lucet_instance_set_timeout(instance: number, nanoseconds: number): void;
  lucet_instance_set_wasi_yields(instance: number, yields: number): void;
  lucet_instance_set_signal_handler(instance: number, handler: number, data: number): void;
  lucet_instance_set_fatal_handler(instance: number, handler: number, data: number): void;
  lucet_instance_kill_switch(instance: number, out: number, error: number): number;
  lucet_kill_switch_terminate(killSwitch: number): number;
  lucet_kill_switch_pause(killSwitch: number): number;
  lucet_kill_switch_retain(killSwitch: number): void;
  lucet_kill_switch_release(killSwitch: number): void;
  lucet_pool_create(options: number, out: number, error: number): number;
  lucet_pool_release(pool: number): void;
  lucet_pool_call(
    pool: number,
    instance: number,
    func: number,
    args: number,
    id: number,
    error: number,
  ): number;
  lucet_pool_run_start(pool: number, instance: number, id: number, error: number): number;
  lucet_pool_resume(pool: number, instance: number, value: number, id: number, error: number): number;
  lucet_pool_resume_throw(
    pool: number,
    instance: number,
    exception: number,
    id: number,
    error: number,
  ): number;
  lucet_pool_take(pool: number, events: number, limit: number): number;
  lucet_pool_descriptor(pool: number): number;
  lucet_assemblyscript_lookup(module: string, name: string, signature: [string | null]): number;
  lucet_assemblyscript_told(instance: number, text: Uint8Array): number;
}

/** Result and parameters of each, in koffi's names. `p` stands for an address. */
const SIGNATURES: Record<keyof Functions, readonly [result: string, ...params: string[]]> = {
  lucet_module_load_file: ['int', 'str', 'p', 'p'],
  lucet_module_load_bytes: ['int', 'const void *', 'size_t', 'p', 'p'],
  lucet_module_release: ['void', 'p'],
  lucet_module_import_count: ['uint32_t', 'p'],
  lucet_module_export_count: ['uint32_t', 'p'],
  lucet_module_import: ['int', 'p', 'uint32_t', 'p'],
  lucet_module_export: ['int', 'p', 'uint32_t', 'p'],
  lucet_module_name: ['p', 'p', 'p'],
  lucet_module_function_name: ['p', 'p', 'uint32_t', 'p'],
  lucet_module_code: ['p', 'p', 'p'],
  lucet_module_hash: ['p', 'p'],
  lucet_limits_default: ['void', 'p'],
  lucet_limits_default_dense: ['void', 'p'],
  lucet_region_create_with: ['int', 'uint32_t', 'p', 'p', 'p'],
  lucet_region_release: ['void', 'p'],
  lucet_region_used_slots: ['uint32_t', 'p'],
  lucet_region_free_slots: ['uint32_t', 'p'],
  lucet_instance_new_with: ['int', 'p', 'p', 'p', 'uint32_t', 'p', 'p', 'p'],
  lucet_instance_reset: ['int', 'p', 'p'],
  lucet_instance_slot: ['uint32_t', 'p'],
  lucet_instance_state: ['int', 'p'],
  lucet_instance_instruction_count: ['uint64_t', 'p'],
  lucet_instance_set_instruction_bound: ['void', 'p', 'uint64_t'],
  lucet_instance_release: ['void', 'p'],
  lucet_instance_memory: ['p', 'p', 'uint32_t', 'p'],
  lucet_instance_memory_grow: ['int64_t', 'p', 'uint32_t', 'uint64_t'],
  lucet_instance_global_get: ['int', 'p', 'uint32_t', 'p'],
  lucet_instance_global_set: ['int', 'p', 'uint32_t', 'p'],
  lucet_instance_table_size: ['uint64_t', 'p', 'uint32_t'],
  lucet_instance_table_get: ['int', 'p', 'uint32_t', 'uint64_t', 'p'],
  lucet_instance_table_set: ['int', 'p', 'uint32_t', 'uint64_t', 'uint64_t'],
  lucet_instance_table_grow: ['int64_t', 'p', 'uint32_t', 'uint64_t', 'uint64_t'],
  lucet_instance_function: ['p', 'p', 'uint32_t'],
  lucet_funcref_type: ['p', 'p', 'p', 'p'],
  lucet_funcref_index: ['uint32_t', 'p'],
  lucet_funcref_instance: ['p', 'p'],
  lucet_signals_changed: ['void'],
  lucet_instance_needs_start: ['int', 'p'],
  lucet_instance_run_start: ['int', 'p', 'p', 'p'],
  lucet_instance_call: ['int', 'p', 'p', 'p', 'p', 'p'],
  lucet_wasi_waiting: ['int', 'p', 'uint64_t *'],
  lucet_instance_resume: ['int', 'p', 'p', 'p'],
  // A number takes less time than an address.
  lucet_block_call: ['void', 'double'],
  lucet_block_resume: ['void', 'double'],
  lucet_block_run: ['void', 'double', 'double', 'const void *', 'size_t'],
  lucet_instance_resume_throw: ['int', 'p', 'p', 'p', 'p'],
  lucet_instance_abort: ['int', 'p', 'p'],
  lucet_instance_tag: ['p', 'p', 'uint32_t'],
  lucet_tag_types: ['p', 'p', 'p'],
  lucet_exception_new: ['int', 'p', 'p', 'p', 'p', 'p'],
  lucet_exception_tag: ['p', 'p'],
  lucet_exception_values: ['p', 'p'],
  lucet_exception_retain: ['void', 'p'],
  lucet_exception_release: ['void', 'p'],
  lucet_instance_trap_info: ['p', 'p'],
  lucet_module_set_breakpoint: ['int', 'p', 'uint32_t', 'p'],
  lucet_module_clear_breakpoint: ['int', 'p', 'uint32_t', 'p'],
  lucet_instance_backtrace: ['uint32_t', 'p', 'p', 'uint32_t'],
  lucet_instance_registers: ['p', 'p'],
  lucet_instance_step: ['int', 'p', 'p'],
  lucet_instance_set_watchpoint: ['int', 'p', 'uint32_t', 'p', 'p'],
  lucet_instance_clear_watchpoint: ['void', 'p', 'uint32_t'],
  lucet_instance_watchpoint_hit: ['int', 'p', 'uint32_t', 'p', 'p'],
  lucet_instance_watchpoint_status: ['int', 'p', 'uint32_t', 'p'],
  lucet_instance_stack_read: ['int', 'p', 'p', 'p', 'size_t'],
  lucet_instance_stack_write: ['int', 'p', 'p', 'p', 'size_t'],
  lucet_instance_set_timeout: ['void', 'p', 'uint64_t'],
  lucet_instance_set_wasi_yields: ['void', 'p', 'int'],
  lucet_instance_set_signal_handler: ['void', 'p', 'p', 'p'],
  lucet_instance_set_fatal_handler: ['void', 'p', 'p', 'p'],
  lucet_instance_kill_switch: ['int', 'p', 'p', 'p'],
  lucet_kill_switch_terminate: ['int', 'p'],
  lucet_kill_switch_pause: ['int', 'p'],
  lucet_kill_switch_retain: ['void', 'p'],
  lucet_kill_switch_release: ['void', 'p'],
  lucet_pool_create: ['int', 'p', 'p', 'p'],
  lucet_pool_release: ['void', 'p'],
  lucet_pool_call: ['int', 'p', 'p', 'p', 'p', 'uint64_t', 'p'],
  lucet_pool_run_start: ['int', 'p', 'p', 'uint64_t', 'p'],
  lucet_pool_resume: ['int', 'p', 'p', 'p', 'uint64_t', 'p'],
  lucet_pool_resume_throw: ['int', 'p', 'p', 'p', 'uint64_t', 'p'],
  lucet_pool_take: ['uint32_t', 'p', 'p', 'uint32_t'],
  lucet_pool_descriptor: ['int', 'p'],
  lucet_assemblyscript_lookup: ['p', 'str', 'str', '_Out_ const char **'],
  lucet_assemblyscript_told: ['size_t', 'p', '_Out_ uint8_t *'],
};

/** Byte offsets of the fields of lucet.h's structs, and their sizes. A test compares them with the C compiler's. */
export const STRUCTS = {
  lucet_error: { size: 272, code: 0, trap: 4, offset: 8, message: 16 },
  lucet_extern: {
    size: 72,
    module: 0,
    name: 8,
    module_length: 16,
    name_length: 20,
    kind: 24,
    index: 28,
    types: 32,
    params: 40,
    results: 44,
    valtype: 48,
    flags: 52,
    min: 56,
    max: 64,
  },
  lucet_limits: {
    size: 48,
    heap_memory_size: 0,
    heap_address_space_size: 8,
    stack_size: 16,
    vmctx_size: 24,
    table_elements: 32,
    object_memory_size: 40,
  },
  lucet_region_options: { size: 32, kind: 0, strategy: 4, chooser: 8, chooser_data: 16, limits: 24 },
  lucet_instance_options: { size: 24, heap_memory_size: 0, table_elements: 8, data: 16 },
  lucet_import: { size: 48, kind: 0, index: 4, function: 8, data: 16, value: 16, signature: 32 },
  lucet_event: { size: 40, kind: 0, code: 4, instance: 8, args: 16, id: 24, words: 32 },
  lucet_call_block: {
    size: 848,
    instance: 0,
    function: 8,
    status: 16,
    words: 20,
    event: 24,
    args: 64,
    error: 576,
  },
  lucet_command: {
    size: 56,
    region: 0,
    module: 8,
    imports: 16,
    import_count: 24,
    export_: 28,
    options: 32,
    timeout: 40,
    wasi: 48,
  },
  lucet_command_block: {
    size: 104,
    command: 0,
    prepared: 56,
    truncated: 60,
    instance: 64,
    room: 72,
    room_size: 80,
    output: 88,
  },
  lucet_pool_event: { size: 64, id: 0, instance: 8, status: 16, event: 24 },
  lucet_pool_options: { size: 16, threads: 0, slice: 8 },
  lucet_frame: { size: 40, module: 0, pc: 8, sp: 16, kind: 24, function: 28, wasm_offset: 32, count: 36 },
  lucet_watchpoint: { size: 24, kind: 0, index: 4, address: 8, length: 16, reads: 20 },
  lucet_trap_info: {
    size: 232,
    code: 0,
    signal: 4,
    module: 8,
    pc: 16,
    function: 24,
    wasm_offset: 28,
    fault_address: 32,
    memory: 40,
    total_frames: 44,
    memory_offset: 48,
    memory_length: 56,
    registers: 64,
    frames: 208,
    frame_count: 224,
  },
} as const;

/** enum lucet_status */
export const enum Status {
  Ok = 0,
  Io = 1,
  Format = 2,
  Version = 3,
  Checksum = 4,
  Cpu = 5,
  Limit = 6,
  Link = 7,
  Trap = 8,
  State = 9,
  Resources = 10,
  Argument = 11,
  RegionFull = 12,
  YieldType = 13,
}

/** enum lucet_region_kind */
export const enum RegionKind {
  Guarded = 0,
  Dense = 1,
}

/** enum lucet_slot_strategy */
export const enum SlotStrategy {
  Linear = 0,
  Random = 1,
  Custom = 2,
}

/** enum lucet_import_kind */
export const enum ImportKind {
  Native = 1,
  Hostcall = 2,
  Export = 3,
  Value = 4,
  Funcref = 5,
}

/** enum lucet_event_kind */
export const enum EventKind {
  Returned = 0,
  Trapped = 1,
  Hostcall = 2,
  Terminated = 3,
  Faulted = 4,
  Yielded = 5,
  Interrupted = 6,
  BoundExpired = 7,
  Exception = 8,
  Stopped = 9,
}

/** enum lucet_state: those that only the native side knows of. */
export const enum NativeState {
  Terminating = 4,
  BoundExpired = 8,
}

/** enum lucet_reason */
export const enum Reason {
  Provided = 0,
  Exit = 1,
  Aborted = 2,
  Remote = 3,
  Timeout = 4,
  Signal = 5,
  Resources = 6,
}

/** enum lucet_kill_result */
export const KILL_RESULTS = ['Signalled', 'Pending', 'Cancelled', 'NotTerminable', 'Invalid'] as const;

/** enum lucet_frame_kind */
export const enum FrameKind {
  Wasm = 0,
  Host = 1,
  Elided = 2,
  Waiting = 3,
}

/** Memory of JavaScript's that C may read and write: never moves, and lives as long as this object. */
export class Block {
  readonly buffer: ArrayBuffer;
  readonly address: number;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;

  constructor(bytes: number) {
    // Below a page V8 may put the bytes into its own, moving heap.
    this.buffer = new ArrayBuffer(Math.max(4096, (bytes + 7) & ~7));
    this.u8 = new Uint8Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.i64 = new BigInt64Array(this.buffer);
    this.u64 = new BigUint64Array(this.buffer);
    this.f32 = new Float32Array(this.buffer);
    this.f64 = new Float64Array(this.buffer);
    this.address = native().addressOf(this.u8, 0, 0);
  }

  /** A 64-bit word that is an address or a size: exact below 2^53. */
  word(byte: number): number {
    return this.u32[byte >> 2]! + this.u32[(byte >> 2) + 1]! * 2 ** 32;
  }

  setWord(byte: number, value: number): void {
    this.u32[byte >> 2] = value >>> 0;
    this.u32[(byte >> 2) + 1] = Math.floor(value / 2 ** 32);
  }
}

export interface Native extends Functions {
  /** memmove, three times over: by which of the two is memory of JavaScript's. */
  addressOf(bytes: Uint8Array, source: number, length: 0): number;
  copyOut(target: Uint8Array, source: number, length: number): number;
  copyIn(target: number, source: Uint8Array, length: number): number;
  copy(target: number, source: number, length: number): number;
}

let library: Native | null = null;

/** @throws LoadError when there is no library */
export function native(): Native {
  return (library ??= load());
}

function load(): Native {
  const lib = koffi.load(libraryPath());
  const type = (t: string): string => (t === 'p' ? 'uintptr_t' : t);
  const functions: Record<string, unknown> = {};
  for (const [name, [result, ...params]] of Object.entries(SIGNATURES)) {
    functions[name] = lib.func(name, type(result), params.map(type));
  }
  const libc = koffi.load(null);
  functions.addressOf = libc.func('memmove', 'uintptr_t', ['void *', 'uintptr_t', 'size_t']);
  functions.copyOut = functions.addressOf;
  functions.copyIn = libc.func('memmove', 'uintptr_t', ['uintptr_t', 'const void *', 'size_t']);
  functions.copy = libc.func('memmove', 'uintptr_t', ['uintptr_t', 'uintptr_t', 'size_t']);
  const loaded = functions as unknown as Native;
  watchSignals(loaded);
  return loaded;
}

/** Signals by which guests trap. */
const TRAP_SIGNALS: ReadonlySet<string | symbol> = new Set([
  'SIGSEGV',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
  // It is no trap, but interrupts guests.
  'SIGURG',
]);

/** `process.on(signal)` and its end replace the native handler: the runtime must put its own back in front. */
function watchSignals({ lucet_signals_changed }: Native): void {
  const changed = (name: string | symbol): void => {
    if (TRAP_SIGNALS.has(name)) lucet_signals_changed();
  };
  process.on('newListener', changed);
  process.on('removeListener', changed);
}

/** Where each struct lies in the shared block. */
const OUT = 0;
const EVENT = 64;
/** lucet_call_block; its error serves all functions. */
const CALL = 1024;
const ERROR = CALL + STRUCTS.lucet_call_block.error;
const EXTERN = 512;
const LIMITS = 640;
const OPTIONS = 704;

/** The shared block, with the address of each part of it. */
export interface Shared {
  readonly block: Block;
  readonly out: number;
  readonly event: number;
  readonly call: number;
  readonly error: number;
  readonly extern: number;
  readonly limits: number;
  readonly options: number;
}

/** Byte offsets in the shared block of what the addresses in Shared point to. */
export const AT = { OUT, EVENT, CALL, ERROR, EXTERN, LIMITS, OPTIONS } as const;

let block: Shared | null = null;

export function shared(): Shared {
  if (block === null) {
    const b = new Block(4096);
    block = {
      block: b,
      out: b.address + OUT,
      event: b.address + EVENT,
      call: b.address + CALL,
      error: b.address + ERROR,
      extern: b.address + EXTERN,
      limits: b.address + LIMITS,
      options: b.address + OPTIONS,
    };
  }
  return block;
}

/** The message of the last error. */
export function errorMessage(): string {
  const { u8 } = shared().block;
  const start = ERROR + STRUCTS.lucet_error.message;
  const end = u8.indexOf(0, start);
  return new TextDecoder().decode(u8.subarray(start, end));
}

/** Copies bytes out of native memory. */
export function bytesAt(address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (length > 0) native().copyOut(bytes, address, length);
  return bytes;
}

/** Names may begin with U+FEFF, which is no byte order mark here. */
const names = new TextDecoder('utf-8', { ignoreBOM: true });

export function stringAt(address: number, length: number): string {
  return length === 0 ? '' : names.decode(bytesAt(address, length));
}
