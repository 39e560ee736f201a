/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a region stands, in table STORE_META; the history is in STORE_HISTORY (history.c).
 *
 *   "replicator/store"    u8   version, 1
 *                         16   random id of this store: a wiped or replaced disk is another store
 *                         u64  boots: how often it was opened
 *                         u64  hash64 of all before it
 *   "replicator/scope/0"  u8   version, 2; 1 lacks what is confirmed: nothing of it is taken back
 *                         u64  epoch, u64 seq: the position of the last op in rows and log
 *                         u64  running hash after that op
 *                         u64  greatest stamp that this region's clock gave or saw
 *                         u8   1: that op is a release, u8 to which region
 *                         u64  epoch, u64 seq: what is confirmed, and never taken back
 *                         u64  hash64 of all before it
 */
#include "replicator/commit_inner.h"

#include "base/hash.h"

#include <string.h>
#include <sys/random.h>

#define META_VERSION 1
#define PLACE_VERSION 2
#define PLACE_VERSION_WITHOUT_CONFIRMED 1
#define META_BYTES_MAX 256
#define HISTORY_RECORD_BYTES_MAX (2u << 20)

static const char store_key[] = "replicator/store";
static const char scope_key[] = "replicator/scope/0";

static struct bytes key_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = strlen(text) };
}

static struct bytes history_key(void)
{
	static const uint8_t key[2] = { SCOPE_FLEET >> 8, SCOPE_FLEET & 0xff };

	return (struct bytes){ .data = key, .len = sizeof(key) };
}

static enum err record_put(struct committer *c, const char *key, struct buf *b)
{
	if (!buf_err(b))
		wire_put_u64(b, hash64(b->data, b->len, 0));
	if (buf_err(b))
		return buf_err(b);
	return c->o.store->ops->put(c->txn.store, STORE_META, key_of(key), buf_bytes(b));
}

/* The record's contents after its version, checked; ERR_NOT_FOUND. */
static enum err record_get(struct committer *c, const char *key, uint8_t version_max, struct wire_reader *ret_reader,
			   struct fault *reterr_fault)
{
	struct bytes b;
	enum err err = c->o.store->ops->get(c->txn.store, STORE_META, key_of(key), &b);

	if (err == ERR_NOT_FOUND)
		return err;
	if (err)
		return fault_set(reterr_fault, err, "reading %s: %s", key, err_sentence(err));
	if (b.len < 1 + sizeof(uint64_t))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the record is cut off", key);
	if (b.data[0] == 0 || b.data[0] > version_max)
		return fault_set(reterr_fault, ERR_VERSION, "%s has the unknown version %u", key,
				 b.data[0]);
	size_t len = b.len - sizeof(uint64_t);
	struct wire_reader sum = wire_reader_of(b.data + len, sizeof(uint64_t));
	if (wire_u64(&sum) != hash64(b.data, len, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the record is damaged", key);
	*ret_reader = wire_reader_of(b.data, len);
	return ERR_NONE;
}

enum err committer_read_place(struct store *s, struct store_txn *t, struct position *ret_position,
			      uint64_t *ret_chain_hash)
{
	struct bytes b;
	enum err err = s->ops->get(t, STORE_META, key_of(scope_key), &b);

	*ret_position = (struct position){ 0 };
	*ret_chain_hash = 0;
	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	/* It was checked at the start, and this process wrote it since. */
	struct wire_reader r = wire_reader_of(b.data, b.len);
	uint8_t version = wire_u8(&r);
	if (version == 0 || version > PLACE_VERSION)
		return ERR_VERSION;
	ret_position->epoch = wire_u64(&r);
	ret_position->seq = wire_u64(&r);
	*ret_chain_hash = wire_u64(&r);
	return r.err;
}

enum err committer_chain(struct committer *c, struct chain *ret_chain)
{
	struct chain chain = { 0 };

	pthread_mutex_lock(&c->state_lock);
	enum err err = history_copy(&chain.history, &c->history);
	chain.position = c->state.position;
	chain.chain_hash = c->state.chain_hash;
	chain.promised = c->state.promised;
	pthread_mutex_unlock(&c->state_lock);
	if (!err)
		*ret_chain = chain;
	return err;
}

static enum err store_read(struct committer *c, struct fault *reterr_fault)
{
	struct wire_reader r;
	enum err err = record_get(c, store_key, META_VERSION, &r, reterr_fault);

	if (err == ERR_NOT_FOUND) {
		if (getrandom(c->store_id, sizeof(c->store_id), 0) != sizeof(c->store_id))
			return fault_set(reterr_fault, ERR_IO, "the kernel gave no random bytes");
		return ERR_NONE;
	}
	if (err)
		return err;
	(void)wire_u8(&r);
	struct bytes id = wire_take(&r, sizeof(c->store_id));
	uint64_t boots = wire_u64(&r);
	if (wire_done(&r))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the record is damaged", store_key);
	memcpy(c->store_id, id.data, sizeof(c->store_id));
	c->boots = boots;
	return ERR_NONE;
}

static enum err scope_read(struct committer *c, struct fault *reterr_fault)
{
	struct wire_reader r;
	enum err err = record_get(c, scope_key, PLACE_VERSION, &r, reterr_fault);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	uint8_t version = wire_u8(&r);
	struct place p = { .position.epoch = wire_u64(&r) };
	p.position.seq = wire_u64(&r);
	p.chain_hash = wire_u64(&r);
	p.hlc = wire_u64(&r);
	p.released = wire_u8(&r) == 1;
	p.released_to = wire_u8(&r);
	p.confirmed = p.position;
	if (version > PLACE_VERSION_WITHOUT_CONFIRMED) {
		p.confirmed.epoch = wire_u64(&r);
		p.confirmed.seq = wire_u64(&r);
	}
	if (wire_done(&r))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the record is damaged", scope_key);
	c->place = p;
	return ERR_NONE;
}

static enum err history_read(struct committer *c, struct fault *reterr_fault)
{
	struct bytes b;
	enum err err = c->o.store->ops->get(c->txn.store, STORE_HISTORY, history_key(), &b);

	if (err == ERR_NOT_FOUND)
		err = ERR_NONE;
	else if (!err)
		err = history_decode(b, &c->history);
	if (err)
		return fault_set(reterr_fault, err, "reading the history: %s", err_sentence(err));
	if (c->history.epoch != c->place.position.epoch)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "the history ends with epoch %llu, the position with epoch %llu",
				 (unsigned long long)c->history.epoch,
				 (unsigned long long)c->place.position.epoch);
	return ERR_NONE;
}

static enum err store_save(struct committer *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(META_BYTES_MAX);

	wire_put_u8(&b, META_VERSION);
	buf_append(&b, c->store_id, sizeof(c->store_id));
	wire_put_u64(&b, c->boots);
	return record_put(c, store_key, &b);
}

enum err commit_meta_open(struct committer *c, struct fault *reterr_fault)
{
	struct store *s = c->o.store;
	enum err err = s->ops->begin(s, true, &c->txn.store);

	if (err)
		return fault_set(reterr_fault, err, "opening the store: %s", err_sentence(err));
	err = store_read(c, reterr_fault);
	if (!err)
		err = scope_read(c, reterr_fault);
	if (!err)
		err = history_read(c, reterr_fault);
	if (!err) {
		c->boots++;
		err = store_save(c);
		if (err)
			err = fault_set(reterr_fault, err, "counting the boot: %s",
					err_sentence(err));
	}
	if (err)
		s->ops->abort(c->txn.store);
	else
		err = s->ops->commit(c->txn.store, reterr_fault);
	c->txn.store = NULL;
	return err;
}

static enum err history_save(struct committer *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(HISTORY_RECORD_BYTES_MAX);
	enum err err = history_encode(&c->txn.history, &b);

	if (err)
		return err;
	return c->o.store->ops->put(c->txn.store, STORE_HISTORY, history_key(), buf_bytes(&b));
}

enum err commit_meta_save(struct committer *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(META_BYTES_MAX);
	const struct place *p = &c->txn.place;

	wire_put_u8(&b, PLACE_VERSION);
	wire_put_u64(&b, p->position.epoch);
	wire_put_u64(&b, p->position.seq);
	wire_put_u64(&b, p->chain_hash);
	wire_put_u64(&b, p->hlc);
	wire_put_u8(&b, p->released);
	wire_put_u8(&b, p->released_to);
	wire_put_u64(&b, p->confirmed.epoch);
	wire_put_u64(&b, p->confirmed.seq);
	enum err err = record_put(c, scope_key, &b);
	if (err || !c->txn.has_history)
		return err;
	return history_save(c);
}

bool committer_is_place(struct bytes key)
{
	static const struct str prefixes[] = { STR("replicator/scope/"), STR("replicator/log/") };

	for (size_t i = 0; i < LEN(prefixes); i++)
		if (key.len > prefixes[i].len && memcmp(key.data, prefixes[i].data, prefixes[i].len) == 0)
			return true;
	return false;
}

enum err commit_meta_adopt(struct committer *c, const struct committer *from)
{
	memcpy(c->store_id, from->store_id, sizeof(c->store_id));
	c->boots = from->boots;
	c->txn.place = c->place;
	c->txn.place.hlc = MAX(MAX(c->hlc.last, c->place.hlc), from->hlc.last);
	enum err err = store_save(c);
	return err ? err : commit_meta_save(c);
}
