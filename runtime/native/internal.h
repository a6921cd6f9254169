/**
 * What the files of the runtime share.
 *
 * Who holds whom: an instance holds its module, its region's slot and (group.c) the instances it refers to. An
 * activation is one run of guest code, from the host's call to its end; it lies on the stack of one instance.
 * The memory of an instance, the C side included, is its slot's (region.h).
 */
#ifndef LUCET_INTERNAL_H
#define LUCET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "exceptions.h"
#include "lucet.h"
#include "objects.h"
#include "region.h"
#include "run.h"

#define NONE UINT32_MAX
#define NO_MAX UINT64_MAX
/**
 * The only page size of the machines and systems that guarded regions are made for; checked when a region is created.
 */
#define HOST_PAGE 4096u
#define WASM_PAGE_LOG2 16u

static inline uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* ---- error.c */

lucet_status lucet_fail(lucet_error *error, lucet_status code, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static inline lucet_status lucet_ok(lucet_error *error) {
  if (error != NULL) {
    error->code = LUCET_OK;
    error->trap = 0;
    error->offset = 0;
    error->message[0] = 0;
  }
  return LUCET_OK;
}

/* ---- xxhash.c */

struct xxh32 {
  uint32_t v[4];
  uint8_t tail[16];
  uint32_t tail_length;
  uint64_t total;
};
void lucet_xxh32_init(struct xxh32 *x);
void lucet_xxh32_update(struct xxh32 *x, const uint8_t *p, size_t n);
uint32_t lucet_xxh32_final(const struct xxh32 *x);

/* ---- cpu_x64.c */

/** Features of `needed` (bits of CPU_FEATURES) that this processor, or this system, lacks. */
uint64_t lucet_cpu_missing(uint64_t needed);
const char *lucet_cpu_feature_name(unsigned bit);
/** Bytes that the signal frame's extended state can take. */
size_t lucet_xsave_size(void);
/**
 * Components of it that are restored, once lucet_xsave_size was called; 0: the processor has no XSAVE. Read by
 * stack_x64.S.
 */
extern uint32_t lucet_xrstor_mask __attribute__((visibility("hidden")));

/** Where the extended state has the rights register of protection keys; 0: the system uses none. */
extern uint32_t lucet_pkru_offset __attribute__((visibility("hidden")));

/* ---- signature.c: process-wide ids of function types */

/** 0: out of memory. `types` are the parameters, then the results. */
uint32_t lucet_signature_intern(const uint8_t *types, uint32_t params, uint32_t results);
void lucet_signature_release(uint32_t id);
/** The type directly above one that has just got its id; whoever holds the one holds the other. */
void lucet_signature_set_super(uint32_t id, uint32_t super);
/** Is it the other type, or below it? */
bool lucet_signature_matches(uint32_t id, uint32_t other);
struct signature_counts {
  /** Types that have holders. */
  uint32_t held;
  /** Types for which there is memory: as many as were held at one time. */
  uint32_t records;
  /** Types that were looked at, in all, to find others. */
  uint64_t compared;
};
/** For tests. */
void lucet_signature_counts(struct signature_counts *c);

/* ---- reftype.c: exact value types (ValType in compiler/wasm/module.ts) */

static inline uint32_t valtype_base(uint32_t code) { return code & 0xff; }
static inline bool valtype_nonnull(uint32_t code) { return (code & LUCET_VAL_TYPE_NON_NULL) != 0; }
/** Of a concrete type: a type of the module. */
static inline uint32_t valtype_index(uint32_t code) { return code >> 9; }
/**
 * Number types, or LUCET_FUNCREF, LUCET_EXTERNREF, LUCET_EXNREF, LUCET_ANYREF; 0: no such type. The index of a concrete
 * type must be one of the module.
 */
struct metadata;
uint32_t lucet_valtype_erased(const struct metadata *m, uint32_t code);
/** Is `sub`, of module a, a subtype of `sup`, of module b? */
bool lucet_valtype_matches(const lucet_module *a, uint32_t sub, const lucet_module *b, uint32_t sup);
/** Is a value that the host hands to `i` of that type of module `m`? Null, typed functions and objects can be wrong. */
bool lucet_valtype_holds(struct lucet_instance *i, const lucet_module *m, uint32_t code, uint64_t word);
/** The same for all parameters, or results, of a type of its own module. */
bool lucet_valtypes_hold(struct lucet_instance *i, const lucet_module *m, uint32_t type, bool results, const uint64_t *words);

/* ---- artifact.c: the metadata, after it has been checked */

struct metadata {
  uint8_t *bytes;
  size_t size;
  const struct lucet_artifact_header *header;
  const struct lucet_type_record *types;
  const struct lucet_function_record *functions;
  const struct lucet_import_record *imports;
  const struct lucet_export_record *exports;
  const struct lucet_memory_record *memories;
  const struct lucet_table_record *tables;
  const struct lucet_global_record *globals;
  const struct lucet_elem_record *elems;
  const struct lucet_elem_item *elem_items;
  const struct lucet_data_record *data;
  const struct lucet_escaping_record *escaping;
  const uint8_t *type_bytes;
  const uint8_t *pc_map;
  const uint8_t *data_bytes;
  const uint8_t *strings;
  /** Compile options, as JSON text. */
  const char *options;
  uint32_t options_size;
  const uint8_t *const_code;
  const struct lucet_tag_record *tags;
  const struct lucet_debug_function_record *debug_functions;
  const struct lucet_debug_local_record *debug_locals;
  const struct lucet_sequence_point_record *sequence_points;
  const uint8_t *operand_types;
  const struct lucet_landing_record *landings;
  const struct lucet_try_scope_record *try_scopes;
  const struct lucet_catch_clause_record *catch_clauses;
  uint32_t type_count, function_count, import_count, export_count, memory_count, table_count, global_count, elem_count, elem_item_count,
      data_count, escaping_count, tag_count, imported_tags, landing_count, try_scope_count, catch_clause_count,
      debug_function_count, debug_local_count, sequence_point_count, operand_types_size;
  /** Of all instances: values of items that are evaluated once (ELEM_RECORD). */
  uint32_t elem_values;
  uint32_t type_bytes_size, pc_map_size, data_bytes_size, strings_size, const_code_size;
};

/**
 * Find the parts of the metadata and check every number in them against every other: afterwards nothing in it needs
 * another check, whoever wrote the file. `m->bytes`, `m->size` are given; `file_offset` is where they begin in the
 * file.
 */
lucet_status lucet_metadata_check(struct metadata *m, uint64_t file_offset, lucet_error *error);
/** Position of a function in the escaping list, or NONE. */
uint32_t lucet_metadata_escape(const struct metadata *m, uint32_t function);
const char *lucet_metadata_string(const struct metadata *m, uint32_t offset, uint32_t *length);

/* ---- prototype.c: what all instances of a module have in common */

struct prototype {
  /** Bytes of the host block: struct lucet_instance and its arrays (instance.c). */
  size_t host_size;
  /** The vmctx from its globals up to the base; fields that differ from instance to instance are zero. */
  uint8_t *vmctx;
  size_t vmctx_size;
  /** Are there globals whose first value isn't in `vmctx`? */
  bool late_globals;
  /** By data segment: dropped once the image is there. */
  bool *data_dropped;
  /** By element segment: dropped once tables are initialised. */
  bool *elem_dropped;
  /** The first contents of all tables follow from the module alone. */
  bool constant_tables;
  /** The module's own code may write its tables. */
  bool writes_tables;
  /**
   * With constant tables: by item of an active element segment, where its function is among the escaping ones; NONE:
   * null. Otherwise NULL.
   */
  uint32_t *elem_positions;
};

bool lucet_prototype_make(struct prototype *p, const lucet_module *m);
void lucet_prototype_free(struct prototype *p);

/* ---- loader.c, module.c */

struct lucet_module {
  struct metadata meta;
  atomic_uint references;
  /** One reservation that holds .text and .rodata at their distance. */
  uint8_t *image;
  size_t image_size;
  const uint8_t *text;
  /** Functions that have code, in code order. */
  uint32_t *code_order;
  uint32_t code_count;
  /** Process-wide id, words of the argument array, and whether a funcref is among them: for each type. */
  uint32_t *sig_ids;
  /** Ids of recursion groups, held for those of their types: at the group's first type, else 0. */
  uint32_t *group_ids;
  uint32_t *type_words;
  uint8_t *type_refs;
  /** Some type has parameters that a call must look at. */
  bool takes_references;
  /** Instances can make, catch or hold exceptions. */
  bool throws;
  /** debug.c: set places, and the mapping through which code is written. */
  struct breakpoint *breakpoints;
  uint32_t breakpoint_count;
  uint8_t *writable;
  /** It can't have that mapping. */
  bool private_code;
  /** Of all modules that were ever loaded, only this one has the number; never 0. */
  uint64_t serial;
  struct image heap_image;
  struct prototype prototype;
};

/** Of funcrefs, exnrefs and anyrefs: references that tie instances to each other. */
enum { TYPE_FUNCREF_PARAM = 1, TYPE_FUNCREF_RESULT = 2, TYPE_EXACT_PARAM = 4, TYPE_EXACT_RESULT = 8 };
/** Beside them: the instance has watchpoints. */
#define BINDING_WATCHED 16u

/** The function (or thunk) whose code holds the byte `offset` of .text, or NONE. */
uint32_t lucet_module_function_at(const lucet_module *m, uint32_t offset);

struct pc_entry {
  uint32_t pc;
  uint32_t wasm_offset;
  uint32_t trap;
  bool found;
};
/** The pc map's entry that holds at `pc`, counted from the function's start. */
struct pc_entry lucet_module_pc_entry(const lucet_module *m, uint32_t function, uint32_t pc);

/* ---- registry.c: where guest code lies */

bool lucet_registry_add(lucet_module *m);
void lucet_registry_remove(lucet_module *m);
/** The module whose code holds `pc`, or NULL. Not for signal handlers. */
lucet_module *lucet_registry_find(uint64_t pc);
/** The same question, lock-free and async-signal-safe. */
bool lucet_registry_is_guest(uint64_t pc);

/* ---- memory.c */

struct memory {
  uint8_t *base;
  /** The authoritative length in bytes: in the vmctx header for a primary memory, else `own_length`. */
  uint64_t *length;
  uint64_t own_length;
  /** Bytes from `base` that are readable and writable: the length, rounded up to host pages. */
  uint64_t open;
  /**
   * Address space from `base` on that belongs to this memory and to nothing else, and may be opened. The guard follows.
   */
  uint64_t reserved;
  /** In pages. */
  uint64_t max;
  uint64_t declared_max;
  uint32_t page_log2;
  uint32_t flags;
  /** Dense: all of `reserved` is accessible always, and the code checks. */
  bool all_open;
};

/** Address space behind `reserved` which is never accessible. */
#define HEAP_GUARD (64u << 10)

/** `base`, `length`, `open` and `reserved` of `m` are given. */
lucet_status lucet_memory_init(struct memory *m, const struct lucet_memory_record *type, const struct lucet_limits *limits, uint32_t index,
                               lucet_error *error);
/** Reserve address space for a memory that has none in its slot. NULL: none to be had. */
uint8_t *lucet_memory_reserve(uint64_t reserved);
void lucet_memory_unreserve(uint8_t *base, uint64_t reserved);
/** For the next instance: all zeros again. What can't be made so is given back to the system. */
void lucet_memory_recycle(struct memory *m);
/** Old size in pages, or -1. */
uint64_t lucet_memory_grow(struct memory *m, uint64_t delta);
/** Does [offset, offset + length) lie inside? */
bool lucet_memory_holds(const struct memory *m, uint64_t offset, uint64_t length);

/* ---- table.c */

/** In the vmctx: see TABLE_DESC in abi/vmctx.ts. */
struct table_desc {
  uint64_t *elements;
  uint64_t length;
  uint64_t max;
  uint64_t reserved;
};

struct table {
  struct table_desc *desc;
  /** In the host block: room for as many elements as the table has at the start. */
  uint64_t *home;
  uint64_t capacity;
  uint64_t declared_max;
  uint32_t element;
  uint32_t flags;
  /** Exact type of the elements, in terms of the owner. */
  uint32_t code;
  const lucet_module *owner;
  /** Whose it is. */
  struct lucet_instance *instance;
};

lucet_status lucet_table_init(struct table *t, const struct lucet_table_record *type, const struct lucet_limits *limits,
                              struct table_desc *desc, uint32_t index, lucet_error *error);
/** More elements at the start aren't allocated. */
#define MOST_ELEMENTS ((uint64_t)1 << 32)
lucet_status lucet_table_too_large(uint32_t index, uint64_t min, uint64_t max, lucet_error *error);
/** All elements become null. The table is in its home. */
void lucet_table_clear(struct table *t);
/** Give the elements their first values; globals have theirs. */
lucet_status lucet_initialise_tables(struct lucet_instance *i, lucet_error *error);
/** Give back what growing took. */
void lucet_table_shrink(struct table *t);
/** Old length, or -1. */
uint64_t lucet_table_grow(struct table *t, uint64_t delta, uint64_t value);

/* ---- instance.c, link.c */

struct lucet_funcref {
  const uint8_t *code;
  uint8_t *vmctx;
  uint32_t sig_id;
  uint32_t func_index;
  const uint8_t *entry;
};

/** What an imported function's entry points to when a host function is bound to it. */
struct binding {
  /** NULL: a hostcall of the embedder's. */
  lucet_host_function function;
  void *data;
  uint64_t id;
  /** TYPE_* of its type, and BINDING_WATCHED. */
  uint8_t refs;
};

/** Instances that live and die together: see group.c. Lies in one of them. */
struct group {
  struct lucet_instance *members;
  size_t size;
  /** Handles of the embedder and of importers in other groups. */
  _Atomic(size_t) references;
  /** The last one went while a member ran: the end of the run frees the group. */
  atomic_bool dying;
  /** Of the references, those of importers. */
  size_t importers;
  /** A member refers, or has referred, to an instance of another group. */
  atomic_bool holds;
  /** In the list of groups to be freed, or to be searched. */
  struct group *next;
  uint64_t visited;
  /** Code of members runs, or may come to run, on the stack of a dense slot. */
  bool dense_stacks;
  /** A member's code was compiled for guarded memory. */
  bool guarded_code;
  /** A member has tags, landing pads, or places for exnrefs. */
  bool throws;
  /** Not everything that may hold exceptions is known. */
  bool keeps_exceptions;
  struct exceptions exceptions;
};

/** The value of an embed context: see embed.c. */
struct embed_entry {
  const void *key;
  void *value;
  void (*drop)(void *value);
};

/** Lies in its slot's host block, the arrays behind it. */
struct lucet_instance {
  /* Of the slot and the module it is warm for: written when the host block is laid out, and kept. */
  lucet_region *region;
  struct slot *slot;
  lucet_module *module;
  uint8_t *base;

  /** Imported ones point into their owner. */
  struct memory **memories;
  struct table **tables;
  uint8_t **globals;
  struct memory *own_memories;
  uint32_t own_memory_count;
  struct table *own_tables;
  uint64_t (*imported_values)[2];
  struct lucet_funcref *funcrefs;
  /** Counted. */
  struct lucet_tag **tags;
  struct binding *bindings;
  bool *data_dropped;
  bool *elem_dropped;
  /** Of element segments that have values of their own. */
  uint64_t *elem_values;
  /** The first activation, which needs no allocation. */
  struct lucet_activation *first;
  /** The own tables' elements are null; they are as the module says. */
  bool tables_zero;
  bool tables_kept;
  /** All function references that active segments of constant tables name are made. */
  bool records_made;

  /* Of one instance: zero when it is made. `innermost` must stay the first of them. */
  struct lucet_activation *innermost;
  /**
   * `first`, unused or of the run that is under way, when the next call has nothing to look at but the thread: see
   * call.c.
   */
  struct lucet_activation *ready;
  /** That of the thread which runs it again and again; 0: the next call has something to look at. */
  uint64_t token;
  /**
   * Ready: `base`, if none of its functions takes references, and its calls leave the thread's floating-point modes
   * alone; otherwise NULL.
   */
  uint8_t *plain_base;
  /** NULL until it is first run, or can be killed. */
  struct lucet_control *control;
  /** The same if they don't. */
  uint8_t *modes_base;
  struct lucet_activation *spare;
  /** Its calls leave the thread's floating-point modes as they are: see call.c. */
  bool keeps_modes;
  struct group *group;
  struct lucet_instance *group_next;
  struct group own_group;
  /** Not NULL: it has, or has had, watchpoints (watch.c). */
  _Atomic(struct watches *) watches;
  /** Instances of other groups that this one refers to: a handle is held on each. */
  struct lucet_instance **held;
  uint32_t held_count;
  uint32_t embed_count;
  struct embed_entry *embed;
  /** Nanoseconds that each run may take; 0: any. */
  uint64_t timeout;
  lucet_signal_handler on_signal;
  void *on_signal_data;
  lucet_fatal_handler on_fatal;
  void *on_fatal_data;
  /** READY, FAULTED or TERMINATED: how the last run ended. */
  uint32_t rest;
  bool start_pending;
  bool poisoned;
  /** lucet_instance_set_wasi_yields */
  bool wasi_yields;
  /** A table of its own was, or may have been, written by others than its code. */
  bool tables_touched;
  /**
   * Host functions of the embedder's have asked for this instance, or for addresses in its memory: any thread may have
   * them.
   */
  bool told;
  /** It was made and run by the thread that frees it, and nobody else could touch its memory. */
  bool sole;
  /** The region's, or smaller. */
  struct lucet_limits limits;
  void *data;
  /** What WASI functions without a context of their own use; NULL: none. */
  struct lucet_wasi_ctx *wasi;
  struct objects objects;
  /** Of the last trap; NULL: there was none yet. */
  struct trap_record *trap;
  bool trap_valid;
};

#define VMCTX_FIELD(base, offset, type) (*(type *)(void *)((base) - (offset)))

static inline struct lucet_instance *instance_of(const uint8_t *base) {
  return *(struct lucet_instance *const *)(const void *)(base - LUCET_VMCTX_INSTANCE);
}
static inline uint64_t funcref_word(const struct lucet_funcref *f) { return (uint64_t)(uintptr_t)f; }
static inline const struct lucet_funcref *funcref_of(uint64_t word) { return (const struct lucet_funcref *)(uintptr_t)word; }

/** Bytes of the host block of an instance of that module. */
size_t lucet_instance_host_size(const struct metadata *d);
/** Give back what a host block holds of the system for the module that its slot is warm for. */
void lucet_host_block_drop(struct lucet_instance *host);
/** Fill in the entries of all imports. The instance's own entities have their places, but no contents yet. */
lucet_status lucet_link(struct lucet_instance *i, const lucet_import *imports, uint32_t count, lucet_error *error);
/** Write the vmctx's entries of imported memories, tables and globals anew. */
void lucet_link_again(struct lucet_instance *i);
/** The function reference of a function that escapes. */
struct lucet_funcref *lucet_instance_funcref(struct lucet_instance *i, uint32_t function);

/**
 * For the WASI functions: `wasi` of the calling instance; and whether the embedder of this run waits in their place
 * (lucet_instance_set_wasi_yields).
 */
struct lucet_wasi_ctx *lucet_vmctx_wasi(lucet_vmctx *vm);
bool lucet_vmctx_wasi_yields(lucet_vmctx *vm);

/* ---- segments.c: shared by instantiation and the builtins. What returns a number returns a trap code or 0. */

uint32_t lucet_data_init(struct lucet_instance *i, uint32_t memory, uint32_t segment, uint64_t dst, uint64_t src, uint64_t n);
uint32_t lucet_elem_init(struct lucet_instance *i, uint32_t table, uint32_t segment, uint64_t dst, uint64_t src, uint64_t n);
/** Active element segments (if `tables`), then the active data segments that the image lacks. */
uint32_t lucet_initialise_segments(struct lucet_instance *i, bool tables, bool *data, uint32_t *segment);
lucet_status lucet_initialise_globals(struct lucet_instance *i, lucet_error *error);
/** Evaluate the items of element segments that are to be evaluated once. */
lucet_status lucet_initialise_elems(struct lucet_instance *i, lucet_error *error);

/* ---- group.c */

/** A group of its own, to which the caller has a handle. */
void lucet_group_new(struct lucet_instance *i);
/** All code that its runs can come to is its own, and does the same in any floating-point modes. */
bool lucet_group_keeps_modes(const struct lucet_instance *i);
/**
 * References may flow either way from now on: the two live and die together. False: code of one can't run on a stack of
 * the other.
 */
bool lucet_group_unite(struct lucet_instance *a, struct lucet_instance *b);
/** `i` refers to `other`, but `other` never to `i`. LUCET_ERROR_LINK: as above; LUCET_ERROR_RESOURCES. */
lucet_status lucet_group_hold(struct lucet_instance *i, struct lucet_instance *other);
/** Does it hold for an instance that code of `i` may have references into? */
bool lucet_group_any(struct lucet_instance *i, bool (*holds)(struct lucet_instance *, const void *), const void *data);
/** Nobody else can have references into it, but for the host. */
bool lucet_group_alone(const struct lucet_instance *i);
/** A function reference was handed to `i`. False: it can't be, as above. */
bool lucet_group_adopt(struct lucet_instance *i, uint64_t funcref);
/** Can code of both come to run, or to change, one and the same instance? Then the two must not run at a time. */
bool lucet_groups_meet(struct group *a, struct group *b);
/**
 * The last handle was given back by a host function of a run that has ended: free the group, unless another member
 * runs.
 */
static inline bool lucet_group_dying(const struct lucet_instance *i) { return atomic_load_explicit(&i->group->dying, memory_order_relaxed); }
void lucet_group_leave(struct lucet_instance *i);
void lucet_instance_free(struct lucet_instance *i);
/** The instance with that base, if it is `i` or one that code of `i` can call; NULL otherwise. */
struct lucet_instance *lucet_group_find(struct lucet_instance *i, uint64_t base);

/* ---- block.c */

/** The arguments of a host function that the embedder is to carry out, to the block. */
void lucet_block_tell(lucet_call_block *b);

/* ---- embed.c */

void lucet_embed_free(struct lucet_instance *i);

/* ---- divide_x64.c */

/**
 * The divisor of the (i)div at which `a` faulted. False: no such instruction, or its operand isn't where a divisor can
 * be.
 */
bool lucet_divisor(const struct lucet_activation *a, const struct machine_state *m, struct lucet_instance *i, uint64_t *divisor);

/* ---- unwind_x64.c */

struct cursor {
  const struct lucet_activation *activation;
  uint64_t pc;
  uint64_t sp;
  /** `pc` is the instruction itself, not a return address. */
  bool exact;
  lucet_module *module;
  uint32_t function;
  /** Stack pointer behind the function's prologue. */
  uint64_t frame;
  /**
   * Callee-saved registers and base at `pc`, in the order of lucet_activation.saved; not in a frame that faulted, nor
   * where that is not known.
   */
  uint64_t saved[6];
};
enum { SAVED_BASE = 5 };

/**
 * The innermost frame of an activation: at `m`, or at the call of the runtime when that is NULL. False: it isn't in
 * guest code.
 */
bool lucet_unwind_start(struct cursor *c, const struct lucet_activation *a, const struct machine_state *m);
/** The caller's frame; false at the end of the activation. */
bool lucet_unwind_next(struct cursor *c);
/** Where a function stands with its frame. */
struct frame_shape {
  /** Bytes from the stack pointer to the return address. */
  uint32_t depth;
  /** Bytes of stack arguments above the return address: the return pops them. */
  uint32_t args;
};
/** The shape when `pc` is about to be executed. */
struct frame_shape lucet_unwind_shape(const lucet_module *m, uint32_t function, uint64_t pc);
/** Is the instruction at `pc`, in the module's code, a failed check's call of the trap stub? */
bool lucet_trap_call_at(const lucet_module *m, uint64_t pc);
/**
 * The stack pointer of the caller as it was at its call, from where the callee's arguments end and the return address.
 */
uint64_t lucet_unwind_caller_sp(const lucet_module *m, uint32_t function, uint64_t pc, uint64_t args_end);
/** Are [address, address + size) part of the stack that `a` runs on? */
bool lucet_stack_holds(const struct lucet_activation *a, uint64_t address, uint64_t size);

/* ---- trap.c */

/**
 * Begin the trap info of the activation's instance, before its stack is used again; returns the trap code, or 0 when
 * guest code can't rightly fault that way. `m`: where it faulted, to be exchanged for another state that may be
 * written; NULL: it called the runtime, which raised `code`.
 */
uint32_t lucet_trap_describe(const struct lucet_activation *a, uint32_t code, struct machine_state **m);
/** The guest goes on where it faulted: `m` gets what describe took. False: there is nothing, or no memory. */
bool lucet_trap_take_back(struct lucet_instance *i, struct machine_state **m);
void lucet_trap_free(struct lucet_instance *i);

#endif
