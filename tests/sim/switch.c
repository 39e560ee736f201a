/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/switch.h"

#include <stdint.h>

#include "base/panic.h"

#ifdef SWITCH_IS_OWN

/* Keeps what a function's caller may rely on, on the stack that is left; takes the same from the other. */
void switch_stacks(void **save_sp, void *to_sp);

#ifdef __x86_64__

#define SAVED_WORDS 6 /* rbx, rbp, r12 to r15, and above them where to go on */

__asm__(".text\n"
	".globl switch_stacks\n"
	".hidden switch_stacks\n"
	".type switch_stacks, @function\n"
	"switch_stacks:\n"
	"	endbr64\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	".size switch_stacks, .-switch_stacks\n");

void switch_prepare(struct switch_place *p, void *stack, size_t bytes, void (*fn)(void))
{
	uint64_t *top = (uint64_t *)(void *)((char *)stack + bytes);

	ASSERT((uintptr_t)top % 16 == 0);
	/* A function begins with its stack 8 bytes off from 16, as after a call; 0: nobody called it. */
	*--top = 0;
	*--top = (uint64_t)(uintptr_t)fn;
	for (unsigned i = 0; i < SAVED_WORDS; i++)
		*--top = 0;
	p->sp = top;
}

#else

#define SAVED_WORDS 20 /* x19 to x30, d8 to d15 */
#define SAVED_LR 11

__asm__(".text\n"
	".globl switch_stacks\n"
	".hidden switch_stacks\n"
	".type switch_stacks, %function\n"
	"switch_stacks:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size switch_stacks, .-switch_stacks\n");

void switch_prepare(struct switch_place *p, void *stack, size_t bytes, void (*fn)(void))
{
	uint64_t *top = (uint64_t *)(void *)((char *)stack + bytes);

	ASSERT((uintptr_t)top % 16 == 0);
	for (unsigned i = 0; i < SAVED_WORDS; i++)
		*--top = 0;
	top[SAVED_LR] = (uint64_t)(uintptr_t)fn;
	p->sp = top;
}

#endif

void switch_to(struct switch_place *from, struct switch_place *to)
{
	switch_stacks(&from->sp, to->sp);
}

#else

void switch_prepare(struct switch_place *p, void *stack, size_t bytes, void (*fn)(void))
{
	ASSERT(getcontext(&p->context) == 0);
	p->context.uc_stack.ss_sp = stack;
	p->context.uc_stack.ss_size = bytes;
	makecontext(&p->context, fn, 0);
}

void switch_to(struct switch_place *from, struct switch_place *to)
{
	swapcontext(&from->context, &to->context);
}

#endif
