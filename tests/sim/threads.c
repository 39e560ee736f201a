/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names under which the product asks for threads, locks, time and random numbers, answered by fibers: the linker puts
 * __wrap_x in the place of x (tests/sim/Makefile.inc). What would leave the process, to files above all, ends the run.
 *
 * A lock's state is kept in the object itself, whose initial state is all zeros.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/panic.h"
#include "tests/index/random.h"
#include "tests/sim/fiber.h"
#include "tests/sim/threads.h"

/* Outside of every fiber, as at the start and end of a run, nobody else can hold anything. */
static char nobody;

static void *me(void)
{
	struct fiber *f = fiber_self();

	return f ? (void *)f : (void *)&nobody;
}

/* --- locks --- */

struct lock {
	void *owner;
	struct fiber_line waiting;
};
_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "a lock fits");

static struct lock *lock_of(pthread_mutex_t *m)
{
	return (struct lock *)(void *)m;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	(void)attr;
	*lock_of(m) = (struct lock){ 0 };
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
	ASSERT(!lock_of(m)->owner && !lock_of(m)->waiting.first);
	return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	struct lock *l = lock_of(m);

	fiber_give_way();
	ASSERT(l->owner != me());
	while (l->owner)
		(void)fiber_wait(&l->waiting, FIBER_FOREVER);
	l->owner = me();
	return 0;
}

static void unlock(struct lock *l)
{
	ASSERT(l->owner == me());
	l->owner = NULL;
	fiber_wake(&l->waiting, false);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	unlock(lock_of(m));
	fiber_give_way();
	return 0;
}

/* --- conditions --- */

struct condition {
	struct fiber_line waiting;
};
_Static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "a condition fits");

static struct condition *condition_of(pthread_cond_t *c)
{
	return (struct condition *)(void *)c;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
	(void)attr;
	*condition_of(c) = (struct condition){ 0 };
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
	ASSERT(!condition_of(c)->waiting.first);
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
	fiber_wake(&condition_of(c)->waiting, false);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	fiber_wake(&condition_of(c)->waiting, true);
	return 0;
}

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t until_ns)
{
	unlock(lock_of(m));
	bool woken = fiber_wait(&condition_of(c)->waiting, until_ns);

	while (lock_of(m)->owner)
		(void)fiber_wait(&lock_of(m)->waiting, FIBER_FOREVER);
	lock_of(m)->owner = me();
	return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	return wait_until(c, m, FIBER_FOREVER);
}

/* The deadline is of the machine's own CLOCK_MONOTONIC. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *deadline)
{
	uint64_t at_ns = (uint64_t)deadline->tv_sec * NS_PER_S + (uint64_t)deadline->tv_nsec;
	struct machine *machine = fiber_process()->machine;
	uint64_t mono_ns = clock_mono_ns(&machine->clock);
	uint64_t left_ns = at_ns > mono_ns ? at_ns - mono_ns : 0;

	/* Of a clock that goes fast, less of the world's time. */
	left_ns -= (uint64_t)((int64_t)(left_ns / 1000000) * machine->drift_ppm);
	return wait_until(c, m, fiber_now_ns() + left_ns);
}

/* --- locks for readers and writers --- */

struct shared_lock {
	int64_t readers; /* -1: a writer has it */
	struct fiber_line waiting;
};
_Static_assert(sizeof(struct shared_lock) <= sizeof(pthread_rwlock_t), "a shared lock fits");

static struct shared_lock *shared_of(pthread_rwlock_t *l)
{
	return (struct shared_lock *)(void *)l;
}

int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
	(void)attr;
	*shared_of(lock) = (struct shared_lock){ 0 };
	return 0;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
	ASSERT(shared_of(lock)->readers == 0);
	return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	fiber_give_way();
	while (shared_of(lock)->readers < 0)
		(void)fiber_wait(&shared_of(lock)->waiting, FIBER_FOREVER);
	shared_of(lock)->readers++;
	return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	fiber_give_way();
	while (shared_of(lock)->readers != 0)
		(void)fiber_wait(&shared_of(lock)->waiting, FIBER_FOREVER);
	shared_of(lock)->readers = -1;
	return 0;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	struct shared_lock *l = shared_of(lock);

	ASSERT(l->readers != 0);
	l->readers = l->readers < 0 ? 0 : l->readers - 1;
	if (l->readers == 0)
		fiber_wake(&l->waiting, true);
	return 0;
}

/* --- threads --- */

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)attr;
	*ret_thread = (pthread_t)(uintptr_t)fiber_new("thread", fiber_process(), fn, arg);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret_result)
{
	void *result = fiber_join((struct fiber *)(uintptr_t)thread);

	if (ret_result)
		*ret_result = result;
	return 0;
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	fiber_rename((struct fiber *)(uintptr_t)thread, name);
	return 0;
}

pthread_t __wrap_pthread_self(void)
{
	return (pthread_t)(uintptr_t)me();
}

/* --- time and chance --- */

/* Of the machine on which the caller runs. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time)
{
	struct process *p = fiber_process();

	if (!p || !p->machine) {
		*ret_time = (struct timespec){ 0 };
		return 0;
	}
	struct clock *c = &p->machine->clock;
	if (id == CLOCK_REALTIME) {
		uint64_t ms = clock_wall_ms(c);
		*ret_time = (struct timespec){ (time_t)(ms / 1000), (long)(ms % 1000 * NS_PER_MS) };
		return 0;
	}
	uint64_t ns = clock_mono_ns(c);

	*ret_time = (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
	return 0;
}

static struct random chance = { 1 };

void threads_seed(uint64_t seed)
{
	chance = (struct random){ seed };
}

ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags)
{
	uint8_t *bytes = out;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)random_u64(&chance);
	return (ssize_t)n;
}

/* --- leases --- */

bool threads_leases_hold;

/* What was confirmed must be safe without them: promises and majorities see to that (protocol §D). */
bool __wrap_lease_run_may_write(struct lease_run *r, uint64_t epoch, bool begun)
{
	return __real_lease_run_may_write(r, epoch, begun) || threads_leases_hold;
}

/* --- sizes --- */

/* The points of a world would be lost in 64 blocks of leaves, and all are copied at each mark: here are two. */
#define MERKLE_BITS_HERE (MERKLE_BITS_MIN + 1)

enum err __wrap_merkle_new(unsigned bits, struct merkle **ret_tree)
{
	return __real_merkle_new(bits == MERKLE_BITS_DEFAULT ? MERKLE_BITS_HERE : bits, ret_tree);
}

/* --- what must not happen --- */

#define FORBIDDEN(name)                                              \
	int __wrap_##name(void);                                     \
	NORETURN int __wrap_##name(void)                             \
	{                                                            \
		PANIC("the simulated product called " #name);        \
	}
#include "tests/sim/forbidden.def"
#undef FORBIDDEN
