/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof of a region that copied another one's state: its own trees at a mark against those of a region that was there all
 * the time.
 */
#include "replicator/audit_inner.h"

#include "replicator/marked.h"

static enum err ask(struct audit *a, uint8_t region, struct audit_request *q, struct buf *answer, struct arena *arena,
		    struct audit_reply *ret_reply, struct fault *f)
{
	CLEANUP(buf_release) struct buf request = BUF_INIT(AUDIT_BYTES_MAX);
	struct peer_link *link = a->o.peers ? peers_link(a->o.peers) : NULL;

	if (!link || !link->audit)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to ask region %u", region);
	q->fleet = audit_fleet(a);
	q->sender = audit_self(a);
	enum err err = audit_request_encode(q, &request);
	if (!err)
		err = link->audit(link, region, buf_bytes(&request), answer, f);
	if (!err)
		err = audit_reply_decode(buf_bytes(answer), arena, ret_reply, f);
	if (err)
		return err;
	if (ret_reply->kind != q->kind)
		return fault_set(f, ERR_BAD_GATEWAY, "region %u answered another question", region);
	err = audit_reply_refusal(ret_reply);
	return err ? fault_set(f, err, "%.*s", STR_FMT(ret_reply->words)) : ERR_NONE;
}

/* The newest, when it lies beyond; NULL: none does. */
static struct marked *newest_beyond(struct audit *a, struct position beyond)
{
	struct marked *m = NULL;

	(void)pthread_mutex_lock(&a->lock);
	if (a->marked[0] && position_compare(a->marked[0]->position, beyond) > 0)
		m = marked_ref(a->marked[0]);
	(void)pthread_mutex_unlock(&a->lock);
	return m;
}

static enum err differs(const struct audit_root *r, const char *how, struct fault *f)
{
	return fault_set(f, ERR_FORK, "shard %u of collection %016llx-%u %s", r->shard, (unsigned long long)r->incarnation.hlc,
			 r->incarnation.region, how);
}

static enum err compare(const struct marked *m, const struct audit_reply *r, struct fault *f)
{
	for (uint32_t i = 0; i < r->root_count; i++) {
		const struct audit_root *there = &r->roots[i];
		const struct marked_shard *here = marked_find(m, there->incarnation, there->shard);

		if (!here)
			return differs(there, "is not here", f);
		struct hash128 root = merkle_root(here->tree);
		if (!here->multi && (merkle_bits(here->tree) != there->bits || root.lo != there->root.lo ||
				     root.hi != there->root.hi))
			return differs(there, "has other points here", f);
	}
	return r->root_count == m->count ? ERR_NONE
					 : fault_set(f, ERR_FORK, "there are %u shards more here", m->count - r->root_count);
}

enum err audit_prove(struct audit *a, uint8_t with, struct position beyond, uint64_t *ret_mark, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(AUDIT_BYTES_MAX);
	CLEANUP(arena_release) struct arena arena;
	struct marked *m = newest_beyond(a, beyond);
	struct audit_reply r;

	arena_init(&arena, AUDIT_ARENA_BYTES_MAX);
	*ret_mark = 0;
	if (!m)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "no mark beyond (%llu,%llu) has come yet",
				 (unsigned long long)beyond.epoch, (unsigned long long)beyond.seq);
	struct audit_request q = { .kind = AUDIT_ROOTS, .mark = m->mark, .position = m->position };
	enum err err = ask(a, with, &q, &answer, &arena, &r, reterr_fault);
	if (!err && r.state != AUDIT_DONE)
		err = fault_set(reterr_fault, ERR_UNAVAILABLE, "region %u does not show its trees at mark %llu", with,
				(unsigned long long)m->mark);
	if (!err) {
		*ret_mark = m->mark;
		err = compare(m, &r, reterr_fault);
	}
	marked_unref(m);
	return err;
}

enum err audit_want(struct audit *a, uint8_t writer, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(AUDIT_BYTES_MAX);
	CLEANUP(arena_release) struct arena arena;
	struct audit_request q = { .kind = AUDIT_WANTED };
	struct audit_reply r;

	arena_init(&arena, AUDIT_ARENA_BYTES_MAX);
	if (writer == audit_self(a))
		return audit_wake(a, reterr_fault);
	return ask(a, writer, &q, &answer, &arena, &r, reterr_fault);
}
