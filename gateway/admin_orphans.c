/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes of the primary took back: the list, one op with its points beside what is there now, what other regions offer,
 * and deciding. The list is the same in every region but for what is local; decisions are the primary's, to which they are
 * passed on like writes (method.def).
 */
#include "gateway/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/region.h"
#include "index/order.h"
#include "replicator/hlc.h"
#include "replicator/orphan_offer.h"
#include "replicator/replicator.h"

#define LIST_BYTES_MAX ((size_t)64 << 20)
#define ITEM_ARENA_BYTES_MAX ((size_t)256 << 20)
#define CURSOR_TEXT_MAX (ORPHAN_ID_TEXT_MAX + 32)
#define HASH_TEXT 17
/* Decided by one commit call; the next one begins where it ended. */
#define DECIDE_BATCH 256u
/* Those that could not be decided about, in the reply; the rest is only counted. */
#define REFUSED_MAX 1000u

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
	put_key(w, key);
	json_put_cstr(w, text);
}

static void put_number(struct json_writer *w, const char *key, uint64_t n)
{
	put_key(w, key);
	json_put_u64(w, n);
}

static void put_position(struct json_writer *w, const char *key, struct position p)
{
	put_key(w, key);
	if (p.epoch == 0) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	put_number(w, "epoch", p.epoch);
	put_number(w, "seq", p.seq);
	json_put_object_end(w);
}

static const char *region_name(const struct api *api, uint8_t id)
{
	const struct region *r = api->regions ? regions_by_id(api->regions, id) : NULL;

	return r ? r->name : id == api->region_id ? api->region : "unknown";
}

static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_TOO_LARGE;
}

/* --- what an orphan was --- */

static void put_collection(const struct api *api, struct json_writer *w, const struct orphan *o)
{
	CLEANUP(arena_release) struct arena a;
	struct collection *collection = catalog_get_incarnation(api->catalog, o->incarnation);

	arena_init(&a, 1u << 20);
	put_key(w, "collection");
	if (collection)
		json_put_string(w, collection_name(collection, &a));
	else if (o->name.len > 0)
		json_put_string(w, o->name);
	else
		json_put_null(w);
	if (collection)
		collection_unref(collection);
}

static void put_head(const struct api *api, struct json_writer *w, const struct orphan *o)
{
	char text[ORPHAN_ID_TEXT_MAX];
	char hash[HASH_TEXT];

	orphan_id_format(&o->id, text);
	(void)snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)o->id.chain_hash);
	put_text(w, "id", text);
	put_text(w, "hash", hash);
	put_text(w, "state", orphan_state_word(o->state));
	put_text(w, "kind", op_kind_name(o->kind));
	put_collection(api, w, o);
	put_number(w, "points", o->items);
	put_number(w, "time_ms", hlc_ms(o->hlc));
	put_text(w, "region", region_name(api, o->region));
	put_number(w, "region_id", o->region);
	put_position(w, "listed", o->listed);
	put_position(w, "decided", o->decided);
	put_key(w, "decided_ms");
	if (o->decided.epoch != 0)
		json_put_u64(w, hlc_ms(o->decided_hlc));
	else
		json_put_null(w);
}

/* --- the list --- */

/* Where a page ended: the state, and the id. */
static void put_cursor(struct json_writer *w, const struct orphan *o)
{
	char id[ORPHAN_ID_TEXT_MAX];
	char text[CURSOR_TEXT_MAX];

	orphan_id_format(&o->id, id);
	(void)snprintf(text, sizeof(text), "%s.%s-%016llx", orphan_state_word(o->state), id,
		       (unsigned long long)o->id.chain_hash);
	put_text(w, "next", text);
}

static bool find_state(struct str word, enum orphan_state *ret_state)
{
	for (enum orphan_state s = 0; s < ORPHAN_STATES; s++) {
		const char *text = orphan_state_word(s);
		if (strlen(text) == word.len && memcmp(text, word.data, word.len) == 0) {
			*ret_state = s;
			return true;
		}
	}
	return false;
}

static bool parse_cursor(struct str text, struct orphan *ret_at)
{
	const char *dot = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
	struct orphan o = { 0 };
	bool has_hash = false;

	if (!dot || !find_state((struct str){ text.data, (size_t)(dot - text.data) }, &o.state))
		return false;
	struct str id = { dot + 1, text.len - (size_t)(dot + 1 - text.data) };
	if (!orphan_id_parse(id, &o.id, &has_hash) || !has_hash)
		return false;
	*ret_at = o;
	return true;
}

/* What a list is asked for: bits of states. */
static enum err wanted_states(struct call *c, struct str word, unsigned *ret_states)
{
	enum orphan_state s;

	if (word.len == 0)
		*ret_states = 1u << ORPHAN_LOCAL | 1u << ORPHAN_OPEN;
	else if (word.len == 3 && memcmp(word.data, "all", 3) == 0)
		*ret_states = ~0u;
	else if (find_state(word, &s))
		*ret_states = 1u << s;
	else
		return fault_set(&c->fault, ERR_BAD_INPUT,
				 "state: '%.*s' is none of local, open, applied, dropped and all", STR_FMT(word));
	return ERR_NONE;
}

/* Local ones come first, then open ones, then those that were decided, in whatever way. */
static bool is_past(const struct orphan *o, unsigned states)
{
	if (states & (1u << ORPHAN_APPLIED | 1u << ORPHAN_DROPPED))
		return false;
	return o->state > (states & 1u << ORPHAN_OPEN ? ORPHAN_OPEN : ORPHAN_LOCAL);
}

struct page {
	struct orphan after;
	bool has_after;
	unsigned states;
	uint32_t left;
	bool more;
};

static struct orphan place_of(const struct orphan *o)
{
	return (struct orphan){ .id = o->id, .state = o->state };
}

/* ERR_NOT_FOUND: the list is at its end. */
static enum err put_next(const struct api *api, struct store *s, struct store_txn *t, struct page *p, struct json_writer *w)
{
	CLEANUP(arena_release) struct arena a;
	struct orphan o;

	arena_init(&a, ITEM_ARENA_BYTES_MAX);
	enum err err = orphan_next(s, t, p->has_after ? &p->after : NULL, &a, &o);
	if (!err && is_past(&o, p->states))
		err = ERR_NOT_FOUND;
	if (err)
		return err;
	bool wanted = (p->states >> o.state & 1) != 0;
	if (wanted && p->left == 0) {
		p->more = true;
		return ERR_NOT_FOUND;
	}
	p->after = place_of(&o);
	p->has_after = true;
	if (!wanted)
		return ERR_NONE;
	p->left--;
	json_put_object(w);
	put_head(api, w, &o);
	json_put_object_end(w);
	return ERR_NONE;
}

static enum err put_page(const struct api *api, struct page *p, struct json_writer *w)
{
	struct store *s = committer_store(api->committer);
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return err;
	while (!err)
		err = put_next(api, s, t, p, w);
	s->ops->abort(t);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static void put_totals(const struct api *api, struct json_writer *w)
{
	struct committer_state s;

	committer_state(api->committer, &s);
	put_key(w, "totals");
	json_put_object(w);
	for (enum orphan_state i = 0; i < ORPHAN_STATES; i++)
		put_number(w, orphan_state_word(i), s.orphans.count[i]);
	json_put_object_end(w);
}

static enum err put_list(struct call *c, struct buf *b)
{
	const struct msg_orphan_list *in = c->in;
	struct json_writer w = json_writer_to(b);
	struct page p = { .left = in->limit, .has_after = in->after.len > 0 };
	enum err err = wanted_states(c, in->state, &p.states);

	if (!err && p.has_after && !parse_cursor(in->after, &p.after))
		err = fault_set(&c->fault, ERR_BAD_INPUT, "after: '%.*s' is not what an earlier page gave as `next`",
				STR_FMT(in->after));
	if (err)
		return err;
	json_put_object(&w);
	put_text(&w, "region", c->api->region);
	put_totals(c->api, &w);
	put_key(&w, "orphans");
	json_put_array(&w);
	err = put_page(c->api, &p, &w);
	json_put_array_end(&w);
	if (p.more)
		put_cursor(&w, &p.after);
	json_put_object_end(&w);
	return err;
}

void admin_orphans(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LIST_BYTES_MAX);
	struct msg_json_document *out = c->out;
	enum err err = put_list(c, &b);

	call_finish(c, err ? err : keep(c, &b, &out->json));
}

/* --- one of them --- */

static void put_sparse(struct json_writer *w, const struct vector *v)
{
	json_put_object(w);
	put_key(w, "indices");
	json_put_array(w);
	for (uint32_t i = 0; i < v->count; i++)
		json_put_u64(w, v->indices[i]);
	json_put_array_end(w);
	put_key(w, "values");
	json_put_floats(w, v->values, v->count);
	json_put_object_end(w);
}

static void put_multi(struct json_writer *w, const struct vector *v)
{
	uint32_t dim = v->rows > 0 ? v->count / v->rows : 0;

	json_put_array(w);
	for (uint32_t i = 0; i < v->rows; i++)
		json_put_floats(w, v->values + (size_t)i * dim, dim);
	json_put_array_end(w);
}

static void put_vector(struct json_writer *w, const struct vector *v)
{
	switch (v->kind) {
	case VECTOR_DENSE:
		json_put_floats(w, v->values, v->count);
		break;
	case VECTOR_SPARSE:
		put_sparse(w, v);
		break;
	case VECTOR_MULTI:
		put_multi(w, v);
		break;
	}
}

static void put_payload(struct json_writer *w, struct value payload)
{
	put_key(w, "payload");
	if (payload.data)
		value_to_json(payload, w);
	else
		json_put_null(w);
}

static void put_id(struct json_writer *w, struct point_id id)
{
	char text[POINT_ID_TEXT_MAX];

	(void)point_id_format(id, text);
	put_text(w, "id", text);
}

struct showing {
	const struct api *api;
	struct json_writer *w;
	struct collection *now; /* NULL: what is there now is not shown */
	struct fault *fault;
};

static enum err put_now(struct showing *s, struct point_id id)
{
	CLEANUP(arena_release) struct arena a;
	const struct record_want want = { .payload = true, .vectors = true };
	struct record r = { 0 };

	arena_init(&a, ITEM_ARENA_BYTES_MAX);
	if (!s->now)
		return ERR_NONE;
	enum err err = collection_retrieve(s->now, &id, 1, &want, &a, &r, s->fault);
	if (err)
		return err;
	put_key(s->w, "now");
	if (!r.found) {
		json_put_null(s->w);
		return ERR_NONE;
	}
	json_put_object(s->w);
	put_key(s->w, "vectors");
	json_put_object(s->w);
	for (uint32_t i = 0; i < r.vector_count; i++) {
		json_put_key(s->w, r.vectors[i].name);
		put_vector(s->w, &r.vectors[i].vector);
	}
	json_put_object_end(s->w);
	put_payload(s->w, r.payload);
	json_put_object_end(s->w);
	return ERR_NONE;
}

static enum err put_point(struct showing *s, const struct op *op, uint32_t i)
{
	const struct op_point *p = &op->points[i];

	put_id(s->w, p->id);
	if (op->kind != OP_SET_FIELDS) {
		put_key(s->w, "vectors");
		json_put_object(s->w);
		for (uint32_t k = 0; k < p->vector_count; k++) {
			json_put_key(s->w, p->vectors[k].name);
			put_vector(s->w, &p->vectors[k].vector);
		}
		json_put_object_end(s->w);
	}
	if (op->kind != OP_UPDATE_VECTORS)
		put_payload(s->w, p->payload);
	return put_now(s, p->id);
}

static enum err put_points(struct showing *s, const struct op *op)
{
	uint32_t count = op->points ? op->point_count : op->id_count;
	enum err err = ERR_NONE;

	put_key(s->w, "points");
	json_put_array(s->w);
	for (uint32_t i = 0; i < count && !err; i++) {
		json_put_object(s->w);
		if (op->points) {
			err = put_point(s, op, i);
		} else {
			put_id(s->w, op->ids[i]);
			err = put_now(s, op->ids[i]);
		}
		json_put_object_end(s->w);
	}
	json_put_array_end(s->w);
	return err;
}

/* The collections as they are called now; null: the alias went, or its collection is gone. */
static void put_aliases(struct showing *s, const struct alias_list *l)
{
	put_key(s->w, "aliases");
	json_put_object(s->w);
	for (uint32_t i = 0; i < l->count; i++) {
		CLEANUP(arena_release) struct arena a;
		struct collection *c = catalog_get_incarnation(s->api->catalog, l->items[i].target);
		arena_init(&a, 1u << 20);
		json_put_key(s->w, l->items[i].name);
		if (c) {
			json_put_string(s->w, collection_name(c, &a));
			collection_unref(c);
		} else {
			json_put_null(s->w);
		}
	}
	json_put_object_end(s->w);
}

/* What a change of collections did. */
static void put_schema(struct showing *s, const struct op *op)
{
	struct bytes config = op->config.client_config;
	struct json_writer *w = s->w;

	if (op->name.len > 0) {
		put_key(w, "name");
		json_put_string(w, op->name);
	}
	if (config.len > 0) {
		put_key(w, "config");
		json_put_string(w, (struct str){ (const char *)config.data, config.len });
	}
	if (op->field_index.key.len > 0) {
		put_key(w, "field_name");
		json_put_string(w, op->field_index.key);
	}
	if (op->kind == OP_ALIASES)
		put_aliases(s, &op->aliases);
}

/* The op as a client would recognize it. */
static enum err put_op(struct showing *s, const struct op *op)
{
	struct json_writer *w = s->w;

	put_schema(s, op);
	if (op->payload.data)
		put_payload(w, op->payload);
	if (op->key_count > 0) {
		put_key(w, op->kind == OP_DELETE_VECTORS ? "vectors" : "keys");
		json_put_array(w);
		for (uint32_t i = 0; i < op->key_count; i++)
			json_put_string(w, op->keys[i]);
		json_put_array_end(w);
	}
	return op->kind >= OP_UPSERT ? put_points(s, op) : ERR_NONE;
}

static enum err put_orphan(struct call *c, const struct orphan *o, bool now, struct arena *a, struct json_writer *w)
{
	struct showing s = { .api = c->api, .w = w, .fault = &c->fault };
	struct op op;
	enum err err = ERR_NONE;

	json_put_object(w);
	put_head(c->api, w, o);
	put_key(w, "op");
	if (o->op.len == 0) {
		json_put_null(w);
	} else {
		err = op_decode(o->op, OP_FORM_WIRE, a, &op, &c->fault);
		s.now = now ? catalog_get_incarnation(c->api->catalog, o->incarnation) : NULL;
		json_put_object(w);
		if (!err)
			err = put_op(&s, &op);
		json_put_object_end(w);
		if (s.now)
			collection_unref(s.now);
	}
	json_put_object_end(w);
	return err;
}

static enum err find(struct call *c, struct str id, struct arena *a, struct orphan *ret_orphan)
{
	struct store *s = committer_store(c->api->committer);
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return err;
	err = orphan_find(s, t, id, a, ret_orphan, &c->fault);
	s->ops->abort(t);
	return err;
}

void admin_orphan(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LIST_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	const struct msg_orphan_ref *in = c->in;
	struct msg_json_document *out = c->out;
	struct json_writer w = json_writer_to(&b);
	struct orphan o;

	arena_init(&a, ITEM_ARENA_BYTES_MAX);
	enum err err = find(c, in->id, &a, &o);
	if (!err)
		err = put_orphan(c, &o, in->now, &a, &w);
	if (!err && buf_err(&b) == ERR_TOO_LARGE)
		err = fault_set(&c->fault, ERR_TOO_LARGE, "it is too much to be shown at once; say now=false");
	call_finish(c, err ? err : keep(c, &b, &out->json));
}

/* --- deciding --- */

struct deciding {
	struct call *call;
	bool apply;
	struct orphan_verdict *verdicts; /* DECIDE_BATCH */
	struct buf refused;
	struct json_writer w;
	uint64_t done;
	uint64_t refused_count;
};

static void put_refused(struct deciding *d, const char *id, enum err err, const struct fault *f)
{
	if (d->refused_count++ >= REFUSED_MAX)
		return;
	json_put_object(&d->w);
	put_text(&d->w, "id", id);
	put_text(&d->w, "error", f->text[0] ? fault_text(f) : err_sentence(err));
	json_put_object_end(&d->w);
}

static enum err decide(struct deciding *d, uint32_t count)
{
	struct orphan_decision decision = { .items = d->verdicts, .count = count };
	enum err err = committer_decide_orphans(d->call->api->committer, &decision, &d->call->fault);

	d->done += decision.done;
	for (uint32_t i = 0; i < count && !err; i++) {
		char id[ORPHAN_ID_TEXT_MAX];
		orphan_id_format(&d->verdicts[i].id, id);
		if (d->verdicts[i].err)
			put_refused(d, id, d->verdicts[i].err, &d->verdicts[i].fault);
	}
	return err;
}

static enum err decide_given(struct deciding *d, const struct str_list *ids)
{
	enum err err = ERR_NONE;
	uint32_t count = 0;

	for (uint32_t i = 0; i < ids->count && !err; i++) {
		CLEANUP(arena_release) struct arena a;
		struct orphan o;
		arena_init(&a, ITEM_ARENA_BYTES_MAX);
		struct fault *f = &d->call->fault;
		*f = (struct fault){ 0 };
		enum err found = find(d->call, ids->items[i], &a, &o);
		if (found) {
			struct str id = arena_str(&a, ids->items[i]);
			put_refused(d, id.data ? id.data : "", found, f);
			continue;
		}
		d->verdicts[count++] = (struct orphan_verdict){ .id = o.id, .apply = d->apply };
		if (count == DECIDE_BATCH) {
			err = decide(d, count);
			count = 0;
		}
	}
	return !err && count > 0 ? decide(d, count) : err;
}

/* The next ones that are open; *at moves on. */
static enum err read_open(struct deciding *d, struct orphan *at, bool *has_at, uint32_t *ret_count)
{
	struct store *s = committer_store(d->call->api->committer);
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	*ret_count = 0;
	while (!err && *ret_count < DECIDE_BATCH) {
		struct arena a;
		struct orphan o;
		arena_init(&a, ITEM_ARENA_BYTES_MAX);
		err = *has_at ? orphan_next(s, t, at, &a, &o) : orphan_first(s, t, ORPHAN_OPEN, &a, &o);
		if (!err && o.state != ORPHAN_OPEN)
			err = ERR_NOT_FOUND;
		if (!err) {
			d->verdicts[(*ret_count)++] = (struct orphan_verdict){ .id = o.id, .apply = d->apply };
			*at = place_of(&o);
			*has_at = true;
		}
		arena_release(&a);
	}
	s->ops->abort(t);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err decide_all(struct deciding *d)
{
	struct orphan at;
	bool has_at = false;
	uint32_t count;
	enum err err = read_open(d, &at, &has_at, &count);

	while (!err && count > 0) {
		err = decide(d, count);
		if (!err)
			err = read_open(d, &at, &has_at, &count);
	}
	return err;
}

/* --- until it is confirmed --- */

struct waiting {
	struct write write;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t done;
	bool is_done;
};

static void on_done(struct write *w)
{
	struct waiting *t = CONTAINER_OF(w, struct waiting, write);

	(void)pthread_mutex_lock(&t->lock);
	t->is_done = true;
	(void)pthread_cond_signal(&t->done);
	(void)pthread_mutex_unlock(&t->lock);
}

/* A write of nothing waits for what it has seen. */
static enum err wait_confirmed(struct call *c, uint64_t timeout_ms)
{
	struct waiting t = { .write = { .ack = ACK_CONFIRMED,
					.deadline_ns = clock_mono_ns(c->api->clock) + timeout_ms * UINT64_C(1000000),
					.done = on_done },
			     .lock = PTHREAD_MUTEX_INITIALIZER,
			     .done = PTHREAD_COND_INITIALIZER };
	enum err err = committer_submit(c->api->committer, &t.write);

	if (err)
		return err;
	(void)pthread_mutex_lock(&t.lock);
	while (!t.is_done)
		(void)pthread_cond_wait(&t.done, &t.lock);
	(void)pthread_mutex_unlock(&t.lock);
	return t.write.err;
}

static enum err report(struct deciding *d, bool confirmed, struct position p)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LIST_BYTES_MAX);
	struct msg_json_document *out = d->call->out;
	struct json_writer w = json_writer_to(&b);

	json_put_array_end(&d->w);
	if (buf_err(&d->refused))
		return buf_err(&d->refused);
	json_put_object(&w);
	put_text(&w, "region", d->call->api->region);
	put_number(&w, d->apply ? "applied" : "dropped", d->done);
	put_number(&w, "refused", d->refused_count);
	put_key(&w, "confirmed");
	json_put_bool(&w, confirmed);
	put_position(&w, "position", p);
	put_key(&w, "errors");
	json_put_raw(&w, buf_str(&d->refused));
	json_put_object_end(&w);
	return keep(d->call, &b, &out->json);
}

static enum err decide_and_wait(struct deciding *d)
{
	const struct msg_orphan_decide *in = d->call->in;
	struct committer_state s;

	d->verdicts = calloc(DECIDE_BATCH, sizeof(*d->verdicts));
	if (!d->verdicts)
		return ERR_NO_MEMORY;
	json_put_array(&d->w);
	enum err err = in->all ? decide_all(d) : decide_given(d, &in->ids);
	if (err)
		return err;
	d->call->fault = (struct fault){ 0 };
	committer_state(d->call->api->committer, &s);
	return report(d, wait_confirmed(d->call, in->timeout_ms) == ERR_NONE, s.position);
}

/* It waits for commits and other regions: a thread for itself. */
static void *run_decide(void *arg)
{
	struct deciding *d = arg;
	struct call *c = d->call;
	enum err err = decide_and_wait(d);

	buf_release(&d->refused);
	free(d->verdicts);
	free(d);
	call_finish_on_loop(c, err);
	return NULL;
}

static enum err start_deciding(struct call *c, bool apply)
{
	const struct msg_orphan_decide *in = c->in;
	pthread_attr_t attr;
	pthread_t thread;

	if (c->api->gateway_only)
		return fault_set(&c->fault, ERR_NOT_PRIMARY, "this region holds no data, and no other one is the primary");
	if (in->all == (in->ids.count > 0))
		return fault_set(&c->fault, ERR_BAD_INPUT, "either ids or all has to be given");
	struct deciding *d = calloc(1, sizeof(*d));
	if (!d)
		return ERR_NO_MEMORY;
	d->call = c;
	d->apply = apply;
	buf_init(&d->refused, LIST_BYTES_MAX / 2);
	d->w = json_writer_to(&d->refused);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int errnum = pthread_create(&thread, &attr, run_decide, d);
	(void)pthread_attr_destroy(&attr);
	if (errnum == 0)
		return ERR_NONE;
	free(d);
	return err_from_errno(errnum);
}

void admin_orphans_apply(struct call *c)
{
	enum err err = start_deciding(c, true);

	if (err)
		call_finish(c, err);
}

void admin_orphans_drop(struct call *c)
{
	enum err err = start_deciding(c, false);

	if (err)
		call_finish(c, err);
}

/* --- of other regions --- */

/* The body is no JSON, and no message of the table. */
void admin_peer_orphans(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(ORPHAN_ANSWER_BYTES_MAX);
	struct msg_bytes *out = c->out;
	enum err err = replicator_orphans(c->api->replicator, buf_bytes(&c->request->body), &b, &c->fault);

	call_finish(c, err ? err : keep(c, &b, &out->data));
}
