/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the linker puts in the place of pthread's functions, of clock_gettime and of getrandom: see threads.c.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "index/merkle.h"

/* Of the random numbers that the product asks for. */
void threads_seed(uint64_t seed);

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *deadline);
int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr);
int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret_result);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
pthread_t __wrap_pthread_self(void);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret_time);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);

/* Every lease holds for ever. */
extern bool threads_leases_hold;
struct lease_run;
bool __real_lease_run_may_write(struct lease_run *r, uint64_t epoch, bool begun);
bool __wrap_lease_run_may_write(struct lease_run *r, uint64_t epoch, bool begun);

MUST_USE enum err __real_merkle_new(unsigned bits, struct merkle **ret_tree);
MUST_USE enum err __wrap_merkle_new(unsigned bits, struct merkle **ret_tree);
