/**
 * Builtins: operations that generated code leaves to the C runtime. They run on the host's stack, but for what is said
 * of the last two.
 *
 * Calling one: integer arguments in rsi, rdx, rcx, r8, r9 (SysV, with rdi taken by the vmctx), `eax` = id, call
 * `[base - VMCTX.BUILTIN_STUB]`; result in rax. Every SysV caller-saved register is clobbered. A builtin that traps
 * does not return; the trap's place is the return address.
 *
 * Each is `uint64_t lucet_builtin_NAME(uint8_t *base, uint64_t a, …)`; i32 arguments arrive zero-extended.
 */
export interface Builtin {
  readonly name: string;
  /** Number of 64-bit arguments after the vmctx: at most 5. */
  readonly args: number;
  readonly doc: string;
}

/** The id of a builtin is its index: append only. */
export const BUILTINS: readonly Builtin[] = [
  { name: 'memory_grow', args: 2, doc: '(memory, delta pages) -> old pages, or -1 (all ones, 64 bit)' },
  { name: 'memory_fill', args: 4, doc: '(memory, dst, byte, n): traps HeapOutOfBounds' },
  {
    name: 'memory_copy',
    args: 5,
    doc: '(dst memory | src memory << 32, dst, src, n, 0): traps HeapOutOfBounds',
  },
  { name: 'memory_init', args: 5, doc: '(memory, segment, dst, src, n): traps HeapOutOfBounds' },
  { name: 'data_drop', args: 1, doc: '(segment)' },
  { name: 'table_grow', args: 3, doc: '(table, init, delta) -> old length, or -1 (all ones, 64 bit)' },
  { name: 'table_fill', args: 4, doc: '(table, dst, value, n): traps TableOutOfBounds' },
  { name: 'table_copy', args: 5, doc: '(dst table, src table, dst, src, n): traps TableOutOfBounds' },
  { name: 'table_init', args: 5, doc: '(table, segment, dst, src, n): traps TableOutOfBounds' },
  { name: 'elem_drop', args: 1, doc: '(segment)' },
  {
    name: 'make_funcref',
    args: 1,
    doc: '(position in escape order) -> address of the funcref record, filled',
  },
  {
    name: 'signature_matches',
    args: 2,
    doc: '(signature id, other) -> 1 if the type is the other one or below it, else 0',
  },
  { name: 'throw', args: 2, doc: '(tag, address of its values as in an argument array): does not return' },
  { name: 'throw_ref', args: 1, doc: '(exception): does not return; traps NullReference' },
  {
    name: 'yield_bound',
    args: 0,
    doc: '() when INSTRUCTION_COUNT has reached INSTRUCTION_BOUND: suspends the activation',
  },
  {
    name: 'memory_copy_own',
    args: 3,
    doc: "(dst, src, n) within the primary memory: traps HeapOutOfBounds. Few bytes are copied on the guest's stack",
  },
  {
    name: 'memory_fill_own',
    args: 3,
    doc: "(dst, byte, n) of the primary memory: traps HeapOutOfBounds. Few bytes are filled on the guest's stack",
  },
];

const ids = new Map(BUILTINS.map((b, i) => [b.name, i]));

export function builtinId(name: string): number {
  const id = ids.get(name);
  if (id === undefined) throw new Error(`no builtin ${name}`);
  return id;
}
