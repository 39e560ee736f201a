/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/panic.h"
#include "tests/index/random.h"
#include "tests/sim/switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define HAS_ASAN 1
#endif
#endif

#define STACK_BYTES ((size_t)1 << 20)
#define GUARD_BYTES ((size_t)4096)
#define FIBERS_MAX 1024
#define TIMERS_MAX (1u << 16)
/* So often one may follow another without that time passes. */
#define SWITCHES_AT_ONCE_MAX 2000000u

struct fiber {
	uint32_t number;
	char name[FIBER_NAME_MAX];
	struct switch_place place;
	void *stack; /* with its guard; kept for the next fiber of this number */
	void *fake_stack;
	struct process *process;
	void *(*fn)(void *);
	void *arg;
	void *result;
	bool used, ended, detached;
	struct fiber_line ended_line;
	struct fiber_line *line; /* it waits in */
	struct fiber *next;      /* behind it there */
	uint64_t timer;          /* number of the timer that may wake it; 0: none */
	bool woken;              /* by another, not by its timer */
};

struct timer {
	uint64_t at_ns;
	uint64_t number;
	struct fiber *fiber;
};

/* Who runs; everything that the names of pthread cannot be told by an argument. */
static struct fibers {
	struct random random;
	unsigned preempt;
	unsigned held;
	uint64_t now_ns;
	uint64_t switches;
	uint64_t at_once;
	uint64_t timers_made;
	struct fiber *all[FIBERS_MAX];
	uint32_t count, alive;
	struct fiber *ready[FIBERS_MAX];
	uint32_t ready_count;
	struct timer timers[TIMERS_MAX]; /* a heap, the next first */
	uint32_t timer_count;
	struct fiber *running;
	struct switch_place main;
	void *main_fake_stack;
	const void *main_stack;
	size_t main_stack_bytes;
	char trouble[256];
} fibers;

/* --- clocks --- */

static uint64_t mono_of(const struct machine *m)
{
	int64_t passed = (int64_t)(fibers.now_ns - m->anchor_now_ns);

	return m->anchor_mono_ns + (uint64_t)(passed + passed / 1000000 * m->drift_ppm);
}

static uint64_t machine_mono_ns(struct clock *c)
{
	return mono_of(CONTAINER_OF(c, struct machine, clock));
}

static uint64_t machine_wall_ms(struct clock *c)
{
	struct machine *m = CONTAINER_OF(c, struct machine, clock);

	return m->wall_ms + mono_of(m) / NS_PER_MS;
}

void machine_init(struct machine *m, uint64_t mono_ns, uint64_t wall_ms)
{
	*m = (struct machine){
		.clock = { .wall_ms = machine_wall_ms, .mono_ns = machine_mono_ns },
		.anchor_now_ns = fibers.now_ns,
		.anchor_mono_ns = mono_ns,
		.wall_ms = wall_ms - mono_ns / NS_PER_MS,
	};
}

void machine_drift(struct machine *m, int32_t ppm)
{
	m->anchor_mono_ns = mono_of(m);
	m->anchor_now_ns = fibers.now_ns;
	m->drift_ppm = ppm;
}

void machine_set(struct machine *m, uint64_t mono_ns)
{
	m->anchor_mono_ns = mono_ns;
	m->anchor_now_ns = fibers.now_ns;
}

/* --- timers: a binary heap; one whose fiber goes by another number is stale --- */

static bool is_before(const struct timer *a, const struct timer *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

static void timer_swap(uint32_t a, uint32_t b)
{
	struct timer t = fibers.timers[a];

	fibers.timers[a] = fibers.timers[b];
	fibers.timers[b] = t;
}

static void timer_push(struct fiber *f, uint64_t at_ns)
{
	ASSERT(fibers.timer_count < TIMERS_MAX);
	uint32_t i = fibers.timer_count++;

	f->timer = ++fibers.timers_made;
	fibers.timers[i] = (struct timer){ .at_ns = at_ns, .number = f->timer, .fiber = f };
	for (; i > 0 && is_before(&fibers.timers[i], &fibers.timers[(i - 1) / 2]); i = (i - 1) / 2)
		timer_swap(i, (i - 1) / 2);
}

static void timer_pop(void)
{
	uint32_t i = 0;

	fibers.timers[0] = fibers.timers[--fibers.timer_count];
	for (;;) {
		uint32_t least = i;

		for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < fibers.timer_count; child++)
			if (is_before(&fibers.timers[child], &fibers.timers[least]))
				least = child;
		if (least == i)
			return;
		timer_swap(i, least);
		i = least;
	}
}

/* --- lines --- */

static void line_add(struct fiber_line *l, struct fiber *f)
{
	struct fiber **at = &l->first;

	while (*at)
		at = &(*at)->next;
	*at = f;
	f->next = NULL;
	f->line = l;
}

static void line_remove(struct fiber *f)
{
	struct fiber **at = &f->line->first;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->line = NULL;
}

static void make_ready(struct fiber *f)
{
	ASSERT(fibers.ready_count < FIBERS_MAX);
	f->timer = 0;
	fibers.ready[fibers.ready_count++] = f;
}

/* --- switching --- */

static void before_switch(void **fake_stack UNUSED, const void *bottom UNUSED, size_t bytes UNUSED)
{
#ifdef HAS_ASAN
	__sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#endif
}

static void after_switch(void *fake_stack UNUSED, bool from_main UNUSED)
{
#ifdef HAS_ASAN
	if (from_main)
		__sanitizer_finish_switch_fiber(fake_stack, &fibers.main_stack, &fibers.main_stack_bytes);
	else
		__sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
}

/* Back to the scheduler; returns when this fiber is chosen again. last: it is not. */
static void leave(struct fiber *f, bool last)
{
	before_switch(last ? NULL : &f->fake_stack, fibers.main_stack, fibers.main_stack_bytes);
	switch_to(&f->place, &fibers.main);
	after_switch(f->fake_stack, true);
}

static void fiber_main(void)
{
	after_switch(NULL, true);
	struct fiber *f = fibers.running;

	f->result = f->fn(f->arg);
	f->ended = true;
	fibers.alive--;
	fiber_wake(&f->ended_line, true);
	if (f->detached)
		f->used = false;
	leave(f, true);
	PANIC("a fiber that has ended runs");
}

static void run(struct fiber *f)
{
	fibers.running = f;
	fibers.switches++;
	fibers.at_once++;
	before_switch(&fibers.main_fake_stack, (char *)f->stack + GUARD_BYTES, STACK_BYTES);
	switch_to(&fibers.main, &f->place);
	after_switch(fibers.main_fake_stack, false);
	fibers.running = NULL;
}

/* The moment of the next timer comes; false: there is none. */
static bool pass_time(void)
{
	while (fibers.timer_count > 0) {
		struct timer t = fibers.timers[0];

		timer_pop();
		if (t.fiber->timer != t.number)
			continue;
		if (t.at_ns > fibers.now_ns)
			fibers.at_once = 0;
		fibers.now_ns = MAX(fibers.now_ns, t.at_ns);
		if (t.fiber->line)
			line_remove(t.fiber);
		make_ready(t.fiber);
		return true;
	}
	return false;
}

bool fibers_run(void)
{
	while (fibers.alive > 0) {
		if (fibers.ready_count == 0 && !pass_time()) {
			(void)snprintf(fibers.trouble, sizeof(fibers.trouble), "all fibers wait for one another");
			return false;
		}
		uint32_t i = (uint32_t)(random_u64(&fibers.random) % fibers.ready_count);
		struct fiber *f = fibers.ready[i];

		fibers.ready[i] = fibers.ready[--fibers.ready_count];
		if (f->process && f->process->paused_until_ns > fibers.now_ns) {
			timer_push(f, f->process->paused_until_ns);
			continue;
		}
		if (fibers.at_once > SWITCHES_AT_ONCE_MAX) {
			(void)snprintf(fibers.trouble, sizeof(fibers.trouble), "fiber %s of %s never waits", f->name,
				       f->process ? f->process->name : "the world");
			return false;
		}
		run(f);
	}
	return true;
}

const char *fibers_trouble(void)
{
	return fibers.trouble;
}

/* --- life --- */

void fibers_begin(uint64_t seed, unsigned preempt)
{
	for (uint32_t i = 0; i < fibers.count; i++)
		fibers.all[i]->used = false;
	fibers.random = (struct random){ seed };
	fibers.preempt = preempt;
	fibers.now_ns = 0;
	fibers.switches = fibers.at_once = fibers.timers_made = 0;
	fibers.timer_count = fibers.ready_count = fibers.alive = 0;
	fibers.trouble[0] = '\0';
}

void fibers_end(void)
{
	for (uint32_t i = 0; i < fibers.count; i++) {
		(void)munmap(fibers.all[i]->stack, STACK_BYTES + GUARD_BYTES);
		free(fibers.all[i]);
	}
	fibers.count = 0;
}

static struct fiber *fiber_get(void)
{
	for (uint32_t i = 0; i < fibers.count; i++)
		if (!fibers.all[i]->used)
			return fibers.all[i];
	ASSERT(fibers.count < FIBERS_MAX);
	struct fiber *f = calloc(1, sizeof(*f));
	void *stack = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT(f && stack != MAP_FAILED && mprotect(stack, GUARD_BYTES, PROT_NONE) == 0);
	f->stack = stack;
	f->number = fibers.count;
	fibers.all[fibers.count++] = f;
	return f;
}

struct fiber *fiber_new(const char *name, struct process *p, void *(*fn)(void *), void *arg)
{
	struct fiber *f = fiber_get();

	*f = (struct fiber){ .number = f->number, .stack = f->stack, .process = p, .fn = fn, .arg = arg, .used = true };
	fiber_rename(f, name);
	switch_prepare(&f->place, (char *)f->stack + GUARD_BYTES, STACK_BYTES, fiber_main);
	fibers.alive++;
	make_ready(f);
	return f;
}

void fiber_rename(struct fiber *f, const char *name)
{
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
}

void *fiber_join(struct fiber *f)
{
	while (!f->ended)
		(void)fiber_wait(&f->ended_line, FIBER_FOREVER);
	f->used = false;
	return f->result;
}

void fiber_detach(struct fiber *f)
{
	f->detached = true;
	if (f->ended)
		f->used = false;
}

/* --- from within --- */

uint64_t fiber_now_ns(void)
{
	return fibers.now_ns;
}

uint64_t fiber_switches(void)
{
	return fibers.switches;
}

bool fiber_is_running(void)
{
	return fibers.running != NULL;
}

struct fiber *fiber_self(void)
{
	return fibers.running;
}

const char *fiber_name(void)
{
	return fibers.running ? fibers.running->name : "main";
}

struct process *fiber_process(void)
{
	return fibers.running ? fibers.running->process : NULL;
}

struct process *fiber_enter(struct process *p)
{
	struct process *before = fibers.running->process;

	fibers.running->process = p;
	return before;
}

void fiber_yield(void)
{
	struct fiber *f = fibers.running;

	make_ready(f);
	leave(f, false);
}

void fiber_give_way(void)
{
	if (fibers.running && fibers.held == 0 && fibers.preempt > 0 &&
	    random_u64(&fibers.random) % fibers.preempt == 0)
		fiber_yield();
}

void fiber_hold(void)
{
	fibers.held++;
}

void fiber_let_go(void)
{
	ASSERT(fibers.held > 0);
	fibers.held--;
}

void fiber_sleep_ns(uint64_t ns)
{
	struct fiber *f = fibers.running;

	timer_push(f, fibers.now_ns + ns);
	leave(f, false);
}

bool fiber_wait(struct fiber_line *l, uint64_t until_ns)
{
	struct fiber *f = fibers.running;

	ASSERT(f);
	f->woken = false;
	line_add(l, f);
	if (until_ns != FIBER_FOREVER)
		timer_push(f, MAX(until_ns, fibers.now_ns));
	leave(f, false);
	return f->woken;
}

void fiber_wake(struct fiber_line *l, bool all)
{
	while (l->first) {
		struct fiber *f = l->first;

		l->first = f->next;
		f->line = NULL;
		f->woken = true;
		make_ready(f);
		if (!all)
			return;
	}
}
