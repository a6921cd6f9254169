/**
 * Lucet's C API: load modules compiled by lucetc, make instances of them, run them.
 *
 *     lucet_module *m;  lucet_region *r;  lucet_instance *i;  lucet_error e;  lucet_event ev;
 *     lucet_module_load_file("fib.so", &m, &e);
 *     lucet_region_create(8, NULL, &r, &e);
 *     lucet_instance_new(r, m, NULL, 0, &i, &e);
 *     uint64_t v[1] = {30};
 *     lucet_instance_call_export(i, lucet_module_find_export(m, "fib", 3), v, &ev, &e);
 *     // ev.kind == LUCET_EVENT_RETURNED, v[0] is the result
 *
 * Conventions. Fallible functions return a lucet_status (0 = success) and fill `error`, which may be NULL. All handles
 * are opaque and counted: what a function returns through a `**` argument is owned by the caller, who gives it back
 * with the matching `_release`.
 *
 * Values cross the border in arrays of 64-bit words: one word for each value, two for a v128, in order, parameters and
 * results in the same array from its start (so it must hold the larger of both). i32 and f32 use the low half of their
 * word; when the guest wrote it the high half is undefined. A funcref is the address of a lucet_funcref or 0; an exnref
 * that of a lucet_exception or 0; an externref is an opaque word of the embedder's, 0 is null. An anyref, of an object
 * of the guest's own or 0, is opaque too: it is valid until its instance is reset or gone, and only for instances that
 * could have been given it; any other word is refused.
 *
 * Threads. Modules and regions may be used by any number of threads. Instances that are linked to each other (by
 * imports, or by function references handed from one to another) form a group; a group may be used from any thread, but
 * from one at a time.
 *
 * Lifetime. The memory of an instance lives as long as any handle to an instance of its group; so no import, table
 * element or function reference ever dangles. A lucet_funcref lives as long as its instance.
 */
#ifndef LUCET_H
#define LUCET_H

#include <stddef.h>
#include <stdint.h>

/** Part of a function's type since C++17, no matter of C. */
#ifdef __cpp_noexcept_function_type
#define LUCET_NOEXCEPT noexcept
#else
#define LUCET_NOEXCEPT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LUCET_API __attribute__((visibility("default")))
#define LUCET_NORETURN __attribute__((noreturn))
#else
#define LUCET_API
#define LUCET_NORETURN
#endif
/**
 * Called by address, not by way of the jump table of the embedder's program, which takes a nanosecond; linked
 * statically, it is a plain call.
 */
#if defined(__has_attribute)
#if __has_attribute(noplt)
#define LUCET_FAST __attribute__((noplt))
#endif
#endif
#ifndef LUCET_FAST
#define LUCET_FAST
#endif

typedef struct lucet_module lucet_module;
typedef struct lucet_region lucet_region;
typedef struct lucet_instance lucet_instance;
typedef struct lucet_funcref lucet_funcref;
typedef struct lucet_tag lucet_tag;
typedef struct lucet_exception lucet_exception;
/** The calling instance, as a host function sees it. Valid during the hostcall only. */
typedef struct lucet_vmctx lucet_vmctx;

/* ---------------------------------------------------------------------------------------------------------------- Errors */

typedef enum lucet_status {
  LUCET_OK = 0,
  /** The file can't be read. */
  LUCET_ERROR_IO = 1,
  /** Not an artifact of lucetc, or a damaged one; `offset` says where. */
  LUCET_ERROR_FORMAT = 2,
  /** An artifact of another version of lucetc. */
  LUCET_ERROR_VERSION = 3,
  LUCET_ERROR_CHECKSUM = 4,
  /** For another kind of processor, or needs instructions this one doesn't have; the message names them. */
  LUCET_ERROR_CPU = 5,
  /** A limit of the region is too small for the module. */
  LUCET_ERROR_LIMIT = 6,
  /** An import is missing or of another type. */
  LUCET_ERROR_LINK = 7,
  /** Instantiation trapped (`trap` has the code). */
  LUCET_ERROR_TRAP = 8,
  /** The instance is in no state to do that. */
  LUCET_ERROR_STATE = 9,
  /** The system gave no memory, address space or file descriptor. */
  LUCET_ERROR_RESOURCES = 10,
  LUCET_ERROR_ARGUMENT = 11,
  /** All slots of the region are in use. */
  LUCET_ERROR_REGION_FULL = 12,
  /** A guest that yielded expects a value of another type; it still waits. */
  LUCET_ERROR_YIELD_TYPE = 13,
} lucet_status;

typedef struct lucet_error {
  /** lucet_status */
  int32_t code;
  /** LUCET_ERROR_TRAP: trap code; otherwise 0. */
  uint32_t trap;
  /** LUCET_ERROR_FORMAT: byte offset in the file. LUCET_ERROR_LINK: number of the import. Otherwise 0. */
  uint64_t offset;
  /** One sentence, UTF-8, always terminated. */
  char message[256];
} lucet_error;

/** Name of a trap code as in reports ("HeapOutOfBounds"), or "Unknown". */
LUCET_API const char *lucet_trap_name(uint32_t code);
/** The official test suite's wording of it ("out of bounds memory access"). */
LUCET_API const char *lucet_trap_message(uint32_t code);

/* ----------------------------------------------------------------------------------------------------------------- Types */

typedef enum lucet_valtype {
  LUCET_I32 = 1,
  LUCET_I64 = 2,
  LUCET_F32 = 3,
  LUCET_F64 = 4,
  LUCET_V128 = 5,
  LUCET_FUNCREF = 6,
  LUCET_EXTERNREF = 7,
  LUCET_ANYREF = 10,
  LUCET_EXNREF = 28,
} lucet_valtype;

typedef enum lucet_externkind {
  LUCET_EXTERN_FUNC = 0,
  LUCET_EXTERN_TABLE = 1,
  LUCET_EXTERN_MEMORY = 2,
  LUCET_EXTERN_GLOBAL = 3,
  LUCET_EXTERN_TAG = 4,
} lucet_externkind;

/** An import or an export with its type. Pointers are valid as long as the module. */
typedef struct lucet_extern {
  /** Imports only: module name (not terminated). */
  const char *module;
  const char *name;
  uint32_t module_length;
  uint32_t name_length;
  /** lucet_externkind */
  uint32_t kind;
  /** In the index space of its kind. */
  uint32_t index;
  /** Function: lucet_valtype of each parameter, then of each result. Tag: of each value. */
  const uint8_t *types;
  uint32_t params;
  uint32_t results;
  /** Global: type. Table: element type. */
  uint32_t valtype;
  /**
   * Global: 1 = mutable. Table, memory: bit 0 = 64-bit index, bit 1 = shared; memory: bits 8-15 = log2 of the page
   * size.
   */
  uint32_t flags;
  /** Table: elements; memory: pages. */
  uint64_t min;
  /** All ones: none. */
  uint64_t max;
} lucet_extern;

/* --------------------------------------------------------------------------------------------------------------- Modules */

LUCET_API lucet_status lucet_module_load_file(const char *path, lucet_module **module, lucet_error *error);
/** The bytes are copied as far as they are needed. */
LUCET_API lucet_status lucet_module_load_bytes(const void *bytes, size_t length, lucet_module **module, lucet_error *error);
LUCET_API void lucet_module_retain(lucet_module *module);
LUCET_API void lucet_module_release(lucet_module *module);

LUCET_API uint32_t lucet_module_import_count(const lucet_module *module);
LUCET_API uint32_t lucet_module_export_count(const lucet_module *module);
/** Returns 0, or LUCET_ERROR_ARGUMENT when there is no such import. */
LUCET_API lucet_status lucet_module_import(const lucet_module *module, uint32_t number, lucet_extern *import);
LUCET_API lucet_status lucet_module_export(const lucet_module *module, uint32_t number, lucet_extern *export_);
/** Number of the export with that name, or -1. */
LUCET_API int32_t lucet_module_find_export(const lucet_module *module, const char *name, size_t length);
/** Module name from the name section (not terminated); length 0: none. */
LUCET_API const char *lucet_module_name(const lucet_module *module, uint32_t *length);
/** Function name from the name section, else the name it is exported under; length 0: none. */
LUCET_API const char *lucet_module_function_name(const lucet_module *module, uint32_t function, uint32_t *length);
/** Where .text is mapped. */
LUCET_API const void *lucet_module_code(const lucet_module *module, size_t *length);
/** First 16 bytes of the SHA-256 of the wasm module. */
LUCET_API const uint8_t *lucet_module_hash(const lucet_module *module);
/** The options that it was compiled with, as JSON text (not terminated): "countInstructions" and others. */
LUCET_API const char *lucet_module_options(const lucet_module *module, uint32_t *length);

/* --------------------------------------------------------------------------------------------------------------- Regions */

typedef struct lucet_limits {
  /** Largest size in bytes of one memory. */
  uint64_t heap_memory_size;
  /** Address space reserved for each memory; at least the module's reserved size. */
  uint64_t heap_address_space_size;
  uint64_t stack_size;
  /** Largest vmctx: 16 bytes for each global, 32 for each table, 24 for each imported function, and so on. */
  uint64_t vmctx_size;
  /** Most elements of one table. */
  uint64_t table_elements;
  /** Most bytes of garbage-collected objects of one instance. */
  uint64_t object_memory_size;
} lucet_limits;

/** Fills in the defaults: 4 GiB, 8 GiB, 1 MiB, 1 MiB, 10,000,000 elements, 1 GiB. */
LUCET_API void lucet_limits_default(lucet_limits *limits);

/**
 * Fills in the defaults of dense regions: 1 MiB, 1 MiB (the two are one), 128 KiB, 64 KiB, 1,000,000 elements, 1 MiB.
 */
LUCET_API void lucet_limits_default_dense(lucet_limits *limits);

typedef enum lucet_region_kind {
  /** A reservation for each slot; accesses need no checks. For speed; up to 16,000 slots with the default limits. */
  LUCET_REGION_GUARDED = 0,
  /**
   * All slots side by side in one mapping; for modules compiled with `--memory dense`. For hundreds of thousands of
   * slots. A slot takes heap_memory_size + stack_size + vmctx_size + 4 KiB of address space (heap_address_space_size
   * isn't used), and page tables in proportion to the stretches of 2 MiB in which something was touched: small limits
   * make dense regions. Its instances can be linked only with code that was compiled that way, because calls among
   * linked instances run on the caller's stack.
   */
  LUCET_REGION_DENSE = 1,
} lucet_region_kind;

typedef enum lucet_slot_strategy {
  /** The slot that was used last for the same module: the fastest. */
  LUCET_SLOTS_LINEAR = 0,
  /** Any, so that guests can't foretell where they will be. */
  LUCET_SLOTS_RANDOM = 1,
  /** What `chooser` says. */
  LUCET_SLOTS_CUSTOM = 2,
} lucet_slot_strategy;

/**
 * Returns which of the `count` numbers in `free` (of slots, from 0) the next instance gets: its position. Must not use
 * the region.
 */
typedef uint32_t (*lucet_slot_chooser)(const uint32_t *free, uint32_t count, void *data);

typedef struct lucet_region_options {
  /** lucet_region_kind */
  lucet_region_kind kind;
  lucet_slot_strategy strategy;
  lucet_slot_chooser chooser;
  void *chooser_data;
  /** NULL: the defaults of the kind. */
  const lucet_limits *limits;
} lucet_region_options;

/**
 * A pool of `capacity` slots. Memory is taken when a slot is first used, and kept. `limits` may be NULL: defaults.
 * Guarded, linear.
 */
LUCET_API lucet_status lucet_region_create(uint32_t capacity, const lucet_limits *limits, lucet_region **region, lucet_error *error);
LUCET_API lucet_status lucet_region_create_with(uint32_t capacity, const lucet_region_options *options, lucet_region **region, lucet_error *error);
/** Gives the caller's handle back; the region goes when its last instance is gone. */
LUCET_API void lucet_region_release(lucet_region *region);
LUCET_API lucet_region_kind lucet_region_kind_of(const lucet_region *region);
LUCET_API uint32_t lucet_region_capacity(const lucet_region *region);
LUCET_API uint32_t lucet_region_used_slots(lucet_region *region);
LUCET_API uint32_t lucet_region_free_slots(lucet_region *region);

/* ------------------------------------------------------------------------------------------------------------- Instances */

/**
 * A native host function. Runs on the host's stack. Takes its arguments from `args` and leaves its results there, from the
 * start. It may call any function of this API, also the guest again.
 *
 * It returns, on the thread that called it, or leaves with lucet_vmctx_trap, _throw, _rethrow or _terminate, which abandon
 * its frames: destructors do not run. Nothing else may end it: past longjmp, setcontext or an exception of C++ the thread
 * would still be within the guest. Jumps and exceptions that stay within it are its own affair. One that its embedder is
 * to see is caught where the function begins and kept; lucet_vmctx_terminate ends the guest; and behind the call of the
 * guest it may be thrown again. In C++17 the type is noexcept: the compiler refuses functions that aren't, and an
 * exception that gets out of one ends the process (std::terminate).
 *
 * A coroutine that is switched away from within it has to come back before others on its thread leave a guest. To wait
 * without that, a function yields (lucet_vmctx_yield), or is the embedder's (LUCET_IMPORT_HOSTCALL).
 */
typedef void (*lucet_host_function)(lucet_vmctx *vm, uint64_t *args, void *data) LUCET_NOEXCEPT;

typedef enum lucet_import_kind {
  /** Not given: an error when the module imports it. */
  LUCET_IMPORT_MISSING = 0,
  /** `function`, `data`, `signature`. */
  LUCET_IMPORT_NATIVE = 1,
  /**
   * A function that the embedder carries out: a call suspends the guest with LUCET_EVENT_HOSTCALL. `id`, `signature`.
   */
  LUCET_IMPORT_HOSTCALL = 2,
  /** Export `index` of `instance`, of any kind. */
  LUCET_IMPORT_EXPORT = 3,
  /** An immutable global of type `index` (lucet_valtype) with the 16 bytes `value`. */
  LUCET_IMPORT_VALUE = 4,
  /** The function `funcref`. */
  LUCET_IMPORT_FUNCREF = 5,
} lucet_import_kind;

/** 48 bytes. One for each import of the module, in its order. */
typedef struct lucet_import {
  /** lucet_import_kind */
  uint32_t kind;
  uint32_t index;
  union {
    lucet_host_function function;
    lucet_instance *instance;
    lucet_funcref *funcref;
    uint64_t id;
  };
  union {
    struct {
      /** Handed to `function`. */
      void *data;
      uint64_t reserved;
    };
    uint64_t value[2];
  };
  /**
   * Type of a host function, to be checked: a letter for each parameter, ':', a letter for each result; i = i32, I =
   * i64, f = f32, F = f64, v = v128, r = funcref, e = externref, x = exnref, a = anyref. "iI:i" is (i32, i64) -> i32.
   * NULL: taken as the module says.
   */
  const char *signature;
  uint64_t reserved2;
} lucet_import;

/**
 * Allocate, link and initialise an instance: memories, tables, globals, active element segments, then active data
 * segments. The start function isn't run: see lucet_instance_needs_start. When a segment is out of bounds the status is
 * LUCET_ERROR_TRAP, and what was written before it into imported tables and memories stays.
 */
LUCET_API lucet_status lucet_instance_new(lucet_region *region, lucet_module *module, const lucet_import *imports, uint32_t import_count,
                                          lucet_instance **instance, lucet_error *error);

/** 0 in a field: the region's limit. What is larger than that counts as that. */
typedef struct lucet_instance_options {
  /** Largest size in bytes of one memory. */
  uint64_t heap_memory_size;
  /** Most elements of one table. */
  uint64_t table_elements;
  /** See lucet_instance_data. */
  void *data;
} lucet_instance_options;

/** The same with options; NULL: none. */
LUCET_API lucet_status lucet_instance_new_with(lucet_region *region, lucet_module *module, const lucet_import *imports, uint32_t import_count,
                                               const lucet_instance_options *options, lucet_instance **instance, lucet_error *error);
/**
 * Bring an instance back to where lucet_instance_new left it: memories, tables, globals, segments; the start function
 * is pending again. Suspended activations are aborted. What it imports keeps its contents, and its embed contexts stay.
 * LUCET_ERROR_STATE while it runs.
 */
LUCET_API lucet_status lucet_instance_reset(lucet_instance *instance, lucet_error *error);
/** Number of its slot in the region, from 0. */
LUCET_API uint32_t lucet_instance_slot(const lucet_instance *instance);
LUCET_API void lucet_instance_retain(lucet_instance *instance);
LUCET_API void lucet_instance_release(lucet_instance *instance);
LUCET_API lucet_module *lucet_instance_module(const lucet_instance *instance);
/** A word of the embedder's. */
LUCET_API void *lucet_instance_data(const lucet_instance *instance);
LUCET_API void lucet_instance_set_data(lucet_instance *instance, void *data);

/*
 * Embed contexts: values that host functions find again in the instance that calls them. A key is an address, by convention of a static
 * variable of whoever defines the context: `static const char my_key;`. One value for each key; `drop` (may be NULL) is called when the
 * value is replaced, or the instance goes.
 */

/** LUCET_ERROR_RESOURCES: no memory; then nothing has changed, and `value` stays the caller's. */
LUCET_API lucet_status lucet_instance_embed_insert(lucet_instance *instance, const void *key, void *value, void (*drop)(void *value));
/** NULL: there is none. */
LUCET_API void *lucet_instance_embed_get(const lucet_instance *instance, const void *key);
/** Takes it out without dropping it; NULL: there was none. */
LUCET_API void *lucet_instance_embed_remove(lucet_instance *instance, const void *key);

typedef enum lucet_state {
  /** The start function is still to be run. */
  LUCET_STATE_NOT_STARTED = 0,
  LUCET_STATE_READY = 1,
  /** A thread runs it. */
  LUCET_STATE_RUNNING = 2,
  /** The last run ended with TRAPPED. It can be run again. */
  LUCET_STATE_FAULTED = 3,
  /** It runs, or is suspended, and will end with TERMINATED instead of executing more of the guest. */
  LUCET_STATE_TERMINATING = 4,
  /** The last run ended with TERMINATED. It can be run again. */
  LUCET_STATE_TERMINATED = 5,
  /** A host function has asked to yield, and is about to return. */
  LUCET_STATE_YIELDING = 6,
  /* These wait for lucet_instance_resume or lucet_instance_abort; they may also be called again. */
  LUCET_STATE_YIELDED = 7,
  LUCET_STATE_BOUND_EXPIRED = 8,
  /** At a HOSTCALL. */
  LUCET_STATE_SUSPENDED = 9,
  LUCET_STATE_INTERRUPTED = 10,
  /** After LUCET_EVENT_FAULTED: never to be run again. */
  LUCET_STATE_POISONED = 11,
} lucet_state;
LUCET_API lucet_state lucet_instance_state(const lucet_instance *instance);

/**
 * Operators that the instance's own functions have run, if its module was compiled with --count-instructions: most
 * count 1, indirect calls and br_table 2, block, loop, else, end, nop and drop 0. Else 0.
 */
LUCET_API uint64_t lucet_instance_instruction_count(const lucet_instance *instance);
/**
 * The count from which on the guest yields, at its next call, return, br_table or branch back to a loop. Without a
 * bound it is UINT64_MAX.
 */
LUCET_API void lucet_instance_set_instruction_bound(lucet_instance *instance, uint64_t count);

/*
 * Entities are named by their index in the module's index space of their kind (lucet_extern.index), imported ones
 * included.
 */

LUCET_API void *lucet_instance_memory(lucet_instance *instance, uint32_t memory, uint64_t *length);
/** Old size in pages, or -1. */
LUCET_API int64_t lucet_instance_memory_grow(lucet_instance *instance, uint32_t memory, uint64_t delta);
LUCET_API lucet_status lucet_instance_global_get(const lucet_instance *instance, uint32_t global, uint64_t value[2]);
/** LUCET_ERROR_STATE when the global is immutable. */
LUCET_API lucet_status lucet_instance_global_set(lucet_instance *instance, uint32_t global, const uint64_t value[2]);
/**
 * Number of elements; 0 when there is no such table. Of a table that only indirect calls use, and nobody else can see,
 * elements can't be had: LUCET_ERROR_STATE, and it does not grow.
 */
LUCET_API uint64_t lucet_instance_table_size(const lucet_instance *instance, uint32_t table);
LUCET_API lucet_status lucet_instance_table_get(const lucet_instance *instance, uint32_t table, uint64_t index, uint64_t *value);
LUCET_API lucet_status lucet_instance_table_set(lucet_instance *instance, uint32_t table, uint64_t index, uint64_t value);
/** Old number of elements, or -1. */
LUCET_API int64_t lucet_instance_table_grow(lucet_instance *instance, uint32_t table, uint64_t delta, uint64_t value);
/** A function that escapes (is exported, in a table …); NULL for any other. */
LUCET_API lucet_funcref *lucet_instance_function(lucet_instance *instance, uint32_t function);
/** lucet_valtype of each parameter, then of each result; valid as long as the function's instance. */
LUCET_API const uint8_t *lucet_funcref_type(const lucet_funcref *function, uint32_t *params, uint32_t *results);
/** Function index in the module of the instance it belongs to. */
LUCET_API uint32_t lucet_funcref_index(const lucet_funcref *function);
LUCET_API lucet_instance *lucet_funcref_instance(const lucet_funcref *function);

/* --------------------------------------------------------------------------------------------------------------- Running */

typedef enum lucet_event_kind {
  /** The results are in the array. */
  LUCET_EVENT_RETURNED = 0,
  /** `code` = trap code; more in lucet_instance_trap_info. */
  LUCET_EVENT_TRAPPED = 1,
  /** A host function is to be carried out: read `args`, write the results over them, resume. */
  LUCET_EVENT_HOSTCALL = 2,
  /** `code` = lucet_reason, `id` = details. */
  LUCET_EVENT_TERMINATED = 3,
  /**
   * Generated code faulted where it can't: a defect of Lucet's, not of the guest. lucet_instance_trap_info says where.
   * The instance is poisoned.
   */
  LUCET_EVENT_FAULTED = 4,
  /**
   * A host function yielded: `id` = the value's bits (lucet_instance_yielded has its type), `code` = 1 if it expects
   * one.
   */
  LUCET_EVENT_YIELDED = 5,
  /**
   * The guest was stopped, anywhere, on request: `code` = lucet_interruption. Also within a native host function that
   * waits, if that offers it (lucet_vmctx_wait).
   */
  LUCET_EVENT_INTERRUPTED = 6,
  /** The instruction bound is spent. */
  LUCET_EVENT_BOUND_EXPIRED = 7,
  /**
   * An exception left the guest uncaught. `id` = its lucet_exception, of which the caller gets a reference; `code` =
   * the trap code for that. lucet_instance_trap_info has the place of the throw and its backtrace.
   */
  LUCET_EVENT_EXCEPTION = 8,
  /** For debuggers: `code` = lucet_stop, `id` = the program counter. Resuming goes on behind it. */
  LUCET_EVENT_STOPPED = 9,
} lucet_event_kind;

typedef enum lucet_stop {
  LUCET_STOP_BREAKPOINT = 0,
  /** lucet_instance_step */
  LUCET_STOP_STEP = 1,
  /**
   * lucet_instance_set_watchpoint: the program counter is behind the access, or behind the call of the host function
   * that it was in.
   */
  LUCET_STOP_WATCHPOINT = 2,
} lucet_stop;

typedef enum lucet_interruption {
  /** lucet_kill_switch_pause */
  LUCET_INTERRUPTION_PAUSE = 1,
  /** The time slice is over (pools deal with it themselves). */
  LUCET_INTERRUPTION_SLICE = 2,
} lucet_interruption;

typedef enum lucet_reason {
  /** By a host function's lucet_vmctx_terminate. */
  LUCET_REASON_PROVIDED = 0,
  /** The guest asked to exit (WASI proc_exit): details = exit status. */
  LUCET_REASON_EXIT = 1,
  /** By lucet_instance_abort. */
  LUCET_REASON_ABORTED = 2,
  /** By a kill switch. */
  LUCET_REASON_REMOTE = 3,
  /** lucet_instance_set_timeout */
  LUCET_REASON_TIMEOUT = 4,
  /** The signal handler decided so: details = signal number. */
  LUCET_REASON_SIGNAL = 5,
  /** No memory to keep the state of an interrupted guest. */
  LUCET_REASON_RESOURCES = 6,
} lucet_reason;

/** 40 bytes. RETURNED writes `kind` and `code` only. */
typedef struct lucet_event {
  /** lucet_event_kind */
  uint32_t kind;
  /**
   * RETURNED: 0. TRAPPED, EXCEPTION: trap code. TERMINATED: lucet_reason. HOSTCALL: number of the import among the
   * instance's imported functions.
   */
  uint32_t code;
  /** HOSTCALL: the instance that calls its import; it may be another one than the one that was called. Not counted. */
  lucet_instance *instance;
  /** HOSTCALL */
  uint64_t *args;
  /** HOSTCALL: lucet_import.id. TERMINATED: details. EXCEPTION: the lucet_exception. */
  uint64_t id;
  /** Guest words that `args` holds: enough for the larger of parameters and results. */
  uint64_t words;
} lucet_event;

/**
 * Tell that the process's handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP have been replaced, or may have been:
 * the next run puts the runtime's back in front. Without that it happens 10 ms later, at the latest at the 64th run of
 * the thread from then on, or of an instance that is called again and again; a guest that traps before would hang in
 * the other handler.
 *
 * Handlers of all other signals get SA_ONSTACK, within a fraction of a second or by this call, as they would otherwise
 * run on the stack of a guest, which may be full.
 */
LUCET_API void lucet_signals_changed(void);

/** 1 if the module has a start function that has not been run yet. */
LUCET_API int lucet_instance_needs_start(const lucet_instance *instance);
LUCET_API lucet_status lucet_instance_run_start(lucet_instance *instance, lucet_event *event, lucet_error *error);

/**
 * Run a function on the instance's stack until an event. `function` may belong to any instance. `args` must stay valid
 * until RETURNED. While the instance is suspended (or in a native host function) it may be called again: the new
 * activation is innermost until it ends.
 */
LUCET_API LUCET_FAST lucet_status lucet_instance_call(lucet_instance *instance, const lucet_funcref *function, uint64_t *args, lucet_event *event, lucet_error *error);
/** By number of the export. */
LUCET_API lucet_status lucet_instance_call_export(lucet_instance *instance, uint32_t export_, uint64_t *args, lucet_event *event, lucet_error *error);

/**
 * A call that was looked at once, for callers to whom nanoseconds matter: which function, on the stack of which
 * instance. Holds nothing: it is valid as long as both instances. Its members are the runtime's.
 */
typedef struct lucet_prepared_call {
  const uint8_t *code;
  uint8_t *base;
  lucet_instance *instance;
  const uint8_t *entry;
} lucet_prepared_call;
/** LUCET_ERROR_ARGUMENT: the function takes references, or can't run there. */
LUCET_API lucet_status lucet_call_prepare(lucet_instance *instance, const lucet_funcref *function, lucet_prepared_call *call, lucet_error *error);
/**
 * As lucet_instance_call, on a thread whose floating-point environment is the default one (FE_DFL_ENV), as it is unless
 * somebody changed it. It isn't looked at, as that takes as long as the call: with other modes guests calculate in
 * these, and a floating-point exception that is not masked is an internal fault.
 */
LUCET_API LUCET_FAST lucet_status lucet_call_prepared(const lucet_prepared_call *call, uint64_t *args, lucet_event *event, lucet_error *error);

/**
 * Let the innermost activation go on, from any thread, until the next event: behind its HOSTCALL, or wherever it was
 * stopped. LUCET_ERROR_YIELD_TYPE when it yielded and expects a value.
 */
LUCET_API lucet_status lucet_instance_resume(lucet_instance *instance, lucet_event *event, lucet_error *error);
/**
 * The same, as if the host function had thrown the exception, of which the caller keeps its reference: the guest may
 * catch it.
 */
LUCET_API lucet_status lucet_instance_resume_throw(lucet_instance *instance, lucet_exception *exception, lucet_event *event, lucet_error *error);
/** End the innermost, suspended activation without resuming it. */
LUCET_API lucet_status lucet_instance_abort(lucet_instance *instance, lucet_error *error);
/** The same, as a trap at the hostcall: fills the trap info. */
LUCET_API lucet_status lucet_instance_abort_with_trap(lucet_instance *instance, uint32_t code, lucet_error *error);

enum {
  LUCET_BLOCK_WORDS = 64,
  /** In `words`: see there. */
  LUCET_NO_WORDS = 0xffffffff,
};

/**
 * For embedders in languages in which each argument of a foreign call takes longer than the call: everything is in one
 * block of memory of theirs, whose address is the one argument. Addresses are numbers as such languages have them.
 * Calls may nest: the block is used by C until it returns, and what it left is to be read before the next call.
 */
typedef struct lucet_call_block {
  double instance;
  double function;
  /** lucet_status */
  uint32_t status;
  /**
   * HOSTCALL: so many words of arguments are in `args`; LUCET_NO_WORDS: there are too many, they are in event.args.
   * Before resuming: so many words of results are in `args`; LUCET_NO_WORDS: they are in event.args already.
   */
  uint32_t words;
  lucet_event event;
  uint64_t args[LUCET_BLOCK_WORDS];
  lucet_error error;
} lucet_call_block;
/** lucet_instance_call of a function with no more than LUCET_BLOCK_WORDS words of arguments, or results, in `args`. */
LUCET_API void lucet_block_call(double address);
/** lucet_instance_resume */
LUCET_API void lucet_block_resume(double address);

/* ---------------------------------------------------------------------------------------------------------------- Yields */

/** A value that crosses a yield. The embedder tells types apart by an address of his choice; NULL: no value. */
typedef struct lucet_value {
  const void *type;
  uint64_t bits;
} lucet_value;

/**
 * The rest of a host function that yielded, with what lucet_instance_resume_with brought. Like a host function it
 * leaves results in `args`.
 */
typedef void (*lucet_continuation)(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) LUCET_NOEXCEPT;

/** What the innermost activation yielded; type NULL: no value, or it hasn't yielded. */
LUCET_API lucet_value lucet_instance_yielded(const lucet_instance *instance);
/**
 * Go on after YIELDED. LUCET_ERROR_YIELD_TYPE when `value` isn't of the type that is expected: the instance still
 * waits.
 */
LUCET_API lucet_status lucet_instance_resume_with(lucet_instance *instance, lucet_value value, lucet_event *event, lucet_error *error);

/* ----------------------------------------------------------------------------------------------------- Stopping from outside */

/**
 * A handle on the run of an instance that is under way, or on the next one; for use by any thread, at any time, also
 * when the instance is gone. A run lasts from the outermost call to its last event.
 */
typedef struct lucet_kill_switch lucet_kill_switch;

typedef enum lucet_kill_result {
  /** Guest code was running, and has been interrupted. */
  LUCET_KILL_SIGNALLED = 0,
  /** Its run is under way, but a host function or the embedder is at work: it ends as soon as the guest would go on. */
  LUCET_KILL_PENDING = 1,
  /** The run had not begun: it will end before its first instruction. */
  LUCET_KILL_CANCELLED = 2,
  /** It has been killed already. */
  LUCET_KILL_NOT_TERMINABLE = 3,
  /** The run is over, or the instance is gone. */
  LUCET_KILL_INVALID = 4,
} lucet_kill_result;

LUCET_API lucet_status lucet_instance_kill_switch(lucet_instance *instance, lucet_kill_switch **kill_switch, lucet_error *error);
/** The run ends with TERMINATED, LUCET_REASON_REMOTE. */
LUCET_API lucet_kill_result lucet_kill_switch_terminate(lucet_kill_switch *kill_switch);
/** The run stops with INTERRUPTED and can be resumed. NOT_TERMINABLE: it was asked to already. */
LUCET_API lucet_kill_result lucet_kill_switch_pause(lucet_kill_switch *kill_switch);
LUCET_API void lucet_kill_switch_retain(lucet_kill_switch *kill_switch);
LUCET_API void lucet_kill_switch_release(lucet_kill_switch *kill_switch);

/**
 * Each later run may take so many nanoseconds of wall time, what host functions take included, then it ends with
 * LUCET_REASON_TIMEOUT. 0: no limit.
 */
LUCET_API void lucet_instance_set_timeout(lucet_instance *instance, uint64_t nanoseconds);

/* ------------------------------------------------------------------------------------------------------------- Exceptions */

/**
 * A tag of an instance, imported or its own; NULL: none of that index. Valid as long as the instance. Tags are compared
 * by address.
 */
LUCET_API lucet_tag *lucet_instance_tag(const lucet_instance *instance, uint32_t tag);
/** lucet_valtype of each value. */
LUCET_API const uint8_t *lucet_tag_types(const lucet_tag *tag, uint32_t *params);

/**
 * An exception of a tag, with values as in an argument array (LUCET_ERROR_ARGUMENT: they are not of its type). It
 * belongs to the instance's group; the caller owns a reference. An exnref in an array of arguments or results is no
 * such reference: retain it before the guest runs again.
 */
LUCET_API lucet_status lucet_exception_new(lucet_instance *instance, lucet_tag *tag, const uint64_t *values, lucet_exception **exception,
                                           lucet_error *error);
LUCET_API lucet_tag *lucet_exception_tag(const lucet_exception *exception);
LUCET_API const uint64_t *lucet_exception_values(const lucet_exception *exception);
LUCET_API void lucet_exception_retain(lucet_exception *exception);
LUCET_API void lucet_exception_release(lucet_exception *exception);

/* ----------------------------------------------------------------------------------------------------------------- Pools */

/**
 * Threads that run instances for the embedder, in time slices. Its functions may be called from any thread. A child
 * made by fork has no threads of its parent's: there, jobs for a pool of the parent's are refused (LUCET_ERROR_STATE),
 * it has no events, and lucet_pool_release gives back the child's descriptors; pools that the child makes are its own.
 */
typedef struct lucet_pool lucet_pool;

typedef struct lucet_pool_options {
  /** 0: as many as there are processors. At most 1,024. */
  uint32_t threads;
  /** Nanoseconds that an instance runs before it must let others run that wait. 0: 10 ms. */
  uint64_t slice;
} lucet_pool_options;

/** 64 bytes. The end or an interruption of a job. */
typedef struct lucet_pool_event {
  /** As given with the job. */
  uint64_t id;
  lucet_instance *instance;
  /** lucet_status: if it isn't LUCET_OK the job could not be run, and `event` says nothing. */
  int32_t status;
  uint32_t reserved;
  lucet_event event;
} lucet_pool_event;

LUCET_API lucet_status lucet_pool_create(const lucet_pool_options *options, lucet_pool **pool, lucet_error *error);
/** Kills what runs, waits for its threads, and drops jobs that wait. */
LUCET_API void lucet_pool_release(lucet_pool *pool);
/**
 * Have the pool call a function, run the start function, or resume, as the functions of lucet_instance_ with these
 * names do. From then on the pool uses the instance, and with it its group, until the event of the job was taken; it
 * holds a handle meanwhile. Of instances that are linked with each other, directly or by way of one that they import
 * from, one runs at a time.
 */
LUCET_API lucet_status lucet_pool_call(lucet_pool *pool, lucet_instance *instance, const lucet_funcref *function, uint64_t *args, uint64_t id,
                                       lucet_error *error);
LUCET_API lucet_status lucet_pool_run_start(lucet_pool *pool, lucet_instance *instance, uint64_t id, lucet_error *error);
/** `value` may be NULL: none. */
LUCET_API lucet_status lucet_pool_resume(lucet_pool *pool, lucet_instance *instance, const lucet_value *value, uint64_t id, lucet_error *error);
LUCET_API lucet_status lucet_pool_resume_throw(lucet_pool *pool, lucet_instance *instance, lucet_exception *exception, uint64_t id, lucet_error *error);
/** Up to `limit` events that have happened; returns their number. Doesn't wait. */
LUCET_API uint32_t lucet_pool_take(lucet_pool *pool, lucet_pool_event *events, uint32_t limit);
/** Wait until there is an event, at most so long; 1 if there is one. */
LUCET_API int lucet_pool_wait(lucet_pool *pool, uint64_t nanoseconds);
/**
 * A descriptor that is readable while there are events, for the caller to close; lucet_pool_take empties it. -1: none
 * to be had.
 */
LUCET_API int lucet_pool_descriptor(const lucet_pool *pool);

/* ------------------------------------------------------------------------------------------------------------------ Traps */

typedef enum lucet_frame_kind {
  LUCET_FRAME_WASM = 0,
  /** Here a host function was called which called the guest again. */
  LUCET_FRAME_HOST = 1,
  /** `count` frames were left out. */
  LUCET_FRAME_ELIDED = 2,
  /**
   * Innermost, of a backtrace: the guest was stopped within the imported function `function`, which waits
   * (lucet_vmctx_stop).
   */
  LUCET_FRAME_WAITING = 3,
} lucet_frame_kind;

/** 40 bytes. */
typedef struct lucet_frame {
  lucet_module *module;
  /** The instruction itself (innermost frame), or the return address. */
  uint64_t pc;
  /** Stack pointer behind the prologue. */
  uint64_t sp;
  /** lucet_frame_kind */
  uint32_t kind;
  uint32_t function;
  /** Byte offset in the wasm module. */
  uint32_t wasm_offset;
  /** ELIDED: number of frames. */
  uint32_t count;
} lucet_frame;

typedef struct lucet_trap_info {
  uint32_t code;
  /**
   * Signal number of the fault; SIGILL for a failed check of the guest's own, though no signal is raised; 0: neither (a
   * builtin, a host function).
   */
  uint32_t signal;
  lucet_module *module;
  uint64_t pc;
  uint32_t function;
  uint32_t wasm_offset;
  /** Address whose access faulted; all ones: none. */
  uint64_t fault_address;
  /** Memory in whose address space it lies, as numbered by the module; all ones: none. */
  uint32_t memory;
  /** Frames in the whole backtrace; `frame_count` tells how many records there are. */
  uint32_t total_frames;
  /** First byte that the access could not reach. */
  uint64_t memory_offset;
  uint64_t memory_length;
  /** x86-64: in encoding order (rax rcx rdx rbx rsp rbp rsi rdi r8-r15), then rip, rflags. Only valid if `signal`. */
  uint64_t registers[18];
  /** Innermost first. The middle of a long backtrace is left out: then one of the records is LUCET_FRAME_ELIDED. */
  const lucet_frame *frames;
  /** Only if `signal`: the extended state (vector registers) in the standard form of XSAVE. */
  const uint8_t *extended;
  uint32_t frame_count;
  uint32_t extended_size;
} lucet_trap_info;

/** Of the instance's last TRAPPED, FAULTED or EXCEPTION event; NULL: none. Valid until the instance runs again. */
LUCET_API const lucet_trap_info *lucet_instance_trap_info(const lucet_instance *instance);
/**
 * The present frames of a suspended instance, innermost first; returns the number of frames, of which up to `limit` are
 * stored.
 */
LUCET_API uint32_t lucet_instance_backtrace(lucet_instance *instance, lucet_frame *frames, uint32_t limit);

typedef enum lucet_signal_behavior {
  /** The run ends with TRAPPED. */
  LUCET_SIGNAL_DEFAULT = 0,
  /** Execute the faulting instruction again. A check that has failed is not made again: its trap comes again. */
  LUCET_SIGNAL_CONTINUE = 1,
  /** The run ends with TERMINATED, LUCET_REASON_SIGNAL. */
  LUCET_SIGNAL_TERMINATE = 2,
} lucet_signal_behavior;

/**
 * Asked when guest code faulted, or failed a check of its own, outside of the signal handler, on the host's stack. It
 * may not run the instance.
 */
typedef lucet_signal_behavior (*lucet_signal_handler)(lucet_instance *instance, const lucet_trap_info *trap, void *data);
/** NULL: as if it said DEFAULT. */
LUCET_API void lucet_instance_set_signal_handler(lucet_instance *instance, lucet_signal_handler handler, void *data);
/** Called before LUCET_EVENT_FAULTED is reported, for an embedder that would rather not live on. */
typedef void (*lucet_fatal_handler)(lucet_instance *instance, const lucet_trap_info *trap, void *data);
LUCET_API void lucet_instance_set_fatal_handler(lucet_instance *instance, lucet_fatal_handler handler, void *data);

/* -------------------------------------------------------------------------------------------------------------- Debugging */

/**
 * Stop every guest that comes to the instruction at `offset` of the module's code, with LUCET_EVENT_STOPPED. Costs
 * nothing elsewhere. It must be the first byte of an instruction, behind the function's prologue; a module stays the
 * same for all of its instances, so all of them stop.
 */
LUCET_API lucet_status lucet_module_set_breakpoint(lucet_module *module, uint32_t offset, lucet_error *error);
LUCET_API lucet_status lucet_module_clear_breakpoint(lucet_module *module, uint32_t offset, lucet_error *error);
/**
 * Of a guest that is stopped or interrupted: as in lucet_trap_info, and they may be changed; NULL: it isn't, or within
 * a host function.
 */
LUCET_API uint64_t *lucet_instance_registers(lucet_instance *instance);
/** Likewise the extended state, in the standard form of XSAVE. */
LUCET_API uint8_t *lucet_instance_extended(lucet_instance *instance, size_t *size);
/** The next resume executes one instruction (what host functions it calls included), then stops. */
LUCET_API lucet_status lucet_instance_step(lucet_instance *instance, lucet_error *error);

typedef enum lucet_watch_kind {
  LUCET_WATCH_MEMORY = 0,
  LUCET_WATCH_GLOBAL = 1,
  /**
   * The stack of a suspended guest: who watches a local in its frame has to clear the watchpoint when the frame is
   * left.
   */
  LUCET_WATCH_STACK = 2,
} lucet_watch_kind;

typedef struct lucet_watchpoint {
  /** lucet_watch_kind; and which memory or global. */
  uint32_t kind;
  uint32_t index;
  /** Offset in the memory, or, of the stack, an address (lucet_frame.sp). */
  uint64_t address;
  /** Bytes: 1, 2, 4 or 8, and the address is a multiple of it. */
  uint32_t length;
  /** 0: stop when the value has changed. 1: at each access. */
  uint32_t reads;
} lucet_watchpoint;

/** As many as the processor has. */
#define LUCET_WATCHPOINTS 4
/**
 * Stop the guest with LUCET_STOP_WATCHPOINT behind each access that `watchpoint` is about, by any code that it runs or
 * calls; what the system writes for a host function is seen when that returns. Costs nothing otherwise. `number`, below
 * LUCET_WATCHPOINTS, is replaced. From the thread that may use the instance, or from any while the instance runs.
 * LUCET_ERROR_RESOURCES: the system gives none, and the message says why.
 */
LUCET_API lucet_status lucet_instance_set_watchpoint(lucet_instance *instance, uint32_t number, const lucet_watchpoint *watchpoint, lucet_error *error);
LUCET_API void lucet_instance_clear_watchpoint(lucet_instance *instance, uint32_t number);
/** Whether the last LUCET_STOP_WATCHPOINT was for this one; and the value, zero-extended, before and after. */
LUCET_API int lucet_instance_watchpoint_hit(lucet_instance *instance, uint32_t number, uint64_t *before, uint64_t *after);
/** LUCET_ERROR_RESOURCES: when the guest last went on, the system did not give this one (any more). */
LUCET_API lucet_status lucet_instance_watchpoint_status(lucet_instance *instance, uint32_t number, lucet_error *error);
/**
 * Bytes of the suspended guest's stack, by address (lucet_frame.sp). LUCET_ERROR_ARGUMENT: not all inside, or it runs.
 */
LUCET_API lucet_status lucet_instance_stack_read(const lucet_instance *instance, uint64_t address, void *to, size_t length);
LUCET_API lucet_status lucet_instance_stack_write(lucet_instance *instance, uint64_t address, const void *from, size_t length);

/* -------------------------------------------------------------------------------------------------- Inside host functions */

LUCET_API lucet_instance *lucet_vmctx_instance(lucet_vmctx *vm);
/**
 * `length` bytes at `offset` of the caller's memory 0, or NULL if they aren't all inside. Valid until the guest runs
 * again.
 */
LUCET_API void *lucet_vmctx_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length);
LUCET_API uint64_t lucet_vmctx_memory_length(lucet_vmctx *vm);
/** Old size in pages, or -1. */
LUCET_API int64_t lucet_vmctx_memory_grow(lucet_vmctx *vm, uint64_t delta);
/** Unwind the guest: the run ends with TRAPPED. Frames of the host function are abandoned, so it must hold nothing. */
LUCET_API LUCET_NORETURN void lucet_vmctx_trap(lucet_vmctx *vm, uint32_t code);
/** Throw an exception into the guest. Frames of the host function are abandoned. */
LUCET_API LUCET_NORETURN void lucet_vmctx_throw(lucet_vmctx *vm, lucet_tag *tag, const uint64_t *values);
/** Throw one that exists, such as one that a call of the guest ended with; takes over the caller's reference. */
LUCET_API LUCET_NORETURN void lucet_vmctx_rethrow(lucet_vmctx *vm, lucet_exception *exception);
/** Unwind the guest: the run ends with TERMINATED. */
LUCET_API LUCET_NORETURN void lucet_vmctx_terminate(lucet_vmctx *vm, uint32_t reason, uint64_t details);
/**
 * Ask to suspend the guest when the host function has returned: the run stops with YIELDED. When it is resumed,
 * `continuation` runs first (NULL: the results are what the host function left in its array). `value` goes to the
 * embedder; `expects` is the type of the one that must come back, NULL: none.
 */
LUCET_API void lucet_vmctx_yield(lucet_vmctx *vm, lucet_value value, const void *expects, lucet_continuation continuation, void *data);
/**
 * 1 if the guest has been killed: a host function that waits for something may give up. Its waiting is interrupted by a
 * signal (EINTR).
 */
LUCET_API int lucet_vmctx_terminating(lucet_vmctx *vm);

typedef enum lucet_wait {
  /** Nobody has asked for anything: it may wait. */
  LUCET_WAIT_ON = 0,
  /** The guest has been killed. What the host function returns won't be seen. */
  LUCET_WAIT_ENDS = 1,
  /**
   * The guest is to be paused, or to let others of its pool run: return by way of lucet_vmctx_stop, or the guest stops
   * only when the waiting has come to its end.
   */
  LUCET_WAIT_STOPS = 2,
} lucet_wait;
/**
 * For a host function that waits in the system: to be called before each system call that waits, until one isn't
 * interrupted (EINTR), and lucet_vmctx_waited after each. In between a pause interrupts the call, too; elsewhere only a
 * kill does.
 *
 *     for (;;) {
 *       lucet_wait w = lucet_vmctx_wait(vm);
 *       if (w == LUCET_WAIT_STOPS) lucet_vmctx_stop(vm, (lucet_value){NULL, 0}, the_same_again, data);
 *       if (w != LUCET_WAIT_ON) return;
 *       int got = ppoll(…);
 *       lucet_vmctx_waited(vm);
 *       if (got >= 0 || errno != EINTR) break;
 *     }
 */
LUCET_API lucet_wait lucet_vmctx_wait(lucet_vmctx *vm);
LUCET_API void lucet_vmctx_waited(lucet_vmctx *vm);
/**
 * After LUCET_WAIT_STOPS: suspend the guest as it was asked to, when the host function has returned. The run stops with
 * INTERRUPTED; when it is resumed, `continuation` goes on with what the host function was about, `value` being this
 * one: it finds the arguments as they were, if they have been left so. A guest that is killed meanwhile ends without
 * it.
 */
LUCET_API void lucet_vmctx_stop(lucet_vmctx *vm, lucet_value value, lucet_continuation continuation, void *data);

/* --------------------------------------------------------------------------------------------------------- AssemblyScript */

/**
 * `env.abort`, which AssemblyScript's programs ask of any host; NULL for any other name. `signature` gets its type as
 * in lucet_import.signature; its `data` is not used. It traps (LUCET_TRAP_UNREACHABLE).
 */
LUCET_API lucet_host_function lucet_assemblyscript_lookup(const char *module, const char *name, const char **signature);
/** Bytes that what it was told fits into. */
enum { LUCET_ASSEMBLYSCRIPT_TOLD = 12288 };
/**
 * "MESSAGE, at FILE:LINE:COLUMN", in UTF-8 and terminated: what the guest said as it called that. It is told once,
 * after the trap. The length, or 0: nothing was said. `text` has room for LUCET_ASSEMBLYSCRIPT_TOLD bytes.
 */
LUCET_API size_t lucet_assemblyscript_told(const lucet_instance *instance, char *text);

#ifdef __cplusplus
}
#endif
#endif
