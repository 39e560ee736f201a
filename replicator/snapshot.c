/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/snapshot.h"

#include "replicator/orphan.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX ((size_t)512 << 20)
#define WHY_BYTES_MAX 512
#define RECORDS_CAP_MIN 64u
#define CONFLICTS_PER_PART 4096u

/* One answer on its way. */
struct answering {
	const struct snapshot_source *s;
	const struct snapshot_request *q;
	struct arena *arena;
	struct snapshot_reply *out;
	struct copy_record *records;   /* heap */
	uint32_t count, cap;
	size_t bytes;
	struct fault *fault;
};

/* --- records --- */

static struct bytes copied(struct arena *a, struct bytes b)
{
	uint8_t *copy = arena_alloc(a, b.len);

	if (copy && b.len > 0)
		memcpy(copy, b.data, b.len);
	return (struct bytes){ .data = copy, .len = b.len };
}

static enum err add_record(struct answering *a, enum store_table table, struct bytes key, struct bytes value)
{
	if (a->count == a->cap) {
		uint32_t cap = MAX(a->cap * 2, RECORDS_CAP_MIN);
		struct copy_record *more = reallocarray(a->records, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		a->records = more;
		a->cap = cap;
	}
	struct copy_record r = { .table = table, .key = copied(a->arena, key), .value = copied(a->arena, value) };
	if (!r.key.data || !r.value.data)
		return ERR_NO_MEMORY;
	a->records[a->count++] = r;
	a->bytes += key.len + value.len;
	return ERR_NONE;
}

/* Those of a table that a copy of it needs. */
static enum err add_table(struct answering *a, struct store_txn *t, enum store_table table,
			  bool (*wanted)(struct bytes key))
{
	const struct store_ops *ops = a->s->store->ops;
	static const uint8_t first;
	struct store_cursor *c;
	struct bytes key, value;
	enum err err = ops->cursor_open(t, table, &c);

	if (err)
		return err;
	err = ops->seek(c, (struct bytes){ .data = &first, .len = 1 }, &key, &value);
	for (; !err; err = ops->next(c, &key, &value)) {
		if (wanted && !wanted(key))
			continue;
		err = a->bytes + key.len + value.len < SNAPSHOT_HEAD_BYTES_MAX ? add_record(a, table, key, value)
									       : ERR_TOO_LARGE;
		if (err)
			break;
	}
	ops->cursor_close(c);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err give_records(struct answering *a)
{
	struct copy_record *copy = arena_array(a->arena, a->count, sizeof(*copy));

	if (!copy)
		return ERR_NO_MEMORY;
	if (a->count > 0)
		memcpy(copy, a->records, a->count * sizeof(*copy));
	a->out->records = copy;
	a->out->record_count = a->count;
	return ERR_NONE;
}

/* --- where this region stands --- */

static enum err read_place(void *ctx, struct store_txn *t)
{
	struct answering *a = ctx;
	struct snapshot_reply *out = a->out;
	struct log_mark *logs;
	enum err err = committer_read_place(a->s->store, t, &out->position, &out->chain_hash);

	if (!err)
		err = committer_read_logs(a->s->store, t, a->arena, &logs, &out->log_count);
	if (!err)
		out->logs = logs;
	return err;
}

static enum err count_points(struct answering *a)
{
	struct collection **items;
	uint32_t count;
	enum err err = catalog_list(a->s->catalog, a->arena, &items, &count);

	for (uint32_t i = 0; !err && i < count; i++) {
		struct collection_info info;

		collection_info(items[i], &info);
		a->out->points += info.points;
		collection_unref(items[i]);
	}
	return err;
}

/* --- the parts --- */

static enum err answer_head(struct answering *a)
{
	const struct store_ops *ops = a->s->store->ops;
	struct store_txn *t;
	enum err err = ops->begin(a->s->store, false, &t);

	if (err)
		return err;
	err = read_place(a, t);
	if (!err && a->out->position.epoch == 0)
		err = fault_set(a->fault, ERR_UNAVAILABLE, "it is empty itself");
	if (!err)
		err = add_table(a, t, STORE_META, committer_is_place);
	if (!err)
		err = add_table(a, t, STORE_HISTORY, NULL);
	if (!err)
		err = add_table(a, t, STORE_CATALOG, catalog_is_shared);
	if (!err) {
		err = add_table(a, t, STORE_ORPHANS, orphan_is_listed);
		if (err == ERR_TOO_LARGE)
			err = fault_set(a->fault, err,
					"its orphans are more than fit into one message: decide about them first (isthmusctl orphans)");
	}
	ops->abort(t);
	if (!err)
		err = count_points(a);
	return err ? err : give_records(a);
}

static enum err answer_state(struct answering *a)
{
	const struct store_ops *ops = a->s->store->ops;
	struct store_txn *t;
	enum err err = ops->begin(a->s->store, false, &t);

	if (err)
		return err;
	err = read_place(a, t);
	ops->abort(t);
	return err;
}

static enum err give_rows(struct answering *a, const struct collection_chunk *chunk)
{
	struct audit_row *rows = arena_array(a->arena, chunk->count, sizeof(*rows));

	if (!rows)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < chunk->count; i++)
		rows[i].row = (struct settle_row){ .id = chunk->rows[i].id, .present = true, .row = chunk->rows[i] };
	a->out->rows = rows;
	a->out->row_count = chunk->count;
	a->out->next = chunk->next;
	a->out->done = chunk->done;
	return ERR_NONE;
}

static enum err read_rows(struct answering *a, struct collection *c)
{
	struct collection_chunk *chunk = calloc(1, sizeof(*chunk));
	char id[POINT_ID_TEXT_MAX];

	if (!chunk)
		return ERR_NO_MEMORY;
	chunk->arena = a->arena;
	chunk->bytes_max = SNAPSHOT_PART_BYTES;
	chunk->next = a->q->next;
	chunk->with_txn = read_place;
	chunk->ctx = a;
	enum err err = collection_read_chunk(c, a->q->shard, chunk);
	if (err == ERR_CORRUPT || err == ERR_VERSION) {
		(void)point_id_format(chunk->bad, id);
		err = fault_set(a->fault, err,
				"point %s of collection `%.*s` is damaged on the disk of region %s: an audit has it repaired", id,
				STR_FMT(collection_name(c, a->arena)), peers_self(a->s->peers)->name);
	}
	if (!err)
		err = give_rows(a, chunk);
	free(chunk);
	return err;
}

static enum err answer_rows(struct answering *a)
{
	struct collection *c = catalog_get_incarnation(a->s->catalog, a->q->incarnation);

	if (!c) {
		/* The drop was published before this state was read. */
		a->out->gone = a->out->done = true;
		return answer_state(a);
	}
	enum err err = read_rows(a, c);
	collection_unref(c);
	return err;
}

static enum err add_conflicts(struct answering *a, struct store_cursor *c)
{
	const struct store_ops *ops = a->s->store->ops;
	static const uint8_t first;
	struct bytes key, value;
	struct bytes from = a->q->after.len > 0 ? a->q->after : (struct bytes){ .data = &first, .len = 1 };
	enum err err = ops->seek(c, from, &key, &value);

	if (!err && a->q->after.len > 0 && key.len == from.len && memcmp(key.data, from.data, key.len) == 0)
		err = ops->next(c, &key, &value);
	for (; !err && a->count < CONFLICTS_PER_PART && a->bytes < SNAPSHOT_PART_BYTES; err = ops->next(c, &key, &value)) {
		err = add_record(a, STORE_CONFLICTS, key, value);
		if (err)
			return err;
	}
	a->out->done = err == ERR_NOT_FOUND;
	return a->out->done ? ERR_NONE : err;
}

static enum err answer_conflicts(struct answering *a)
{
	const struct store_ops *ops = a->s->store->ops;
	struct store_cursor *c;
	struct store_txn *t;
	enum err err = ops->begin(a->s->store, false, &t);

	if (err)
		return err;
	err = read_place(a, t);
	if (!err)
		err = ops->cursor_open(t, STORE_CONFLICTS, &c);
	if (!err) {
		err = add_conflicts(a, c);
		ops->cursor_close(c);
	}
	ops->abort(t);
	return err ? err : give_records(a);
}

/* --- requests --- */

static enum err answer_kind(struct answering *a)
{
	switch (a->q->kind) {
	case SNAPSHOT_HEAD:
		return answer_head(a);
	case SNAPSHOT_ROWS:
		return answer_rows(a);
	case SNAPSHOT_CONFLICTS:
		return answer_conflicts(a);
	case SNAPSHOT_STATE:
		return answer_state(a);
	}
	return ERR_BAD_INPUT;
}

static enum err answer(struct answering *a)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(WHY_BYTES_MAX);
	struct committer_state state;

	if (a->s->ready && !a->s->ready(a->s->ctx, &why))
		return fault_set(a->fault, ERR_UNAVAILABLE, "region %s is not ready itself: %.*s",
				 peers_self(a->s->peers)->name, STR_FMT(buf_str(&why)));
	committer_state(a->s->committer, &state);
	a->out->hlc = state.hlc;
	enum err err = answer_kind(a);
	a->out->confirmed = a->s->confirmed(a->s->ctx);
	return err;
}

enum err snapshot_answer(const struct snapshot_source *s, uint8_t from, struct bytes request, struct buf *out,
			 struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct snapshot_request q;
	struct fault fault = { 0 };

	arena_init(&arena, ARENA_BYTES_MAX);
	enum err err = snapshot_request_decode(request, &q, reterr_fault);
	if (err)
		return err;
	if (q.fleet != peers_fleet(s->peers) || q.sender != from)
		return fault_set(reterr_fault, ERR_FORBIDDEN, "a snapshot for another fleet, or in another region's name");
	struct snapshot_reply reply = { .kind = q.kind };
	struct answering a = { .s = s, .q = &q, .arena = &arena, .out = &reply, .fault = &fault };
	err = answer(&a);
	free(a.records);
	if (err) {
		const char *name = err_name(err);
		const char *words = fault.text[0] ? fault_text(&fault) : err_sentence(err);
		reply = (struct snapshot_reply){ .kind = q.kind,
						 .refused = { name, strlen(name) },
						 .words = { words, strlen(words) } };
	}
	err = snapshot_reply_encode(&reply, out);
	return err ? fault_set(reterr_fault, err, "the answer for a snapshot: %s", err_sentence(err)) : ERR_NONE;
}
