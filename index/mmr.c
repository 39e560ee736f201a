/* SPDX-License-Identifier: Apache-2.0 */
#include "index/mmr.h"

#include <math.h>
#include <stdlib.h>

#include "base/macros.h"

struct state {
	float *nearest; /* similarity to the most similar one that was picked */
	bool *picked;
};

static void state_release(struct state *s)
{
	free(s->nearest);
	free(s->picked);
}

/* The most relevant one. */
static uint32_t first(const struct mmr *m)
{
	uint32_t most = 0;

	for (uint32_t i = 1; i < m->count; i++)
		if (m->relevance[i] > m->relevance[most])
			most = i;
	return most;
}

/* m->count: there is none left. */
static uint32_t next(const struct mmr *m, const struct state *s)
{
	uint32_t at = m->count;
	float most = -INFINITY;

	for (uint32_t i = 0; i < m->count; i++) {
		float margin = m->lambda * m->relevance[i] - (1.0f - m->lambda) * s->nearest[i];

		if (s->picked[i] || (at < m->count && !(margin > most)))
			continue;
		at = i;
		most = margin;
	}
	return at;
}

static void pick(const struct mmr *m, struct state *s, uint32_t at)
{
	s->picked[at] = true;
	for (uint32_t i = 0; i < m->count; i++)
		if (!s->picked[i])
			s->nearest[i] = MAX(s->nearest[i], m->similarity(m->ctx, i, at));
}

enum err mmr_pick(const struct mmr *m, uint32_t limit, uint32_t *picks, uint32_t *ret_count)
{
	CLEANUP(state_release)
	struct state s = {
		.nearest = calloc((size_t)m->count + 1, sizeof(*s.nearest)),
		.picked = calloc((size_t)m->count + 1, sizeof(*s.picked)),
	};
	uint32_t n = 0;

	if (!s.nearest || !s.picked)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->count; i++)
		s.nearest[i] = -INFINITY;
	for (uint32_t at = first(m); n < limit && at < m->count; at = next(m, &s)) {
		enum err err = deadline_check(&m->deadline);

		if (err)
			return err;
		picks[n++] = at;
		pick(m, &s, at);
	}
	*ret_count = n;
	return ERR_NONE;
}
