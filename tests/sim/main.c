/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmus-sim: runs worlds, each from a seed and in a process of its own, so that one that ends badly is a result like any
 * other. The last line says all: {"runs", "violations", "first_bad_seed", "replay"}.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/panic.h"
#include "tests/sim/scenario.h"
#include "tests/sim/trace.h"

#define SEEDS_DEFAULT 100
/* One run in so many is run twice, and must be the same. */
#define REPEAT_ONE_OF 10
#define RUN_SECONDS_MAX 300

struct options {
	uint64_t first, seeds;
	unsigned faults;
	const char *scenario; /* NULL: none; or its name, or the beginning of it up to a dot */
	bool one, trace, quiet, list;
};

struct totals {
	uint64_t runs, violations, first_bad_seed, repeated;
	uint64_t virtual_ns, ops, acknowledged, reads, restarts, switchovers;
	unsigned seen_faults;
	const struct scenario *first_bad;
};

static int out;

static void tell(const struct run_result *r)
{
	(void)!write(out, r, sizeof(*r));
}

static struct run_result told;

static void tell_violation(const char *words)
{
	(void)snprintf(told.violation, sizeof(told.violation), "%s", words);
	tell(&told);
}

/* Memory that was given back is taken again soon: the kernel need not clear its pages in between. */
static void keep_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, INT_MAX);
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	(void)mallopt(M_TOP_PAD, 16 << 20);
}

/* In the child. */
static void run_here(const struct run_result *r, const struct options *o)
{
	(void)alarm(RUN_SECONDS_MAX);
	told = *r;
	violation_told = tell_violation;
	trace_begin(o->trace);
	world_run(&told);
	fibers_end();
	tell(&told);
	(void)fflush(stdout);
	/* What a sanitizer has to say of memory that was not given back, it says at the end. */
	exit(0);
}

static struct run_result run(const struct scenario *scenario, uint64_t seed, const struct options *o)
{
	const struct run_result begin = { .seed = seed,
					  .scenario = scenario,
					  .faults = scenario ? 0 : world_faults(seed, o->faults) };
	struct run_result r = begin;
	int ends[2];
	int status;

	if (pipe(ends) != 0)
		PANIC("no pipe");
	pid_t child = fork();
	if (child < 0)
		PANIC("no process");
	if (child == 0) {
		(void)close(ends[0]);
		out = ends[1];
		run_here(&begin, o);
	}
	(void)close(ends[1]);
	ssize_t n = read(ends[0], &r, sizeof(r));
	(void)close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(r))
		r = begin;
	if (r.violation[0] == '\0' && WIFSIGNALED(status))
		(void)snprintf(r.violation, sizeof(r.violation), "the run was ended by signal %d", WTERMSIG(status));
	else if (r.violation[0] == '\0' && (n != (ssize_t)sizeof(r) || WEXITSTATUS(status) != 0))
		(void)snprintf(r.violation, sizeof(r.violation), "the run ended with status %d", WEXITSTATUS(status));
	return r;
}

static void say_name(const struct run_result *r)
{
	if (r->scenario)
		printf("%s ", r->scenario->name);
	printf("seed %" PRIu64 ": ", r->seed);
}

static void say_faults(unsigned faults)
{
	for (unsigned i = 0; i < FAULT_KINDS; i++)
		if (faults >> i & 1)
			printf(" %s", fault_word((enum fault_kind)i));
}

static void count(struct totals *t, const struct run_result *r, bool quiet)
{
	t->runs++;
	t->virtual_ns += r->virtual_ns;
	t->ops += r->ops;
	t->acknowledged += r->acknowledged;
	t->reads += r->reads;
	t->restarts += r->restarts;
	t->switchovers += r->switchovers;
	t->seen_faults |= r->faults;
	if (r->violation[0] == '\0') {
		if (quiet)
			return;
		say_name(r);
		printf("%.0f s, %" PRIu64 " ops, %" PRIu64 " of %" PRIu64 " writes acknowledged, hash %016" PRIx64 ",",
		       (double)r->virtual_ns / 1e9, r->ops, r->acknowledged, r->writes, r->trace_hash);
		say_faults(r->faults);
		printf("\n");
		return;
	}
	if (t->violations++ == 0) {
		t->first_bad_seed = r->seed;
		t->first_bad = r->scenario;
	}
	say_name(r);
	printf("%s; faults:", r->violation);
	say_faults(r->faults);
	printf("\n");
}

/* The same again. */
static void repeat(struct totals *t, const struct run_result *first, const struct options *o)
{
	struct run_result again = run(first->scenario, first->seed, o);

	t->repeated++;
	t->virtual_ns += again.virtual_ns;
	if (again.trace_hash == first->trace_hash && again.switches == first->switches)
		return;
	(void)snprintf(again.violation, sizeof(again.violation),
		       "determinism: the same seed gave %016" PRIx64 " and %016" PRIx64, first->trace_hash,
		       again.trace_hash);
	t->runs--;
	count(t, &again, o->quiet);
}

static int usage(void)
{
	fputs("usage: isthmus-sim [--seeds N] [--first S] [--seed S [--trace]] [--faults WORD,...] [--quiet]\n"
	      "                   [--scenario NAME|all] [--list]\n",
	      stderr);
	return 2;
}

static bool parse_faults(const char *words, unsigned *ret_faults)
{
	*ret_faults = 0;
	while (*words) {
		size_t n = strcspn(words, ",");
		unsigned i = 0;

		while (i < FAULT_KINDS && (strlen(fault_word((enum fault_kind)i)) != n ||
					   strncmp(fault_word((enum fault_kind)i), words, n) != 0))
			i++;
		if (i == FAULT_KINDS && (n != 4 || strncmp(words, "none", n) != 0))
			return false;
		*ret_faults |= i < FAULT_KINDS ? 1u << i : 0;
		words += n + (words[n] == ',');
	}
	return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		char *end = NULL;
		uint64_t number = value ? strtoull(value, &end, 0) : 0;
		bool is_number = value && *value && !*end;

		if (strcmp(argv[i], "--trace") == 0) {
			o->trace = true;
		} else if (strcmp(argv[i], "--quiet") == 0) {
			o->quiet = true;
		} else if (strcmp(argv[i], "--list") == 0) {
			o->list = true;
		} else if (strcmp(argv[i], "--scenario") == 0 && value) {
			o->scenario = value;
			i++;
		} else if (strcmp(argv[i], "--faults") == 0 && value && parse_faults(value, &o->faults)) {
			i++;
		} else if (strcmp(argv[i], "--seeds") == 0 && is_number) {
			o->seeds = number;
			i++;
		} else if (strcmp(argv[i], "--first") == 0 && is_number) {
			o->first = number;
			i++;
		} else if (strcmp(argv[i], "--seed") == 0 && is_number) {
			o->first = number;
			o->seeds = 1;
			o->one = true;
			i++;
		} else {
			return false;
		}
	}
	return true;
}

static double seconds(void)
{
	struct timespec t;

	(void)timespec_get(&t, TIME_UTC);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void conclude(const struct totals *t, double took_s)
{
	printf("%.0f simulated seconds in %.1f s (%.0f times as fast), %" PRIu64 " ops, %" PRIu64
	       " acknowledged writes, %" PRIu64 " reads, %" PRIu64 " restarts, %" PRIu64 " switchovers, %" PRIu64
	       " runs repeated\n",
	       (double)t->virtual_ns / 1e9, took_s, took_s > 0 ? (double)t->virtual_ns / 1e9 / took_s : 0, t->ops,
	       t->acknowledged, t->reads, t->restarts, t->switchovers, t->repeated);
	printf("{\"runs\": %" PRIu64 ", \"violations\": %" PRIu64, t->runs, t->violations);
	if (t->violations > 0)
		printf(", \"first_bad_seed\": %" PRIu64 ", \"replay\": \"./dev sim %s%s%s--seed %" PRIu64 " --trace\"}\n",
		       t->first_bad_seed, t->first_bad ? "--scenario " : "", t->first_bad ? t->first_bad->name : "",
		       t->first_bad ? " " : "", t->first_bad_seed);
	else
		printf(", \"first_bad_seed\": null, \"replay\": null}\n");
}

static void run_all(const struct scenario *scenario, uint64_t seeds, struct totals *t, const struct options *o)
{
	for (uint64_t i = 0; i < seeds; i++) {
		struct run_result r = run(scenario, o->first + i, o);

		count(t, &r, o->quiet);
		(void)fflush(stdout);
		if (r.violation[0] == '\0' && !o->trace && (o->one || i % REPEAT_ONE_OF == 0))
			repeat(t, &r, o);
	}
}

static void run_scenarios(struct totals *t, const struct options *o)
{
	for (uint32_t i = 0; i < scenario_count(); i++) {
		const struct scenario *s = scenario_at(i);

		if (scenario_is(s, o->scenario))
			run_all(s, o->seeds > 0 ? o->seeds : s->seeds, t, o);
	}
}

static int list(void)
{
	for (uint32_t i = 0; i < scenario_count(); i++) {
		const struct scenario *s = scenario_at(i);

		printf("%-20s %3u seeds  %s\n", s->name, s->seeds, s->words);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1, .faults = UINT_MAX };
	struct totals t = { 0 };
	double begun_s = seconds();

	if (!parse(argc, argv, &o))
		return usage();
	if (o.list)
		return list();
	keep_memory();
	if (o.scenario)
		run_scenarios(&t, &o);
	else
		run_all(NULL, o.seeds > 0 ? o.seeds : SEEDS_DEFAULT, &t, &o);
	conclude(&t, seconds() - begun_s);
	return t.violations == 0 && t.runs > 0 ? 0 : 1;
}
