/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/watchdog.h"

#include <stdlib.h>
#include <string.h>

enum err watchdog_init(struct watchdog *w, const uint64_t *turns, uint32_t count)
{
	w->turns = calloc(MAX(count, 1u), sizeof(*turns));
	if (!w->turns)
		return ERR_NO_MEMORY;
	w->count = count;
	if (count > 0)
		memcpy(w->turns, turns, count * sizeof(*turns));
	return ERR_NONE;
}

void watchdog_release(struct watchdog *w)
{
	free(w->turns);
	*w = (struct watchdog){ 0 };
}

int watchdog_check(struct watchdog *w, const uint64_t *turns)
{
	int first = -1;

	for (uint32_t i = 0; i < w->count; i++) {
		if (turns[i] == w->turns[i] && first < 0)
			first = (int)i;
		w->turns[i] = turns[i];
	}
	return first;
}
