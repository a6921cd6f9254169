/**
 * What the native side knows of a fault, as plain data. A report (trap-report.ts) is made of these facts, of what is
 * known of the modules (symbols.ts) and of the guest's state; that it is JSON lets another process make the report: the
 * native `lucet-wasi` writes the facts, and whoever has Node turns them into text.
 */

export interface FactModule {
  /** From the name section, else the file's name. */
  readonly label: string;
  readonly path: string | null;
  /** First 16 bytes of the SHA-256 of the wasm module, in hex; empty: unknown. */
  readonly hash: string;
}

export interface FactFrame {
  /** 0 wasm, 1 host: a host function called the guest again, 2 elided: `count` frames were left out. */
  readonly kind: 0 | 1 | 2;
  /** Index in TrapFacts.modules; -1: none. */
  readonly module: number;
  readonly functionIndex: number;
  /** Empty: unknown. */
  readonly functionName: string;
  readonly wasmOffset: number;
  /** Offset in .text; -1: unknown. Behind a call, except in the innermost frame. */
  readonly textOffset: number;
  readonly count: number;
}

export interface TrapFacts {
  /**
   * trap: the guest's own fault. exception: it threw what nothing caught. fault: generated code faulted where it can't.
   */
  readonly kind: 'trap' | 'exception' | 'fault';
  /** Trap code. */
  readonly code: number;
  readonly modules: readonly FactModule[];
  /** Of the innermost frame; -1: the trap has no place in the code. */
  readonly module: number;
  readonly functionIndex: number;
  readonly wasmOffset: number;
  readonly access: {
    readonly memory: number;
    /** First byte that could not be reached; decimal. */
    readonly offset: string;
    /** Bytes. */
    readonly memorySize: number;
  } | null;
  readonly signal: number;
  /** In hex with 0x; null: not a fault of an access. */
  readonly faultAddress: string | null;
  readonly pc: string;
  /** By name, in hex with 0x; empty: no fault raised it. */
  readonly registers: Readonly<Record<string, string>>;
  /** Innermost first. */
  readonly frames: readonly FactFrame[];
  /** Frames of the whole backtrace. */
  readonly totalFrames: number;
  /**
   * What the program told the host as it gave up, with the place ("message, at file:line:column"); null: it has told
   * nothing.
   */
  readonly aborted?: string | null;
}

/** The state of the guest that trapped, as far as it is still there. Every answer may be null: not known. */
export interface GuestState {
  memory(memory: number, address: number, length: number): Uint8Array | null;
  /** Bytes. */
  memorySize(memory: number): number | null;
  /** Raw bits. */
  global(index: number): bigint | null;
  tableSize(table: number): number | null;
  /** What an element of a table of functions is. `record`: the machine's address of it. */
  tableElement(table: number, index: number): TableElement | null;
}

interface TableElement {
  /** null: a null reference. */
  readonly functionIndex: number | null;
  readonly record: bigint;
  /** As text: `(i32) -> i64`. */
  readonly signature: string;
}

/** A state that is gone. */
export const NO_STATE: GuestState = {
  memory: () => null,
  memorySize: () => null,
  global: () => null,
  tableSize: () => null,
  tableElement: () => null,
};

/** A copy of parts of a guest's state, for facts that travel. */
export interface StateCopy {
  readonly memorySizes: readonly number[];
  /** Raw bits, in hex with 0x. */
  readonly globals: readonly string[];
  /** Elements: function index (-1: null), and address of the record in hex; as many as matter. */
  readonly tables: readonly {
    readonly size: number;
    readonly elements: readonly (readonly [functionIndex: number, record: string])[];
  }[];
}

/** Reads from a copy: what was not copied is not known. */
export function stateOf(
  copy: StateCopy,
  sources: {
    /** Contents of memory 0. */
    readonly memory?: (address: number, length: number) => Uint8Array | null;
    readonly signature: (functionIndex: number) => string;
  },
): GuestState {
  return {
    memory(memory, address, length) {
      const size = copy.memorySizes[memory] ?? 0;
      if (memory !== 0 || !(address >= 0 && address + length <= size)) return null;
      return sources.memory?.(address, length) ?? null;
    },
    memorySize: memory => copy.memorySizes[memory] ?? null,
    global(index) {
      const text = copy.globals[index];
      return text === undefined ? null : BigInt(text);
    },
    tableSize: table => copy.tables[table]?.size ?? null,
    tableElement(table, index) {
      const element = copy.tables[table]?.elements[index];
      if (element === undefined) return null;
      const [functionIndex, record] = element;
      return functionIndex < 0
        ? { functionIndex: null, record: 0n, signature: '' }
        : { functionIndex, record: BigInt(record), signature: sources.signature(functionIndex) };
    },
  };
}
