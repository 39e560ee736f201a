/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions of a pull consumer. Pure.
 */
#include "replicator/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define REFUSED_WAIT_MS 250u
#define REFUSALS_MAX 8u
#define REBUKED_WAIT_MS 1000u /* the server found fault with the request itself */
#define PAUSE_MARGIN_MS 300u
#define MUTE_MAX 2u

void pull_init(struct pull *p, bool can_reset, uint64_t ack_wait_ms, uint64_t from)
{
	*p = (struct pull){ .can_reset = can_reset, .ack_wait_ms = ack_wait_ms };
	if (from == STREAM_FROM_ACKED)
		p->from_acked = true;
	else
		pull_move(p, from);
}

void pull_move(struct pull *p, uint64_t seq)
{
	p->cursor = p->acked = seq - 1;
	p->from_acked = false;
}

void pull_acked(struct pull *p, uint64_t seq)
{
	p->acked = MAX(p->acked, MIN(seq, p->cursor));
}

/* Another stream, or one that lost its end: what was delivered no longer says where to go on. */
static void find_generation(struct pull *p, const struct pull_found *found, uint64_t before_first,
			    struct pull_plan *plan)
{
	if (p->birth && found->birth != p->birth) {
		plan->gap = plan->generation = true;
		plan->told = (struct stream_gap){ .kind = STREAM_GAP_REBORN };
		p->cursor = p->acked = before_first;
	} else if (found->last < p->cursor) {
		plan->gap = plan->generation = true;
		plan->told = (struct stream_gap){ .kind = STREAM_GAP_REWOUND,
						  .from = found->last + 1,
						  .to = p->cursor };
		p->cursor = found->last;
		p->acked = MIN(p->acked, found->last);
	}
	p->birth = found->birth;
}

static void find_durable(struct pull *p, const struct pull_found *found, struct pull_plan *plan)
{
	/* One that says nothing though it can be asked about may be a ruin of an earlier
	 * removal. */
	bool mute = p->mute >= (p->can_reset ? 1u : MUTE_MAX);
	bool in_place = found->durable && found->floor == p->acked && found->unacked == 0 && !mute;
	/* What is delivered and open comes again after ack_wait, and a floor behind ours brings
	 * what is known. */
	bool usable = found->durable && found->floor <= p->acked && !p->can_reset &&
		      !p->force_reset && !mute;

	if (in_place || usable)
		return;
	plan->remove = found->durable;
	plan->create = p->acked + 1;
}

void pull_attach(struct pull *p, const struct pull_found *found, struct pull_plan *ret_plan)
{
	uint64_t before_first = found->first ? found->first - 1 : 0;

	*ret_plan = (struct pull_plan){ 0 };
	if (p->from_acked) {
		p->cursor = p->acked = found->durable ? found->floor : 0;
		p->from_acked = false;
	}
	find_generation(p, found, before_first, ret_plan);
	if (before_first > p->cursor) {
		struct stream_gap expired = { .kind = STREAM_GAP_EXPIRED,
					      .from = p->cursor + 1,
					      .to = before_first };
		if (ret_plan->gap)
			ret_plan->also = expired;
		else
			ret_plan->told = expired;
		ret_plan->gap = true;
		p->cursor = p->acked = before_first;
	}
	find_durable(p, found, ret_plan);
	p->force_reset = false;
}

void pull_begin(struct pull *p, const struct pull_plan *plan, uint64_t now_ns)
{
	p->start = plan->create;
	p->open_count = 0;
	p->heard_ns = now_ns;
	p->quiet_until_ns = now_ns;
	p->refusals = 0;
	p->pauses = 0;
}

static uint32_t credit(const struct pull *p)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < p->open_count; i++)
		sum += p->open[i].left;
	return sum;
}

static void request_remove(struct pull *p, uint32_t at)
{
	p->open_count--;
	memmove(&p->open[at], &p->open[at + 1], (p->open_count - at) * sizeof(p->open[0]));
}

bool pull_ask(struct pull *p, uint64_t now_ns, uint32_t *ret_token)
{
	if (now_ns < p->quiet_until_ns || p->open_count == PULL_OVERLAP ||
	    credit(p) > (PULL_OVERLAP - 1) * PULL_BATCH)
		return false;
	/* Silence is to be counted from here: nothing was to be heard while nothing was asked
	 * for. */
	if (p->open_count == 0)
		p->heard_ns = now_ns;
	p->open[p->open_count++] = (struct pull_request){
		.token = ++p->next_token,
		.left = PULL_BATCH,
		.ends_ns = now_ns + (uint64_t)(PULL_EXPIRES_MS + PULL_GRACE_MS) * NS_PER_MS,
	};
	*ret_token = p->next_token;
	return true;
}

void pull_request_text(char out[PULL_REQUEST_MAX])
{
	snprintf(out, PULL_REQUEST_MAX,
		 "{\"batch\":%u,\"expires\":%" PRIu64
		 ",\"max_bytes\":%u,\"idle_heartbeat\":%" PRIu64 "}",
		 PULL_BATCH, (uint64_t)PULL_EXPIRES_MS * NS_PER_MS, PULL_BYTES_MAX,
		 (uint64_t)PULL_BEAT_MS * NS_PER_MS);
}

static void quiet_for(struct pull *p, uint64_t now_ns, uint64_t ms)
{
	p->open_count = 0;
	p->quiet_until_ns = now_ns + ms * NS_PER_MS;
}

void pull_refused(struct pull *p, uint64_t now_ns)
{
	quiet_for(p, now_ns, REFUSED_WAIT_MS);
}

bool pull_expire(struct pull *p, uint64_t now_ns)
{
	if (p->open_count > 0 && now_ns >= p->heard_ns + (uint64_t)PULL_SILENCE_MS * NS_PER_MS) {
		p->silences++;
		p->mute++;
		return true;
	}
	while (p->open_count > 0 && now_ns >= p->open[0].ends_ns)
		request_remove(p, 0);
	return false;
}

uint64_t pull_due_ns(const struct pull *p, uint64_t now_ns)
{
	if (p->open_count == 0)
		return MAX(now_ns, p->quiet_until_ns);
	return MIN(p->heard_ns + (uint64_t)PULL_SILENCE_MS * NS_PER_MS, p->open[0].ends_ns);
}

/* $JS.ACK.<stream>.<durable>.<delivered>.<seq>.<consumer seq>.<time>.<pending>, with
 * <domain>.<account> before the stream and perhaps a token at the end from later servers. */
#define META_TOKENS_MAX 12
bool pull_meta_parse(const char *reply, struct pull_meta *ret_meta)
{
	const char *tokens[META_TOKENS_MAX];
	unsigned count = 0;

	if (strncmp(reply, "$JS.ACK.", 8) != 0)
		return false;
	for (const char *at = reply; at && count < META_TOKENS_MAX; count++) {
		tokens[count] = at;
		at = strchr(at, '.');
		if (at)
			at++;
	}
	if (count != 9 && count < 11)
		return false;
	unsigned base = count == 9 ? 5 : 7;
	int used = 0;
	uint64_t time;
	struct pull_meta m;
	int n = sscanf(tokens[base], "%" SCNu64 ".%" SCNu64 ".%" SCNu64 ".%" SCNu64 "%n", &m.seq,
		       &m.consumer_seq, &time, &m.pending, &used);
	if (n != 4 || (tokens[base][used] != '\0' && tokens[base][used] != '.') || m.seq == 0)
		return false;
	*ret_meta = m;
	return true;
}

static enum pull_verdict hole(struct pull *p, uint64_t now_ns)
{
	p->holes++;
	if (p->can_reset)
		return PULL_ATTACH;
	/* Late messages of one pause lengthen it, they do not make another. */
	if (now_ns >= p->quiet_until_ns && ++p->pauses > PULL_PAUSES_MAX) {
		p->force_reset = true;
		return PULL_ATTACH;
	}
	quiet_for(p, now_ns, p->ack_wait_ms + PAUSE_MARGIN_MS);
	return PULL_HOLE;
}

enum pull_verdict pull_data(struct pull *p, const struct pull_meta *m, uint64_t now_ns)
{
	p->heard_ns = now_ns;
	p->refusals = 0;
	p->mute = 0;
	if (p->open_count > 0 && --p->open[0].left == 0)
		request_remove(p, 0);

	if (m->seq <= p->cursor) {
		p->duplicates++;
		return PULL_KNOWN;
	}
	bool next = m->seq == p->cursor + 1;
	/* The first that a durable made at or before the next sequence brings: the stream has
	 * nothing before it. */
	bool skipped = m->consumer_seq == 1 && p->start > 0 && p->start <= p->cursor + 1;
	if (!next && !skipped)
		return hole(p, now_ns);
	p->cursor = m->seq;
	p->pauses = 0;
	return next ? PULL_DELIVER : PULL_SKIPPED;
}

static void request_end(struct pull *p, uint32_t token)
{
	for (uint32_t i = 0; i < p->open_count; i++)
		if (p->open[i].token == token) {
			request_remove(p, i);
			return;
		}
}

enum pull_verdict pull_answer(struct pull *p, const struct pull_status *s, uint64_t now_ns)
{
	if (s->code == 503) {
		quiet_for(p, now_ns, REFUSED_WAIT_MS);
		if (++p->refusals < REFUSALS_MAX)
			return PULL_GO_ON;
		p->refusals = 0;
		return PULL_ATTACH;
	}
	p->heard_ns = now_ns;
	p->refusals = 0;
	p->mute = 0;
	switch (s->code) {
	case 100:
		return PULL_GO_ON;
	case 404:
	case 408:
		request_end(p, s->token);
		return PULL_GO_ON;
	case 409:
		if (strstr(s->words, "Consumer Deleted") || strstr(s->words, "Consumer is"))
			return PULL_ATTACH;
		if (strstr(s->words, "Message Size Exceeds MaxBytes")) {
			request_end(p, s->token);
			return PULL_GO_ON;
		}
		break;
	default:
		break;
	}
	quiet_for(p, now_ns, REBUKED_WAIT_MS);
	return PULL_GO_ON;
}
