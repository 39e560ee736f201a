/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of another region's state: the beginning, which is where that region stands without its points, and the end, when the
 * copy takes the place of the state that this region had. The points come by committer_settle(), the ops since by
 * committer_apply(), as always.
 *
 * Table STORE_META
 *   key    "replicator/copy"
 *   value  u8   version, 1
 *          ...  what the maker of the copy has to remember, opaque here (replicator/copy.c)
 *          u64  hash64 of all before it
 */
#include "replicator/commit_inner.h"

#include "base/hash.h"
#include "base/panic.h"
#include "replicator/orphan.h"

#include <string.h>

#define NOTE_VERSION 1
#define NOTE_OVERHEAD 9
/* Orphans of one transaction. */
#define ORPHANS_PER_TXN 256

static struct bytes note_key(void)
{
	static const char key[] = "replicator/copy";

	return (struct bytes){ .data = (const uint8_t *)key, .len = sizeof(key) - 1 };
}

enum err commit_copy_put_note(struct store *s, struct store_txn *t, struct bytes note)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(COPY_NOTE_BYTES_MAX + NOTE_OVERHEAD);

	wire_put_u8(&b, NOTE_VERSION);
	buf_append(&b, note.data, note.len);
	if (!buf_err(&b))
		wire_put_u64(&b, hash64(b.data, b.len, 0));
	return buf_err(&b) ? buf_err(&b) : s->ops->put(t, STORE_META, note_key(), buf_bytes(&b));
}

static enum err note_get(struct store *s, struct store_txn *t, struct arena *a, struct bytes *ret_note)
{
	struct bytes b;
	enum err err = s->ops->get(t, STORE_META, note_key(), &b);

	*ret_note = (struct bytes){ 0 };
	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	if (b.len < NOTE_OVERHEAD)
		return ERR_CORRUPT;
	size_t len = b.len - sizeof(uint64_t);
	struct wire_reader sum = wire_reader_of(b.data + len, sizeof(uint64_t));
	if (wire_u64(&sum) != hash64(b.data, len, 0))
		return ERR_CORRUPT;
	if (b.data[0] != NOTE_VERSION)
		return ERR_VERSION;
	uint8_t *copy = arena_alloc(a, len);
	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, b.data + 1, len - 1);
	*ret_note = (struct bytes){ .data = copy, .len = len - 1 };
	return ERR_NONE;
}

enum err committer_copy_note(struct store *s, struct arena *a, struct bytes *ret_note)
{
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return err;
	err = note_get(s, t, a, ret_note);
	s->ops->abort(t);
	return err;
}

enum err committer_copy_set_note(struct store *s, struct bytes note, struct fault *reterr_fault)
{
	struct store_txn *t;
	enum err err = s->ops->begin(s, true, &t);

	if (!err) {
		err = note.len > 0 ? commit_copy_put_note(s, t, note) : s->ops->del(t, STORE_META, note_key());
		if (err == ERR_NOT_FOUND)
			err = ERR_NONE;
		if (!err)
			return s->ops->commit(t, reterr_fault);
		s->ops->abort(t);
	}
	return fault_set(reterr_fault, err, "noting how far a copy is: %s", err_sentence(err));
}

/* --- the beginning --- */

static enum err check_empty(struct store *s, struct store_txn *t, struct fault *f)
{
	struct position here;
	uint64_t hash;
	enum err err = committer_read_place(s, t, &here, &hash);

	if (err)
		return fault_set(f, err, "reading the position: %s", err_sentence(err));
	return here.epoch == 0 ? ERR_NONE
			       : fault_set(f, ERR_ALREADY_EXISTS, "a copy cannot begin here: the store stands at (%llu, %llu)",
					   (unsigned long long)here.epoch, (unsigned long long)here.seq);
}

static enum err put_record(struct store *s, struct catalog *c, struct store_txn *t, const struct copy_record *r,
			   struct fault *f)
{
	bool installed;
	bool known = (r->table == STORE_META && committer_is_place(r->key)) || r->table == STORE_HISTORY ||
		     (r->table == STORE_CATALOG && catalog_is_shared(r->key)) ||
		     (r->table == STORE_ORPHANS && orphan_is_listed(r->key));

	if (!known)
		return fault_set(f, ERR_CORRUPT, "a record of table %u is no part of a copy", r->table);
	if (r->table == STORE_CATALOG && catalog_is_record(r->key))
		return catalog_install(c, t, catalog_record_incarnation(r->key), r->value, &installed, f);
	enum err err = s->ops->put(t, r->table, r->key, r->value);
	return err ? fault_set(f, err, "beginning a copy: %s", err_sentence(err)) : ERR_NONE;
}

enum err committer_copy_begin(struct store *s, struct catalog *c, const struct copy_record *records, uint32_t count,
			      struct bytes note, struct fault *reterr_fault)
{
	struct store_txn *t;
	enum err err = s->ops->begin(s, true, &t);

	if (err)
		return fault_set(reterr_fault, err, "beginning a copy: %s", err_sentence(err));
	err = check_empty(s, t, reterr_fault);
	for (uint32_t i = 0; i < count && !err; i++)
		err = put_record(s, c, t, &records[i], reterr_fault);
	if (!err) {
		err = commit_copy_put_note(s, t, note);
		if (err)
			err = fault_set(reterr_fault, err, "beginning a copy: %s", err_sentence(err));
	}
	if (!err)
		err = catalog_sync(c, reterr_fault);
	if (!err)
		err = s->ops->commit(TAKE(t), reterr_fault);
	s->ops->abort(t);
	if (err)
		catalog_abandon(c);
	else
		catalog_publish(c);
	return err;
}

/* --- the conflict log --- */

enum err committer_copy_conflicts(struct committer *c, const struct copy_record *records, uint32_t count, struct bytes note,
				  struct fault *reterr_fault)
{
	struct store *s = c->o.store;
	struct store_txn *t;

	ASSERT(!c->txn.store);
	enum err err = s->ops->begin(s, true, &t);
	if (err)
		return fault_set(reterr_fault, err, "copying the conflict log: %s", err_sentence(err));
	for (uint32_t i = 0; i < count && !err; i++)
		err = records[i].table == STORE_CONFLICTS
			      ? s->ops->put(t, STORE_CONFLICTS, records[i].key, records[i].value)
			      : ERR_CORRUPT;
	if (!err)
		err = commit_copy_put_note(s, t, note);
	if (!err)
		return s->ops->commit(t, reterr_fault);
	s->ops->abort(t);
	return fault_set(reterr_fault, err, "copying the conflict log: %s", err_sentence(err));
}

/* --- the end --- */

/* What goes over, in transactions of their own: one that is there already is the same one, so that it may be begun again. */
struct carrying {
	struct committer *to, *from;
	struct store_txn *t;     /* of the copy; NULL: none is open */
	uint32_t pending;
	struct fault *fault;
};

static enum err carry_end(struct carrying *c)
{
	c->pending = 0;
	return c->t ? c->to->o.store->ops->commit(TAKE(c->t), c->fault) : ERR_NONE;
}

/* As one that no region lists yet. What the copy has of it says what became of it; of one whose op is gone nothing can be kept. */
static enum err carry_one(struct carrying *c, struct orphan *o, struct arena *a)
{
	struct store *s = c->to->o.store;
	struct orphan known;
	enum err err = c->t ? ERR_NONE : s->ops->begin(s, true, &c->t);

	if (!err)
		err = orphan_get(s, c->t, &o->id, a, &known);
	if (!err || (err == ERR_NOT_FOUND && o->op.len == 0))
		return ERR_NONE;
	o->state = ORPHAN_LOCAL;
	o->listed = o->decided = (struct position){ 0 };
	o->decided_hlc = 0;
	if (err == ERR_NOT_FOUND)
		err = orphan_put(s, c->t, o);
	if (err)
		return fault_set(c->fault, err, "keeping an orphan: %s", err_sentence(err));
	return ++c->pending == ORPHANS_PER_TXN ? carry_end(c) : ERR_NONE;
}

static enum err carry_orphans(struct carrying *c, struct store_txn *from)
{
	struct orphan after = { 0 };
	bool any = false;
	enum err err = ERR_NONE;

	while (!err) {
		CLEANUP(arena_release) struct arena a;
		struct orphan o;
		arena_init(&a, 3 * OP_ARENA_BYTES_MAX);
		err = orphan_next(c->from->o.store, from, any ? &after : NULL, &a, &o);
		if (err && err != ERR_NOT_FOUND)
			return fault_set(c->fault, err, "reading the orphans: %s", err_sentence(err));
		if (err)
			break;
		after = (struct orphan){ .id = o.id, .state = o.state };
		any = true;
		err = carry_one(c, &o, &a);
	}
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* An op that the copy's history does not have. Of control ops nothing is kept. */
static enum err carry_lost(struct carrying *c, struct oplog_entry *e, struct arena *a)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * OP_BYTES_MAX);
	struct position p = { .epoch = e->op.epoch, .seq = e->op.seq };

	if (e->op.kind < OP_CREATE_COLLECTION ||
	    history_find(&c->to->history, c->to->place.position, p) != HISTORY_ORPHAN)
		return ERR_NONE;
	enum err err = oplog_fill(c->from->o.catalog, &e->op, a);
	if (!err)
		err = op_encode(&e->op, OP_FORM_WIRE, &b);
	if (err)
		return fault_set(c->fault, err, "reading op (%llu, %llu): %s", (unsigned long long)p.epoch,
				 (unsigned long long)p.seq, err_sentence(err));
	struct orphan o = { .id = { SCOPE_FLEET, p, e->chain_hash }, .op = buf_bytes(&b) };
	orphan_describe(&o, &e->op);
	return carry_one(c, &o, a);
}

static enum err carry_lost_ops(struct carrying *c, struct store_txn *from)
{
	struct position p = { 0 };
	enum err err = ERR_NONE;

	if (history_find(&c->to->history, c->to->place.position, c->from->place.position) != HISTORY_ORPHAN)
		return ERR_NONE;
	while (!err) {
		CLEANUP(arena_release) struct arena a;
		struct oplog_entry e;
		arena_init(&a, 3 * OP_ARENA_BYTES_MAX);
		err = oplog_next(c->from->o.store, from, SCOPE_FLEET, p, &a, &e, c->fault);
		if (err)
			break;
		p = (struct position){ .epoch = e.op.epoch, .seq = e.op.seq };
		err = carry_lost(c, &e, &a);
	}
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err carry_promises(struct carrying *c, struct store_txn *from)
{
	const struct store_ops *ops = c->to->o.store->ops;
	static const uint8_t first;
	struct store_cursor *cursor;
	struct bytes key, value;
	enum err err = c->from->o.store->ops->cursor_open(from, STORE_VOTERS, &cursor);

	if (err)
		return err;
	err = c->from->o.store->ops->seek(cursor, (struct bytes){ .data = &first, .len = 1 }, &key, &value);
	while (!err) {
		err = ops->put(c->to->txn.store, STORE_VOTERS, key, value);
		if (!err)
			err = c->from->o.store->ops->next(cursor, &key, &value);
	}
	c->from->o.store->ops->cursor_close(cursor);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* One transaction: what it is to others, and that it is complete. */
static enum err carry_identity(struct carrying *c, struct store_txn *from, struct bytes note)
{
	struct store *s = c->to->o.store;
	enum err err = s->ops->begin(s, true, &c->to->txn.store);

	if (err)
		return fault_set(c->fault, err, "taking over a copy: %s", err_sentence(err));
	err = carry_promises(c, from);
	if (!err)
		err = commit_meta_adopt(c->to, c->from);
	if (!err)
		err = commit_copy_put_note(s, c->to->txn.store, note);
	struct store_txn *t = TAKE(c->to->txn.store);
	if (!err)
		return s->ops->commit(t, c->fault);
	s->ops->abort(t);
	return fault_set(c->fault, err, "taking over a copy: %s", err_sentence(err));
}

enum err committer_copy_adopt(struct committer *c, struct committer *from, struct bytes note, struct fault *reterr_fault)
{
	struct carrying carrying = { .to = c, .from = from, .fault = reterr_fault };
	struct store *s = from->o.store;
	struct store_txn *t;

	ASSERT(!c->txn.store && !from->txn.store && from->stopped);
	enum err err = s->ops->begin(s, false, &t);
	if (err)
		return fault_set(reterr_fault, err, "taking over a copy: %s", err_sentence(err));
	err = carry_orphans(&carrying, t);
	if (!err)
		err = carry_lost_ops(&carrying, t);
	if (!err)
		err = carry_end(&carrying);
	c->o.store->ops->abort(TAKE(carrying.t));
	if (!err)
		err = carry_identity(&carrying, t, note);
	s->ops->abort(t);
	return err;
}
