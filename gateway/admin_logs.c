/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin_logs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"
#include "replicator/replicator.h"

#define LOG_TEXT 17

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
	put_key(w, key);
	json_put_cstr(w, value);
}

/* The id is a number beyond what JSON readers keep exactly, and is written in hexadecimal wherever a person sees it. */
static void put_op(struct json_writer *w, uint64_t log, uint64_t seq)
{
	char text[LOG_TEXT];

	(void)snprintf(text, sizeof(text), "%016" PRIx64, log);
	put_text(w, "log", text);
	put_key(w, "seq");
	json_put_u64(w, seq);
}

static void put_wait(struct peers *peers, struct json_writer *w, const struct log_waits_told *t)
{
	const struct peer_config *writer = peers_by_id(peers, (uint8_t)t->wait.log);

	json_put_object(w);
	put_op(w, t->wait.log, t->wait.seq);
	put_text(w, "region", writer ? writer->name : "");
	put_text(w, "reason", log_wait_word(t->wait.kind));
	put_key(w, "seconds");
	json_put_f64(w, (double)t->waited_ms / 1000);
	put_text(w, "words", fault_text(&t->wait.why));
	put_text(w, "action", log_wait_action(t->wait.kind));
	json_put_object_end(w);
}

static void put_elsewhere(struct peers *peers, struct json_writer *w, uint32_t peer)
{
	struct standing_wait waits[STANDING_WAITS_MAX];
	uint32_t n = peers_waits(peers, peer, waits);

	for (uint32_t i = 0; i < n; i++) {
		json_put_object(w);
		put_op(w, waits[i].log, waits[i].seq);
		put_text(w, "region", peers_config(peers, peer)->name);
		put_text(w, "reason",
			 waits[i].kind < LOG_WAIT_KINDS ? log_wait_word((enum log_wait_kind)waits[i].kind) : "unknown");
		json_put_object_end(w);
	}
}

enum err admin_logs_put(struct call *c, struct json_writer *w)
{
	struct replicator *r = c->api->replicator;
	struct peers *peers = replicator_peers(r);
	struct log_waits_told *told = calloc(LOG_WAITS_MAX, sizeof(*told));
	int64_t ahead_ms;

	if (!told)
		return ERR_NO_MEMORY;
	uint32_t n = replicator_waits(r, told);
	put_key(w, "logs_waiting");
	json_put_array(w);
	for (uint32_t i = 0; i < n; i++)
		put_wait(peers, w, &told[i]);
	json_put_array_end(w);
	free(told);
	put_key(w, "own_logs_waiting");
	json_put_array(w);
	for (uint32_t i = 0; i < peers_count(peers); i++)
		put_elsewhere(peers, w, i);
	json_put_array_end(w);
	put_key(w, "clock_off");
	json_put_bool(w, replicator_clock_is_off(r, &ahead_ms));
	put_key(w, "clock_ahead_ms");
	json_put_i64(w, ahead_ms);
	return ERR_NONE;
}

void admin_logs_measure(struct replicator *r)
{
	struct log_waits_told *told = calloc(LOG_WAITS_MAX, sizeof(*told));
	struct standing_wait waits[STANDING_WAITS_MAX];
	struct peers *peers = replicator_peers(r);
	double counts[LOG_WAIT_KINDS] = { 0 };
	int64_t ahead_ms;

	/* Without memory the numbers stay as they were. */
	if (!told)
		return;
	uint32_t n = replicator_waits(r, told);
	for (uint32_t i = 0; i < n; i++)
		counts[told[i].wait.kind]++;
	free(told);
	for (unsigned k = 0; k < LOG_WAIT_KINDS; k++)
		metric_series_set(metric_series(METRIC_isthmus_logs_waiting, log_wait_word((enum log_wait_kind)k)), counts[k]);
	for (uint32_t i = 0; i < peers_count(peers); i++)
		if (peers_config(peers, i)->data)
			metric_series_set(metric_series(METRIC_isthmus_own_logs_waiting, peers_config(peers, i)->name),
					  peers_waits(peers, i, waits));
	(void)replicator_clock_is_off(r, &ahead_ms);
	metric_set(METRIC_isthmus_clock_off_seconds, (double)ahead_ms / 1000);
}
