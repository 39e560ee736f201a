/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of collections while all else goes on: a collection "t" comes, is written to, and goes; payload indexes of "s" do.
 * What becomes of it is for the checks of all rows and catalogs at equal positions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/job.h"
#include "tests/sim/trace.h"

#define PAUSE_NS_MAX (4 * NS_PER_S)
#define NAME "t"

static struct job *next_job(struct sender *s)
{
	struct job *j;

	switch (random_u64(&s->random) % 8) {
	case 0:
	case 1:
		return job_create(s->world, NAME, false);
	case 2:
		return job_new(s->world, OP_DROP_COLLECTION, NAME);
	case 3:
		j = job_new(s->world, OP_FIELD_INDEX_PUT, oracle_collections[0]);
		j->intent.body.field_index = (struct field_index_config){
			.key = { oracle_keys[0], strlen(oracle_keys[0]) },
			.schema = FIELD_INTEGER,
		};
		return j;
	case 4:
		j = job_new(s->world, OP_FIELD_INDEX_DROP, oracle_collections[0]);
		j->intent.body.field_index.key = (struct str){ oracle_keys[0], strlen(oracle_keys[0]) };
		return j;
	default:
		return job_upsert(s->world, NAME, random_u64(&s->random) % ORACLE_POINTS, s->world->next_value++);
	}
}

static void *operator_main(void *arg)
{
	struct sender *s = arg;
	struct world *w = s->world;

	while (!w->clients_stop) {
		struct write answer = { 0 };
		struct job *j = next_job(s);
		enum op_kind kind = j->intent.kind;
		enum answer a = job_send(s, j, &answer);

		trace("operator %s: %d %s", op_kind_name(kind), a, answer.err ? fault_text(&answer.fault) : "");
		fiber_sleep_ns(random_u64(&s->random) % PAUSE_NS_MAX);
	}
	w->clients_alive--;
	fiber_wake(&w->clients_ended, true);
	free(s);
	return NULL;
}

void operator_start(struct world *w)
{
	struct sender *s = calloc(1, sizeof(*s));

	ASSERT(s);
	*s = (struct sender){ .world = w, .random = { w->seed * 37 } };
	w->clients_alive++;
	fiber_detach(fiber_new("operator", NULL, operator_main, s));
}
