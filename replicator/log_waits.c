/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/log_waits.h"

#include <stdlib.h>

#include "base/panic.h"

#define NS_PER_MS UINT64_C(1000000)

struct kind {
	const char *word;
	uint32_t told_ms;
	bool stops;
	const char *action;
};

static const struct kind kinds[LOG_WAIT_KINDS] = {
#define LOG_WAIT(name, word, told_ms, stops, action) { word, told_ms, stops, action },
#include "replicator/log_wait.def"
#undef LOG_WAIT
};

const char *log_wait_word(enum log_wait_kind k)
{
	ASSERT(k < LOG_WAIT_KINDS);
	return kinds[k].word;
}

const char *log_wait_action(enum log_wait_kind k)
{
	ASSERT(k < LOG_WAIT_KINDS);
	return kinds[k].action;
}

bool log_wait_stops(enum log_wait_kind k)
{
	ASSERT(k < LOG_WAIT_KINDS);
	return kinds[k].stops;
}

/* --- a look --- */

static struct log_waits_entry *find(struct log_waits *w, uint64_t log, uint8_t source)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->entries[i].wait.log == log && w->entries[i].wait.source == source)
			return &w->entries[i];
	return NULL;
}

static struct log_waits_entry *make_room(struct log_waits *w, enum log_wait_kind kind)
{
	if (w->count < LOG_WAITS_MAX)
		return &w->entries[w->count++];
	for (uint32_t i = 0; kind == LOG_WAIT_FAULT && i < w->count; i++)
		if (w->entries[i].wait.kind != LOG_WAIT_FAULT)
			return &w->entries[i];
	return NULL;
}

void log_waits_begin(struct log_waits *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		w->entries[i].is_noted = false;
}

void log_waits_note(struct log_waits *w, const struct log_wait *wait, uint64_t now_ns)
{
	struct log_waits_entry *e = find(w, wait->log, wait->source);

	if (e == NULL) {
		e = make_room(w, wait->kind);
		if (e == NULL)
			return;
		*e = (struct log_waits_entry){ .wait = *wait, .since_ns = now_ns, .is_new = true };
	}
	if (!e->is_noted || wait->kind > e->noted.kind)
		e->noted = *wait;
	e->is_noted = true;
}

void log_waits_keep(struct log_waits *w, uint64_t log)
{
	struct log_waits_entry *e = find(w, log, 0);

	if (e != NULL && !e->is_noted) {
		e->noted = e->wait;
		e->is_noted = true;
	}
}

/* Another reason is another matter, even if it was the turn of the same op. */
static void take_noted(struct log_waits_entry *e, uint64_t now_ns)
{
	if (!e->is_new && e->noted.kind != e->wait.kind) {
		e->since_ns = now_ns;
		e->told = false;
	}
	e->wait = e->noted;
	e->is_new = false;
}

static void drop(struct log_waits *w, uint32_t i)
{
	w->entries[i] = w->entries[--w->count];
}

uint32_t log_waits_end(struct log_waits *w, uint64_t now_ns, struct log_waits_news out[LOG_WAITS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->count;) {
		struct log_waits_entry *e = &w->entries[i];

		if (e->is_noted) {
			take_noted(e, now_ns);
		} else if (e->wait.kind != LOG_WAIT_FAULT) {
			if (e->told)
				out[n++] = (struct log_waits_news){ .wait = e->wait, .over = true };
			drop(w, i);
			continue;
		}
		if (!e->told && now_ns - e->since_ns >= kinds[e->wait.kind].told_ms * NS_PER_MS) {
			e->told = true;
			out[n++] = (struct log_waits_news){ .wait = e->wait };
		}
		i++;
	}
	return n;
}

bool log_waits_cured(struct log_waits *w, uint64_t log, uint8_t source)
{
	struct log_waits_entry *e = find(w, log, source);

	if (e == NULL)
		return false;
	bool told = e->told;
	drop(w, (uint32_t)(e - w->entries));
	return told;
}

/* --- looking --- */

static int compare_waited_down(const void *a, const void *b)
{
	const struct log_waits_told *x = a;
	const struct log_waits_told *y = b;

	if (x->waited_ms != y->waited_ms)
		return x->waited_ms > y->waited_ms ? -1 : 1;
	return (x->wait.log > y->wait.log) - (x->wait.log < y->wait.log);
}

uint32_t log_waits_told(const struct log_waits *w, uint64_t now_ns, struct log_waits_told out[LOG_WAITS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->count; i++) {
		const struct log_waits_entry *e = &w->entries[i];

		if (e->told)
			out[n++] = (struct log_waits_told){ e->wait, (now_ns - e->since_ns) / NS_PER_MS };
	}
	qsort(out, n, sizeof(out[0]), compare_waited_down);
	return n;
}
