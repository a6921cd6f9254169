/**
 * The vmctx: all that generated code can reach without an argument.
 *
 * One pinned register (`regs.ts`: r15 on x86-64) holds the **base**. The primary memory (the first memory
 * the module *defines*) starts at the base and grows upwards; the vmctx lies directly below the base and grows
 * downwards. So one register serves both: heap accesses are `[base + u32 index + u31 disp]`, vmctx
 * fields are `[base - k]`. A guest's address is never negative, so no heap access reaches the vmctx.
 *
 *      base - vmctxSize ................ lowest address of the vmctx (page aligned)
 *          function imports  24 bytes each   (ImportEntry)
 *          globals           16 bytes each   (own: the value; imported: a pointer to the owner's 16 bytes)
 *          tables            32 bytes each   (own: TableDesc; imported: pointer to the owner's TableDesc)
 *          memories          16 bytes each   (MemoryEntry)
 *      base - HEADER_SIZE .............. header, fields below, all reachable with an 8-bit displacement
 *      base ............................ first byte of the primary memory
 *
 * All offsets below are *subtracted* from the base for header fields, and added to an entry's address for
 * entry fields.
 */

/** Header fields: address = base - value. Every field is 8 bytes. */
export const VMCTX = {
  /** Length of the primary memory in bytes (u64). 0 when the module defines none. */
  MEMORY_LENGTH: 8,
  /** `lucet_instance *` that owns this vmctx. */
  INSTANCE: 16,
  /** Code address of the builtin stub: `eax` = builtin id, arguments as in BUILTIN_ARGS. */
  BUILTIN_STUB: 24,
  /** Code address of the hostcall stub: `eax` = function import index, `rdx` = address of the argument array. */
  HOSTCALL_STUB: 32,
  /** `const uint32_t *`: process-wide signature id of each of the module's types. */
  SIG_IDS: 40,
  /**
   * `lucet_funcref *`: one record for each *escaping* function, in escape order (see artifact.ts). Records are filled
   * when first needed: one whose SIG_ID is 0 is still empty, and the builtin make_funcref fills it.
   */
  FUNCREFS: 48,
  /**
   * Where dense code finds the lowest address that the stack pointer may have: the offset, from the thread pointer, of
   * a thread-local u64. It belongs to the thread and not to the vmctx, since a function of one instance may run on the
   * stack of another, which called it.
   */
  STACK_LIMIT: 56,
  /** Instructions counted so far, and the bound at which to yield (`--count-instructions`). */
  INSTRUCTION_COUNT: 64,
  INSTRUCTION_BOUND: 72,
  /**
   * Code address of the trap stub: a failed check calls it, and it never returns. What failed is told by the pc map's
   * entry for that call.
   */
  TRAP_STUB: 80,
} as const;

/**
 * Bytes of stack that the runtime keeps below the limit which dense code compares with. They hold what code writes
 * before it compares, or without comparing (backend/x64/frame.ts): a return address, the pushes of a prologue, small
 * frames of functions that call nothing but the trap stub.
 */
export const STACK_RED_AREA = 512;

/** Bytes of the header; 88..128 are reserved (zero). */
export const VMCTX_HEADER_SIZE = 128;

/** Entry of a function import: base - importsOffset + 24 * index. At a call, rax = address of the entry. */
export const IMPORT_ENTRY = { SIZE: 24, CODE: 0, VMCTX: 8, DATA: 16 } as const;

/** Entry of any memory, own or imported: `base` never moves; `*length` is the authoritative byte length. */
export const MEMORY_ENTRY = { SIZE: 16, BASE: 0, LENGTH_PTR: 8 } as const;

/**
 * Descriptor of an own table, inline in the vmctx. `BASE` points to 8-byte elements: funcref = address of a funcref
 * record or 0; externref = opaque nonzero handle or 0; anyref: see objects.ts. An imported table's entry holds, in its
 * first 8 bytes, the address of the owner's descriptor.
 */
export const TABLE_DESC = { SIZE: 32, BASE: 0, LENGTH: 8, MAX: 16, RESERVED: 24 } as const;
export const TABLE_ELEMENT_SIZE = 8;

/** Globals: own ones hold the value inline; imported ones hold a pointer to the owner's 16 bytes. */
export const GLOBAL_ENTRY_SIZE = 16;

/**
 * A function reference is the address of one of these (or 0 for null); records are 32 bytes.
 * Address 0..4095 is never mapped, so reading SIG_ID of a null reference faults: that load *is* the null check.
 */
export const FUNCREF = {
  SIZE: 32,
  /** Code address, in the wasm calling convention. */
  CODE: 0,
  /** The base (vmctx) that must be in the pinned register when CODE runs. */
  VMCTX: 8,
  /** Process-wide signature id (u32). Equal ids <=> equal types; never 0. */
  SIG_ID: 16,
  /** Function index in its module (u32). */
  FUNC_INDEX: 20,
  /** Code address of the entry thunk for the signature: `rdi` = argument array, `rsi` = CODE. */
  ENTRY: 24,
} as const;

/**
 * Where the variable part of a vmctx lies. Offsets are subtracted from the base; each array grows upwards from there.
 */
export interface VmctxLayout {
  readonly memories: number;
  readonly tables: number;
  readonly globals: number;
  readonly imports: number;
  /** Total bytes below the base, a multiple of 16. */
  readonly size: number;
}

/** Counts include imported entities. */
export function layoutVmctx(counts: {
  memories: number;
  tables: number;
  globals: number;
  funcImports: number;
}): VmctxLayout {
  const memories = VMCTX_HEADER_SIZE + counts.memories * MEMORY_ENTRY.SIZE;
  const tables = memories + counts.tables * TABLE_DESC.SIZE;
  const globals = tables + counts.globals * GLOBAL_ENTRY_SIZE;
  const imports = (globals + counts.funcImports * IMPORT_ENTRY.SIZE + 15) & ~15;
  return { memories, tables, globals, imports, size: imports };
}
