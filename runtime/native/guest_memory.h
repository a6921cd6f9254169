/** Guest memory for host functions that are part of the runtime. */
#ifndef LUCET_GUEST_MEMORY_H
#define LUCET_GUEST_MEMORY_H

#include "lucet.h"

/**
 * As lucet_vmctx_memory, for those that touch what they get on this thread, before they return. Whoever hands the
 * address on, to an embedder say, takes lucet_vmctx_memory: it notes that others may know it.
 */
void *lucet_guest_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) __attribute__((visibility("hidden")));

#endif
