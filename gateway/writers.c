/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/writers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/wire.h"
#include "gateway/peer_pool.h"
#include "gateway/region.h"
#include "index/catalog.h"
#include "replicator/commit.h"

#define ANSWER_VERSION 1
#define NS_PER_MS UINT64_C(1000000)
#define ANSWER_ARENA_BYTES_MAX ((size_t)64 << 20)

struct writers {
	struct writers_options options;
	struct loop_timer timer;
	struct h2_exchange exchange;
	uint32_t next;               /* row of the region that is asked next */
	pthread_mutex_t lock;        /* guards the rest */
	struct map names;            /* to themselves: any pointer but NULL */
	struct position position;    /* of the answer that counts */
	uint64_t taken_ns;           /* when it was given or repeated; 0: there is none */
};

/* --- what is known --- */

bool writers_has(struct writers *w, struct str name)
{
	(void)pthread_mutex_lock(&w->lock);
	bool has = map_get(&w->names, name) != NULL;
	(void)pthread_mutex_unlock(&w->lock);
	return has;
}

static enum err read_names(struct wire_reader *r, struct map *names)
{
	uint64_t count = wire_varint(r);
	enum err err = ERR_NONE;

	for (uint64_t i = 0; i < count && !r->err && !err; i++) {
		struct str name = wire_str(r);
		if (!r->err)
			err = map_put(names, name, names, NULL);
	}
	return err ? err : wire_done(r);
}

/* Under the lock. */
static bool counts(const struct writers *w, struct position p, uint64_t now_ns)
{
	return w->taken_ns == 0 || position_compare(p, w->position) >= 0 ||
	       now_ns - w->taken_ns >= WRITERS_STALE_MS * NS_PER_MS;
}

enum err writers_take(struct writers *w, struct bytes answer)
{
	struct wire_reader r = wire_reader_of(answer.data, answer.len);
	struct map names;

	if (wire_u8(&r) != ANSWER_VERSION)
		return ERR_CORRUPT;
	struct position position = { .epoch = wire_u64(&r) };
	position.seq = wire_u64(&r);
	map_init(&names);
	enum err err = read_names(&r, &names);
	if (!err) {
		uint64_t now_ns = clock_mono_ns(w->options.clock);
		(void)pthread_mutex_lock(&w->lock);
		if (counts(w, position, now_ns)) {
			struct map old = w->names;
			w->names = names;
			names = old;
			w->position = position;
			w->taken_ns = now_ns;
		}
		(void)pthread_mutex_unlock(&w->lock);
	}
	map_release(&names);
	return err;
}

/* --- asking --- */

/* The next data region that can be reached; 0: there is none. */
static uint8_t next_region(struct writers *w)
{
	const struct regions *regions = w->options.regions;
	struct peer_reach reach;

	for (uint32_t i = 0; i < regions->count; i++) {
		const struct region *r = &regions->rows[(w->next + i) % regions->count];
		if (!r->data || r->self || !peer_pool_reach(w->options.pool, r->id, &reach) || !reach.open)
			continue;
		w->next = (uint32_t)(r - regions->rows) + 1;
		return r->id;
	}
	return 0;
}

static void ask_again(struct writers *w, bool answered)
{
	loop_timer_start(w->options.loop, &w->timer, answered ? WRITERS_ASK_MS : WRITERS_RETRY_MS);
}

/* What cannot be read counts as no answer: another region is asked soon. */
static void on_answer(struct h2_exchange *x)
{
	struct writers *w = CONTAINER_OF(x, struct writers, exchange);
	bool answered = !x->err && x->status == 200 && writers_take(w, buf_bytes(&x->reply)) == ERR_NONE;

	h2_exchange_release(x);
	ask_again(w, answered);
}

static void on_fire(struct loop_timer *t)
{
	struct writers *w = CONTAINER_OF(t, struct writers, timer);
	uint8_t region = next_region(w);
	struct h2_client *client = region ? peer_pool_client(w->options.pool, w->options.loop, region) : NULL;

	if (!client) {
		ask_again(w, false);
		return;
	}
	w->exchange = (struct h2_exchange){
		.verb = VERB_GET,
		.path = STR(PEER_PATH_WRITERS),
		.deadline_ns = loop_now_ns(w->options.loop) + WRITERS_ANSWER_MS_MAX * NS_PER_MS,
		.reply_bytes_max = WRITERS_BYTES_MAX,
		.done = on_answer,
	};
	h2_client_send(client, &w->exchange);
}

/* --- answering --- */

static void put_names(struct collection **items, uint32_t count, struct arena *a, struct buf *out)
{
	uint32_t multi = 0;

	for (uint32_t i = 0; i < count; i++)
		multi += collection_config(items[i])->multi_writer;
	wire_put_varint(out, multi);
	for (uint32_t i = 0; i < count; i++)
		if (collection_config(items[i])->multi_writer)
			wire_put_str(out, collection_name(items[i], a));
}

enum err writers_answer(struct catalog *catalog, struct committer *committer, struct buf *out)
{
	CLEANUP(arena_release) struct arena a;
	struct collection **items;
	struct committer_state state;
	uint32_t count;

	arena_init(&a, ANSWER_ARENA_BYTES_MAX);
	/* First: all up to it is in the catalogue. */
	committer_state(committer, &state);
	enum err err = catalog_list(catalog, &a, &items, &count);
	if (err)
		return err;
	wire_put_u8(out, ANSWER_VERSION);
	wire_put_u64(out, state.position.epoch);
	wire_put_u64(out, state.position.seq);
	put_names(items, count, &a, out);
	for (uint32_t i = 0; i < count; i++)
		collection_unref(items[i]);
	return buf_err(out);
}

/* --- life --- */

enum err writers_new(const struct writers_options *o, struct writers **ret_writers)
{
	struct writers *w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NO_MEMORY;
	if (pthread_mutex_init(&w->lock, NULL) != 0) {
		free(w);
		return ERR_NO_MEMORY;
	}
	w->options = *o;
	map_init(&w->names);
	w->timer.on_fire = on_fire;
	if (o->pool)
		loop_timer_start(o->loop, &w->timer, 0);
	*ret_writers = w;
	return ERR_NONE;
}

void writers_free(struct writers *w)
{
	if (!w)
		return;
	if (w->timer.heap_index)
		loop_timer_stop(w->options.loop, &w->timer);
	h2_exchange_release(&w->exchange);
	map_release(&w->names);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
