/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenario.h"

#include <string.h>

#include "base/macros.h"
#include "tests/sim/trace.h"

#define ALARM(kind) (1u << FAULT_##kind)
#define ALARM_NONE 0u
#define ELECT true
#define GIVEN false /* the first primary is, and hands over */
#define QUIET false
#define BUSY true

static const struct scenario scenarios[] = {
#define SCENARIO(name, part, seeds, elections, clients, alarms, log_bytes_max, words) \
	{ #name "." #part, (seeds), (elections), (clients), (alarms), (log_bytes_max), scenario_##name##_##part, (words) },
#include "tests/sim/scenarios.def"
#undef SCENARIO
};

uint32_t scenario_count(void)
{
	return LEN(scenarios);
}

const struct scenario *scenario_at(uint32_t i)
{
	return &scenarios[i];
}

bool scenario_is(const struct scenario *s, const char *name)
{
	size_t n = strlen(name);

	return strcmp(name, "all") == 0 || (strncmp(s->name, name, n) == 0 && (s->name[n] == '\0' || s->name[n] == '.'));
}

void scenario_run(struct world *w)
{
	trace("scenario %s", w->scenario->name);
	w->scenario->fn(w);
	trace("the script ends");
}
