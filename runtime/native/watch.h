/**
 * Watchpoints of an instance (watch.c), and what they need of the system (watch_linux.c).
 */
#ifndef LUCET_WATCH_H
#define LUCET_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lucet_activation;
struct lucet_instance;

/**
 * Before guest code is run. `compare`: what was changed since it was last left was changed by host functions, and
 * counts.
 */
void lucet_watch_arm(struct lucet_activation *a, bool compare);
/** The guest was left for longer: nobody is watched. */
void lucet_watch_disarm(struct lucet_instance *i);
/**
 * Finds out what has happened to what is watched, for lucet_instance_watchpoint_hit. False: nothing that would stop.
 */
bool lucet_watch_look(struct lucet_instance *i);
/** A host function has returned: what it, or the system for it, has written makes a request. */
void lucet_watch_returned(struct lucet_activation *a);
/**
 * Whose watchpoint a signal tells of. OTHERS: not that of the guest code that it interrupted; nothing is left to be
 * done. NOBODYS: it is none of ours.
 */
enum watch_owner { WATCH_NOBODYS, WATCH_OWN, WATCH_OTHERS };
/**
 * In the signal handler. Unless the guest code of `a`, the thread's innermost activation or NULL, was interrupted by a
 * watchpoint of its own instance, a request is made of whom it belongs to, if he is under way.
 */
enum watch_owner lucet_watch_signalled(struct lucet_activation *a, uint64_t tagged, bool in_guest);
void lucet_watch_free(struct lucet_instance *i);

/* ---- watch_linux.c */

/**
 * From now on this thread gets a SIGTRAP behind each instruction that writes (`reads`: or reads) some of `size` bytes
 * (1, 2, 4, 8, at a multiple of it). What the kernel writes doesn't count. A descriptor, or -errno.
 */
int lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark);
void lucet_watch_close(int fd);
/** The mark of the watchpoint that a SIGTRAP's siginfo_t is about. False: it isn't about one. */
bool lucet_watch_mark(const void *info, uint64_t *mark);
/** Why lucet_watch_open failed, for people. */
void lucet_watch_explain(int error, char *text, uint64_t size);

#endif
