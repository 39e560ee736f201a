/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises: whoever promised an epoch takes no more ops of older ones. The promise and the position that is told with it
 * are one transaction, so that no op slips in between them, and none is acknowledged after it; the region that wrote the
 * older epoch is bound like any other.
 *
 * Table STORE_VOTERS
 *   key    u16 scope, big-endian
 *   value  u8   version, 1
 *          u64  the greatest epoch promised; 0: none
 *          ...  the voter's record, opaque here
 *          u64  hash64 of all before it
 */
#include "replicator/commit_inner.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/panic.h"

#include <string.h>

#define RECORD_VERSION 1
#define RECORD_HEAD 9
#define RECORD_TAIL 8

static struct bytes promise_key(void)
{
	static const uint8_t key[2] = { SCOPE_FLEET >> 8, SCOPE_FLEET & 0xff };

	return (struct bytes){ .data = key, .len = sizeof(key) };
}

static enum err promise_get(struct store *s, struct store_txn *t, uint64_t *ret_epoch, struct bytes *ret_record,
			    struct fault *reterr_fault)
{
	struct bytes b;
	enum err err = s->ops->get(t, STORE_VOTERS, promise_key(), &b);

	*ret_epoch = 0;
	*ret_record = (struct bytes){ 0 };
	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE
					    : fault_set(reterr_fault, err, "reading the promise: %s", err_sentence(err));
	if (b.len < RECORD_HEAD + RECORD_TAIL)
		return fault_set(reterr_fault, ERR_CORRUPT, "the record of the promise is cut off");
	size_t len = b.len - RECORD_TAIL;
	struct wire_reader tail = wire_reader_of(b.data + len, RECORD_TAIL);
	if (wire_u64(&tail) != hash64(b.data, len, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "the record of the promise is damaged");
	struct wire_reader r = wire_reader_of(b.data, len);
	uint8_t version = wire_u8(&r);
	if (version != RECORD_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "the record of the promise has the unknown version %u", version);
	*ret_epoch = wire_u64(&r);
	*ret_record = (struct bytes){ .data = b.data + RECORD_HEAD, .len = len - RECORD_HEAD };
	return ERR_NONE;
}

enum err commit_promise_open(struct committer *c, struct fault *reterr_fault)
{
	struct store *s = c->o.store;
	struct bytes record;
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return fault_set(reterr_fault, err, "reading the promise: %s", err_sentence(err));
	err = promise_get(s, t, &c->promised, &record, reterr_fault);
	s->ops->abort(t);
	c->promised = MAX(c->promised, c->history.epoch);
	return err;
}

enum err committer_promise_record(struct store *s, struct arena *a, struct bytes *ret_record, struct fault *reterr_fault)
{
	struct store_txn *t;
	struct bytes record;
	uint64_t epoch;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return fault_set(reterr_fault, err, "reading the promise: %s", err_sentence(err));
	err = promise_get(s, t, &epoch, &record, reterr_fault);
	if (!err && record.len > 0) {
		uint8_t *copy = arena_alloc(a, record.len);
		if (copy)
			memcpy(copy, record.data, record.len);
		else
			err = fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for the voter's record");
		record.data = copy;
	}
	s->ops->abort(t);
	if (!err)
		*ret_record = record;
	return err;
}

enum err commit_fence(const struct committer *c, enum err refusal, uint64_t epoch, struct fault *reterr_fault)
{
	if (epoch >= c->promised)
		return ERR_NONE;
	return fault_set(reterr_fault, refusal, "this region has promised epoch %llu, and takes no more ops of epoch %llu",
			 (unsigned long long)c->promised, (unsigned long long)epoch);
}

static enum err promise_put(struct committer *c, uint64_t epoch, struct bytes record)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PROMISE_RECORD_BYTES_MAX + RECORD_HEAD + RECORD_TAIL);

	wire_put_u8(&b, RECORD_VERSION);
	wire_put_u64(&b, epoch);
	buf_append(&b, record.data, record.len);
	if (!buf_err(&b))
		wire_put_u64(&b, hash64(b.data, b.len, 0));
	if (buf_err(&b))
		return buf_err(&b);
	return c->o.store->ops->put(c->txn.store, STORE_VOTERS, promise_key(), buf_bytes(&b));
}

enum err commit_promise_raise(struct committer *c, uint64_t epoch, struct fault *reterr_fault)
{
	struct bytes record;
	uint64_t stored;

	if (epoch <= MAX(c->promised, c->txn.promise))
		return ERR_NONE;
	enum err err = promise_get(c->o.store, c->txn.store, &stored, &record, reterr_fault);
	if (err)
		return err;
	err = promise_put(c, epoch, record);
	if (err)
		return fault_set(reterr_fault, err, "storing a promise: %s", err_sentence(err));
	c->txn.promised = true;
	c->txn.promise = epoch;
	return ERR_NONE;
}

enum err commit_promise(struct committer *c, struct promise *p, struct fault *reterr_fault)
{
	uint64_t known = MAX(c->promised, c->history.epoch);

	ASSERT(!c->txn.store);
	if (p->epoch != 0 && p->epoch <= known)
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS,
				 "epoch %llu cannot be promised: %llu is promised or in the log",
				 (unsigned long long)p->epoch, (unsigned long long)known);
	enum err err = commit_txn_begin(c, reterr_fault);
	if (err)
		return err;
	err = promise_put(c, MAX(p->epoch, c->promised), p->record);
	if (err)
		return fault_set(reterr_fault, err, "storing a promise: %s", err_sentence(err));
	c->txn.promised = true;
	c->txn.promise = p->epoch;
	err = commit_txn_commit(c, reterr_fault);
	if (err)
		return err;
	p->position = c->place.position;
	if (p->epoch != 0) {
		commit_set_writing(c, false);
		log_info("an epoch was promised epoch=%llu position=(%llu,%llu)", (unsigned long long)p->epoch,
			 (unsigned long long)p->position.epoch, (unsigned long long)p->position.seq);
	}
	return ERR_NONE;
}
