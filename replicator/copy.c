/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note (commit_copy.c keeps it): u8 stage, u8 source, u8 ordered, u8 bound, u64 begun, position, u64 points, u64 points
 * expected, u64 bytes, u32 adoptions, incarnation, u32 shard, u32 next, position needed, key of the last conflict (varint
 * length). position: u64 epoch, u64 seq; incarnation: u64 hlc, u8 region.
 */
#include "replicator/copy.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replicator/publisher.h"
#include "replicator/snapshot_message.h"

#define ARENA_BYTES_MAX ((size_t)512 << 20)
#define APPLY_ARENA_BYTES_MAX (16u << 20)
/* A part that the copy had passed before it could be stored is asked for again; as often in a row. */
#define PARTS_LATE_MAX 100u
/* No shard has that number: the collection is done. */
#define SHARD_END UINT32_MAX

struct copy {
	struct copy_options o;
	struct copy_progress p;
	struct catalog *catalog;       /* with the committer: once there is a head */
	struct committer *committer;
	uint32_t late;                 /* parts in a row */
};

/* --- the note --- */

static void put_position(struct buf *b, struct position p)
{
	wire_put_u64(b, p.epoch);
	wire_put_u64(b, p.seq);
}

static struct position get_position(struct wire_reader *r)
{
	struct position p = { .epoch = wire_u64(r) };

	p.seq = wire_u64(r);
	return p;
}

static enum err put_progress(struct buf *b, const struct copy_progress *p)
{
	wire_put_u8(b, (uint8_t)p->stage);
	wire_put_u8(b, p->source);
	wire_put_u8(b, p->ordered);
	wire_put_u8(b, p->bound);
	wire_put_u64(b, p->begun_ms);
	put_position(b, p->position);
	wire_put_u64(b, p->points);
	wire_put_u64(b, p->points_expected);
	wire_put_u64(b, p->bytes);
	wire_put_u32(b, p->adoptions);
	wire_put_u64(b, p->incarnation.hlc);
	wire_put_u8(b, p->incarnation.region);
	wire_put_u32(b, p->shard);
	wire_put_u32(b, p->next);
	put_position(b, p->needed);
	wire_put_bytes(b, p->after, p->after_bytes);
	return buf_err(b);
}

static enum err get_progress(struct bytes note, struct copy_progress *ret_progress)
{
	struct wire_reader r = wire_reader_of(note.data, note.len);
	struct copy_progress p = { .stage = (enum copy_stage)wire_u8(&r) };

	p.source = wire_u8(&r);
	p.ordered = wire_u8(&r) == 1;
	p.bound = wire_u8(&r) == 1;
	p.begun_ms = wire_u64(&r);
	p.position = get_position(&r);
	p.points = wire_u64(&r);
	p.points_expected = wire_u64(&r);
	p.bytes = wire_u64(&r);
	p.adoptions = wire_u32(&r);
	p.incarnation.hlc = wire_u64(&r);
	p.incarnation.region = wire_u8(&r);
	p.shard = wire_u32(&r);
	p.next = wire_u32(&r);
	p.needed = get_position(&r);
	struct bytes after = wire_bytes(&r);
	if (after.len > sizeof(p.after) || p.stage > COPY_ADOPTED)
		wire_fail(&r);
	enum err err = wire_done(&r);
	if (err)
		return err;
	memcpy(p.after, after.data, after.len);
	p.after_bytes = (uint32_t)after.len;
	*ret_progress = p;
	return ERR_NONE;
}

enum err copy_read_progress(struct store *s, struct copy_progress *ret_progress, bool *ret_there)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes note;

	arena_init(&a, 2 * COPY_NOTE_BYTES_MAX);
	*ret_progress = (struct copy_progress){ 0 };
	enum err err = committer_copy_note(s, &a, &note);
	*ret_there = !err && note.len > 0;
	return *ret_there ? get_progress(note, ret_progress) : err;
}

static enum err store_progress(struct store *s, const struct copy_progress *p, struct fault *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(COPY_NOTE_BYTES_MAX);

	enum err err = put_progress(&b, p);
	return err ? err : committer_copy_set_note(s, buf_bytes(&b), f);
}

/* What is noted holds from then on. */
static enum err note_progress(struct copy *c, const struct copy_progress *p, struct fault *f)
{
	enum err err = store_progress(c->o.store, p, f);

	if (!err)
		c->p = *p;
	return err;
}

/* --- life --- */

/* What is confirmed of it, as the others say. */
static struct position trim_floor(void *ctx)
{
	struct copy *c = ctx;
	struct position floor = { 0 };
	struct committer_state s;

	if (!c->committer)
		return floor;
	committer_state(c->committer, &s);
	for (uint32_t i = 0; i < peers_count(c->o.peers); i++) {
		struct peer_standing peer;

		peers_standing(c->o.peers, i, &peer);
		if (peer.heard && peer.confirmed.epoch <= s.epoch && position_compare(peer.confirmed, floor) > 0)
			floor = peer.confirmed;
	}
	return position_compare(floor, s.position) < 0 ? floor : s.position;
}

static uint64_t trim_floor_multi(void *ctx, uint64_t log)
{
	struct copy *c = ctx;
	uint64_t here = c->committer ? committer_log_seq(c->committer, log) : 0;

	return peers_log_floor(c->o.peers, log, here);
}

static bool may_forget(void *ctx, struct log_end end, uint64_t floor)
{
	(void)ctx;
	(void)end;
	(void)floor;
	return false;
}

static enum err open_catalog(struct copy *c, struct fault *f)
{
	const struct catalog_options o = { .store = c->o.store, .dir = c->o.dir, .unmetered = true };

	return catalog_open(&o, &c->catalog, f);
}

/* There is a head: from here on it is a region's state as any other. */
static enum err open_state(struct copy *c, struct fault *f)
{
	const struct peer_config *self = peers_self(c->o.peers);
	const struct committer_options o = {
		.clock = c->o.clock,
		.store = c->o.store,
		.region = self->id,
		.region_name = self->name,
		.log_bytes_max = c->o.log_bytes_max,
		.trim_floor = trim_floor,
		.trim_floor_multi = trim_floor_multi,
		.may_forget = may_forget,
		.undo = peers_majority(c->o.peers) > 1,
		.copying = true,
		.ctx = c,
	};
	struct committer_options with = o;
	enum err err = open_catalog(c, f);

	with.catalog = c->catalog;
	if (!err)
		err = committer_open(&with, &c->committer, f);
	return err ? err : catalog_start(c->catalog, f);
}

enum err copy_open(const struct copy_options *o, struct copy **ret_copy, struct fault *reterr_fault)
{
	struct copy *c = calloc(1, sizeof(*c));
	bool there;

	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a copy");
	c->o = *o;
	enum err err = copy_read_progress(o->store, &c->p, &there);
	if (err)
		(void)fault_set(reterr_fault, err, "reading how far the copy is: %s", err_sentence(err));
	if (!err && !there) {
		const struct copy_progress begun = { .source = o->source,
						     .ordered = o->ordered,
						     .bound = o->source != 0,
						     .begun_ms = clock_wall_ms(o->clock) };
		err = note_progress(c, &begun, reterr_fault);
	}
	if (!err && c->p.stage != COPY_WANTED)
		err = open_state(c, reterr_fault);
	if (err)
		copy_close(c);
	else
		*ret_copy = c;
	return err;
}

static void close_state(struct copy *c)
{
	committer_close(TAKE(c->committer));
	catalog_close(TAKE(c->catalog));
}

void copy_close(struct copy *c)
{
	if (!c)
		return;
	close_state(c);
	free(c);
}

void copy_progress(const struct copy *c, struct copy_progress *ret_progress)
{
	*ret_progress = c->p;
}

/* --- asking --- */

static enum err ask(struct copy *c, uint8_t source, struct snapshot_request *q, struct buf *answer, struct arena *a,
		    struct snapshot_reply *ret_reply, struct fault *f)
{
	CLEANUP(buf_release) struct buf request = BUF_INIT(SNAPSHOT_REQUEST_BYTES_MAX);
	struct peer_link *link = peers_link(c->o.peers);

	if (!link || !link->snapshot)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to ask region %u", source);
	q->fleet = peers_fleet(c->o.peers);
	q->sender = peers_self(c->o.peers)->id;
	enum err err = snapshot_request_encode(q, &request);
	if (!err)
		err = link->snapshot(link, source, buf_bytes(&request), answer, f);
	if (err)
		return err;
	c->p.source = source;
	c->p.bytes += answer->len;
	err = snapshot_reply_decode(buf_bytes(answer), a, ret_reply, f);
	if (err == ERR_VERSION)
		return fault_set(f, ERR_UNAVAILABLE, "region %u is of another version, whose snapshots cannot be read", source);
	if (err)
		return err;
	if (ret_reply->kind != q->kind)
		return fault_set(f, ERR_CORRUPT, "region %u answered another question", source);
	err = snapshot_reply_refusal(ret_reply);
	return err ? fault_set(f, err, "%.*s", STR_FMT(ret_reply->words)) : ERR_NONE;
}

/* --- the log --- */

static enum err apply_message(struct copy *c, struct committer *to, struct bytes payload, struct fault *f)
{
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct op_batch m;

	arena_init(&a, APPLY_ARENA_BYTES_MAX);
	enum err err = batch_decode(payload, &inflated, &a, &m, f);
	if (err)
		return err;
	if (m.fleet != peers_fleet(c->o.peers))
		return fault_set(f, ERR_CORRUPT, "a message of another fleet");
	struct remote_batch b = { .ops = arena_array(&a, m.count, sizeof(struct bytes)),
				  .count = m.count,
				  .scope = m.scope,
				  .chain_hash = m.chain_hash };
	if (!b.ops)
		return fault_set(f, ERR_NO_MEMORY, "no memory for a message of %u ops", m.count);
	memcpy(b.ops, m.ops, m.count * sizeof(*b.ops));
	return committer_apply(to, &b, f);
}

static struct position stands_at(const struct copy *c)
{
	struct committer_state s;

	committer_state(c->committer, &s);
	return s.position;
}

/* What follows in that region's log, or of `from`, when given, in this region's own. */
struct log_reader {
	uint8_t region;
	const struct log_source *from;
};

static enum err read_log(struct copy *c, const struct log_reader *r, uint16_t scope, struct position after, struct fault *f)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct peer_link *link = peers_link(c->o.peers);
	struct op_batch head;
	enum err err = r->from ? log_message(r->from, scope, after, 0, PUBLISH_BYTES_TARGET, &payload, &head, f)
			       : link->log(link, r->region, scope, after, &payload, f);

	if (err == ERR_NOT_FOUND)
		return fault_set(f, ERR_UNAVAILABLE, "region %u does not show yet what follows (%llu,%llu)", r->region,
				 (unsigned long long)after.epoch, (unsigned long long)after.seq);
	if (err)
		return err;
	c->p.bytes += r->from ? 0 : payload.len;
	return apply_message(c, c->committer, buf_bytes(&payload), f);
}

static enum err take_log(struct copy *c, const struct log_reader *r, struct position upto, struct fault *f)
{
	enum err err = ERR_NONE;

	while (!err && position_compare(stands_at(c), upto) < 0)
		err = read_log(c, r, SCOPE_FLEET, stands_at(c), f);
	return err;
}

/* The next ops of each log that is behind. *ret_any: some were applied. */
static enum err take_logs_once(struct copy *c, const struct log_reader *r, const struct log_mark *logs, uint32_t count,
			       bool *ret_any, bool *ret_behind, struct fault *f)
{
	enum err first = ERR_NONE;

	*ret_any = *ret_behind = false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t seq = committer_log_seq(c->committer, logs[i].log);
		struct fault why = { 0 };

		if (seq >= logs[i].seq)
			continue;
		enum err err = read_log(c, r, SCOPE_MULTI, (struct position){ logs[i].log, seq }, &why);
		*ret_any |= committer_log_seq(c->committer, logs[i].log) > seq;
		*ret_behind |= committer_log_seq(c->committer, logs[i].log) < logs[i].seq;
		/* What has to wait for another log comes with the next round. */
		if (err && err != ERR_UNAVAILABLE)
			return fault_set(f, err, "%s", fault_text(&why));
		if (err && !first)
			first = fault_set(f, err, "%s", fault_text(&why));
	}
	return *ret_any || !*ret_behind ? ERR_NONE : first ? first : ERR_UNAVAILABLE;
}

static enum err take_logs(struct copy *c, const struct log_reader *r, const struct log_mark *logs, uint32_t count,
			  struct fault *f)
{
	bool any, behind = true;
	enum err err = ERR_NONE;

	while (!err && behind)
		err = take_logs_once(c, r, logs, count, &any, &behind, f);
	return err;
}

/* All that the source had when it answered. */
static enum err take_ops(struct copy *c, const struct snapshot_reply *r, struct fault *f)
{
	const struct log_reader reader = { .region = c->p.source };
	enum err err = take_log(c, &reader, r->position, f);

	return err ? err : take_logs(c, &reader, r->logs, r->log_count, f);
}

/* --- head --- */

static enum err install_head(struct copy *c, const struct snapshot_reply *r, struct fault *f)
{
	CLEANUP(buf_release) struct buf note = BUF_INIT(COPY_NOTE_BYTES_MAX);
	struct copy_progress p = c->p;

	p.stage = COPY_ROWS;
	p.position = p.needed = r->position;
	p.points_expected = r->points;
	enum err err = put_progress(&note, &p);
	if (!err)
		err = open_catalog(c, f);
	if (!err)
		err = committer_copy_begin(c->o.store, c->catalog, r->records, r->record_count, buf_bytes(&note), f);
	catalog_close(TAKE(c->catalog));
	if (err)
		return err;
	c->p = p;
	return open_state(c, f);
}

static enum err step_head(struct copy *c, uint8_t source, struct fault *f)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX + SNAPSHOT_PART_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct snapshot_request q = { .kind = SNAPSHOT_HEAD };
	struct snapshot_reply r;

	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = ask(c, source, &q, &answer, &a, &r, f);
	if (err)
		return err;
	err = install_head(c, &r, f);
	if (!err)
		log_info("a copy was begun region=%u position=(%llu,%llu) points=%llu", source,
			 (unsigned long long)r.position.epoch, (unsigned long long)r.position.seq,
			 (unsigned long long)r.points);
	return err;
}

/* --- rows --- */

/* The collection that rows are to come of: a reference, or NULL when all are done. */
static enum err find_collection(struct copy *c, struct collection **ret_collection)
{
	CLEANUP(arena_release) struct arena a;
	struct collection **items;
	struct collection *found = NULL;
	uint32_t count;

	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = catalog_list(c->catalog, &a, &items, &count);
	for (uint32_t i = 0; !err && i < count; i++) {
		int order = incarnation_compare(collection_incarnation(items[i]), c->p.incarnation);
		bool left = order > 0 || (order == 0 && c->p.shard < collection_shard_count(items[i]));

		if (left && (!found || incarnation_compare(collection_incarnation(items[i]), collection_incarnation(found)) < 0)) {
			collection_unref(found);
			found = items[i];
		} else {
			collection_unref(items[i]);
		}
	}
	*ret_collection = found;
	return err;
}

static void advance(struct copy_progress *p, const struct snapshot_reply *r, uint32_t shards)
{
	p->points += r->row_count;
	p->next = r->next;
	if (r->done) {
		p->shard++;
		p->next = 0;
	}
	if (r->gone || p->shard >= shards) {
		p->shard = SHARD_END;
		p->next = 0;
	}
}

/* Rows of a part, at the position of the copy. */
static enum err store_rows(struct copy *c, const struct snapshot_reply *r, struct copy_progress *p, struct arena *a,
			   struct fault *f)
{
	CLEANUP(buf_release) struct buf note = BUF_INIT(COPY_NOTE_BYTES_MAX);
	struct settle_row *rows = arena_array(a, r->row_count, sizeof(*rows));
	struct settle s = { .incarnation = p->incarnation,
			    .at = r->position,
			    .chain_hash = r->chain_hash,
			    .logs = r->logs,
			    .log_count = r->log_count,
			    .rows = rows,
			    .row_count = r->row_count,
			    .copying = true };

	if (!rows)
		return fault_set(f, ERR_NO_MEMORY, "no memory for %u rows", r->row_count);
	for (uint32_t i = 0; i < r->row_count; i++)
		rows[i] = r->rows[i].row;
	p->needed = stands_at(c);
	enum err err = put_progress(&note, p);
	s.note = buf_bytes(&note);
	if (!err)
		err = committer_settle(c->committer, &s, f);
	if (!err)
		c->p = *p;
	return err;
}

static enum err take_rows(struct copy *c, const struct snapshot_reply *r, uint32_t shards, struct arena *a, struct fault *f)
{
	struct copy_progress p = c->p;
	enum err err = take_ops(c, r, f);

	if (err)
		return err;
	p.bytes = c->p.bytes;
	advance(&p, r, shards);
	if (r->row_count == 0) {
		p.needed = stands_at(c);
		return note_progress(c, &p, f);
	}
	err = store_rows(c, r, &p, a, f);
	/* Dropped by one of the ops that were just taken. */
	if (err == ERR_NOT_FOUND) {
		p.shard = SHARD_END;
		return note_progress(c, &p, f);
	}
	/* The copy is beyond the part, whose position its log does not show: the next answer is of a later one. */
	if (err == ERR_GAP && ++c->late <= PARTS_LATE_MAX)
		return ERR_NONE;
	if (!err)
		c->late = 0;
	return err;
}

static enum err end_rows(struct copy *c, struct fault *f)
{
	struct copy_progress p = c->p;

	p.stage = COPY_CONFLICTS;
	return note_progress(c, &p, f);
}

static enum err step_rows(struct copy *c, uint8_t source, struct fault *f)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct snapshot_reply r;
	struct collection *found;

	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = find_collection(c, &found);
	if (err)
		return fault_set(f, err, "the collections of a copy: %s", err_sentence(err));
	if (!found)
		return end_rows(c, f);
	if (incarnation_compare(collection_incarnation(found), c->p.incarnation) != 0) {
		c->p.incarnation = collection_incarnation(found);
		c->p.shard = c->p.next = 0;
	}
	uint32_t shards = collection_shard_count(found);
	collection_unref(found);
	struct snapshot_request q = { .kind = SNAPSHOT_ROWS,
				      .incarnation = c->p.incarnation,
				      .shard = c->p.shard,
				      .next = c->p.next };
	err = ask(c, source, &q, &answer, &a, &r, f);
	return err ? err : take_rows(c, &r, shards, &a, f);
}

/* --- the conflict log --- */

static enum err take_conflicts(struct copy *c, const struct snapshot_reply *r, struct fault *f)
{
	CLEANUP(buf_release) struct buf note = BUF_INIT(COPY_NOTE_BYTES_MAX);
	struct copy_progress p = c->p;

	if (r->record_count > 0) {
		struct bytes last = r->records[r->record_count - 1].key;

		if (last.len > sizeof(p.after))
			return fault_set(f, ERR_CORRUPT, "a conflict has a key of %zu bytes", last.len);
		memcpy(p.after, last.data, last.len);
		p.after_bytes = (uint32_t)last.len;
	}
	if (r->done)
		p.stage = COPY_LOG;
	enum err err = put_progress(&note, &p);
	if (!err)
		err = committer_copy_conflicts(c->committer, r->records, r->record_count, buf_bytes(&note), f);
	if (!err)
		c->p = p;
	return err;
}

static enum err step_conflicts(struct copy *c, uint8_t source, struct fault *f)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct snapshot_reply r;
	struct snapshot_request q = { .kind = SNAPSHOT_CONFLICTS,
				      .after = { .data = c->p.after, .len = c->p.after_bytes } };

	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = ask(c, source, &q, &answer, &a, &r, f);
	return err ? err : take_conflicts(c, &r, f);
}

/* --- the end --- */

/* What is confirmed is in the copy's history, and all that the copy was made of comes before it. */
static bool is_confirmed(const struct copy *c, struct position confirmed)
{
	return position_compare(confirmed, c->p.needed) >= 0 && position_compare(stands_at(c), confirmed) >= 0 &&
	       committer_find(c->committer, confirmed) == HISTORY_IN;
}

static enum err step_log(struct copy *c, uint8_t source, bool *ret_complete, struct fault *f)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct snapshot_request q = { .kind = SNAPSHOT_STATE };
	struct snapshot_reply r;

	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = ask(c, source, &q, &answer, &a, &r, f);
	if (!err)
		err = take_ops(c, &r, f);
	if (!err)
		*ret_complete = is_confirmed(c, r.confirmed);
	return err;
}

enum err copy_step(struct copy *c, uint8_t source, bool *ret_complete, bool *ret_idle, struct fault *reterr_fault)
{
	enum err err = ERR_NONE;

	*ret_complete = *ret_idle = false;
	switch (c->p.stage) {
	case COPY_WANTED:
		return step_head(c, source, reterr_fault);
	case COPY_ROWS:
		return step_rows(c, source, reterr_fault);
	case COPY_CONFLICTS:
		return step_conflicts(c, source, reterr_fault);
	case COPY_LOG:
		err = step_log(c, source, ret_complete, reterr_fault);
		*ret_idle = !err && !*ret_complete;
		return err;
	case COPY_ADOPTED:
		*ret_complete = true;
		return ERR_NONE;
	}
	return ERR_INTERNAL;
}

/* What this region had beyond the copy, in the same history: it may have said so to others. */
static enum err carry_logs(struct copy *c, struct committer *from, struct catalog *from_catalog, struct fault *f)
{
	const struct log_source source = { committer_store(from), from_catalog, peers_fleet(c->o.peers) };
	const struct log_reader own = { .region = peers_self(c->o.peers)->id, .from = &source };
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));
	struct log_mark *logs = calloc(LOGS_MAX, sizeof(*logs));
	struct committer_state s;
	enum err err = ends && logs ? ERR_NONE : ERR_NO_MEMORY;

	committer_state(from, &s);
	if (!err && committer_find(c->committer, s.position) == HISTORY_AHEAD)
		err = take_log(c, &own, s.position, f);
	uint32_t count = err ? 0 : committer_vector(from, ends);
	for (uint32_t i = 0; i < count; i++)
		logs[i] = (struct log_mark){ .log = ends[i].log, .seq = ends[i].seq };
	if (!err)
		err = take_logs(c, &own, logs, count, f);
	free(ends);
	free(logs);
	return err;
}

enum err copy_adopt(struct copy *c, struct committer *from, struct catalog *from_catalog, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf note = BUF_INIT(COPY_NOTE_BYTES_MAX);
	struct copy_progress p = c->p;

	/* One that was adopted, but did not take the place, is adopted once more: the region went on, and promised, since. */
	p.adoptions++;
	enum err err = note_progress(c, &p, reterr_fault);
	if (!err)
		err = carry_logs(c, from, from_catalog, reterr_fault);
	if (err)
		return err;
	p.stage = COPY_ADOPTED;
	p.position = stands_at(c);
	err = put_progress(&note, &p);
	if (!err)
		err = committer_copy_adopt(c->committer, from, buf_bytes(&note), reterr_fault);
	if (!err)
		c->p = p;
	return err;
}
