/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going from one stack to another. swapcontext() asks the kernel for the signal mask each time, and a run changes over
 * millions of times: on x86-64 and aarch64 a few instructions do, elsewhere it is asked after all.
 */
#pragma once

#include <stddef.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define SWITCH_IS_OWN 1
struct switch_place {
	void *sp; /* what a function has to find again is on the stack, above it */
};
#else
#include <ucontext.h>
struct switch_place {
	ucontext_t context;
};
#endif

/* Whoever goes there first begins fn on that stack, which must never return. */
void switch_prepare(struct switch_place *p, void *stack, size_t bytes, void (*fn)(void));
/* Returns when somebody goes to *from. */
void switch_to(struct switch_place *from, struct switch_place *to);
