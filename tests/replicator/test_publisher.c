/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/publisher.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/replicator/region.h"

#define FLEET 5u
#define STORED_MAX 4096u
#define WAIT_MS 20000

/* --- a stream that does what a test says --- */

struct stored {
	char id[STREAM_ID_MAX];
	struct position last;
	uint8_t *payload;
	size_t len;
};

struct fake {
	struct stream stream;
	pthread_mutex_t lock; /* guards the rest */
	bool down;
	bool window;          /* open */
	uint32_t window_max;  /* messages not accepted */
	uint32_t accepted;    /* messages */
	uint32_t opens;
	uint32_t refused;     /* publishes, for a full window */
	uint32_t count;
	struct stored stored[STORED_MAX];
};

static struct fake *fake_of(struct stream *s)
{
	return CONTAINER_OF(s, struct fake, stream);
}

static enum err fake_open(struct stream *s, struct fault *f)
{
	struct fake *k = fake_of(s);

	pthread_mutex_lock(&k->lock);
	k->opens++;
	k->window = !k->down;
	bool down = k->down;
	pthread_mutex_unlock(&k->lock);
	return down ? fault_set(f, ERR_UNAVAILABLE, "down") : ERR_NONE;
}

static enum err fake_tail(struct stream *s, uint16_t scope, struct buf *out, struct fault *f)
{
	struct fake *k = fake_of(s);
	enum err err = ERR_NOT_FOUND;

	(void)scope;
	pthread_mutex_lock(&k->lock);
	if (k->count > 0) {
		const struct stored *last = &k->stored[k->count - 1];
		err = buf_append(out, last->payload, last->len);
	}
	pthread_mutex_unlock(&k->lock);
	return err ? fault_set(f, err, "empty") : err;
}

static void store(struct fake *k, const struct stream_message *m)
{
	ck_assert_uint_lt(k->count, STORED_MAX);
	struct stored *to = &k->stored[k->count++];
	snprintf(to->id, sizeof(to->id), "%s", m->id);
	to->last = m->last;
	to->len = m->payload.len;
	to->payload = malloc(m->payload.len);
	ck_assert_ptr_nonnull(to->payload);
	memcpy(to->payload, m->payload.data, m->payload.len);
}

static enum err fake_publish(struct stream *s, const struct stream_message *m)
{
	struct fake *k = fake_of(s);
	enum err err = ERR_NONE;

	pthread_mutex_lock(&k->lock);
	if (!k->window)
		err = ERR_UNAVAILABLE;
	else if (k->count - k->accepted >= k->window_max)
		err = ERR_RATE_LIMITED;
	else
		store(k, m);
	k->refused += err == ERR_RATE_LIMITED;
	pthread_mutex_unlock(&k->lock);
	return err;
}

static const struct stream_ops fake_ops = { .open = fake_open, .tail = fake_tail, .publish = fake_publish };

static struct fake fake;
static struct region a;
static struct publisher *publisher;

static void tell(void *ctx, struct position now)
{
	(void)ctx;
	if (publisher)
		publisher_wake(publisher, now);
}

static void set_up(void)
{
	publisher = NULL;
	fake = (struct fake){ .stream = { .ops = &fake_ops }, .window_max = STORED_MAX };
	pthread_mutex_init(&fake.lock, NULL);
	region_init(&a, 1);
	a.options.on_commit = tell;
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
}

static void drop_from(uint32_t n)
{
	pthread_mutex_lock(&fake.lock);
	while (fake.count > n)
		free(fake.stored[--fake.count].payload);
	pthread_mutex_unlock(&fake.lock);
}

static void tear_down(void)
{
	publisher_free(publisher);
	region_release(&a);
	drop_from(0);
	pthread_mutex_destroy(&fake.lock);
}

static void start(void)
{
	struct publisher_options o = { .clock = clock_system(),
				       .store = a.store,
				       .catalog = a.catalog,
				       .fleet = FLEET,
				       .region = 1,
				       .now = region_state(&a).position };
	ck_assert_int_eq(publisher_new(&o, &publisher), ERR_NONE);
	ck_assert_int_eq(publisher_start(publisher, &fake.stream), ERR_NONE);
}

/* --- waiting --- */

typedef bool (*condition_fn)(uint64_t argument);

static void wait_for(condition_fn fn, uint64_t argument)
{
	uint64_t end_ns = clock_mono_ns(clock_system()) + WAIT_MS * UINT64_C(1000000);

	while (!fn(argument)) {
		struct timespec moment = { .tv_nsec = 1000000 };
		ck_assert_msg(clock_mono_ns(clock_system()) < end_ns, "waited in vain");
		(void)nanosleep(&moment, NULL);
	}
}

static bool has_published_all(uint64_t unused)
{
	struct publisher_state s;

	(void)unused;
	publisher_state(publisher, &s);
	return position_compare(s.published, region_state(&a).position) == 0;
}

static bool has_opened(uint64_t n)
{
	pthread_mutex_lock(&fake.lock);
	bool yes = fake.opens >= n;
	pthread_mutex_unlock(&fake.lock);
	return yes;
}

static bool was_refused(uint64_t n)
{
	pthread_mutex_lock(&fake.lock);
	bool yes = fake.refused >= n;
	pthread_mutex_unlock(&fake.lock);
	return yes;
}

static bool has_stored(uint64_t n)
{
	pthread_mutex_lock(&fake.lock);
	bool yes = fake.count >= n;
	pthread_mutex_unlock(&fake.lock);
	return yes;
}

/* --- looking --- */

struct decoded {
	struct arena arena;
	struct buf inflated;
	struct op_batch m;
};

static void decode(uint32_t i, struct decoded *d)
{
	struct fault f = { 0 };

	arena_init(&d->arena, (size_t)16 << 20);
	buf_init(&d->inflated, BATCH_BODY_BYTES_MAX);
	struct bytes b = { .data = fake.stored[i].payload, .len = fake.stored[i].len };
	ck_assert_msg(!batch_decode(b, &d->inflated, &d->arena, &d->m, &f), "%s", f.text);
}

static void decoded_release(struct decoded *d)
{
	buf_release(&d->inflated);
	arena_release(&d->arena);
}

/* The messages from the first on have all ops of this region's log after `after` in epochs of region 1, and no other. */
static void check_stored(uint32_t first, struct position after)
{
	struct log_part log = read_log_after(&a, after, 4096);
	uint32_t at = 0;

	for (uint32_t i = first; i < fake.count; i++) {
		struct decoded d;
		decode(i, &d);
		ck_assert_uint_eq(d.m.fleet, FLEET);
		for (uint32_t k = 0; k < d.m.count; k++, at++) {
			while (at < log.count && (uint8_t)log.positions[at].epoch != 1)
				at++;
			ck_assert_uint_lt(at, log.count);
			ck_assert_uint_eq(log.positions[at].epoch, d.m.epoch);
			ck_assert_uint_eq(log.positions[at].seq, d.m.first + k);
			ck_assert_uint_eq(log.ops[at].len, d.m.ops[k].len);
			ck_assert_int_eq(memcmp(log.ops[at].data, d.m.ops[k].data, d.m.ops[k].len), 0);
			if (k + 1 == d.m.count)
				ck_assert_uint_eq(log.hashes[at], d.m.chain_hash);
		}
		decoded_release(&d);
	}
	while (at < log.count && (uint8_t)log.positions[at].epoch != 1)
		at++;
	ck_assert_uint_eq(at, log.count);
}

/* The ops after a position as the publisher would send them. */
static struct op_batch make_message(struct position after, size_t bytes, struct buf *out)
{
	struct log_source source = { a.store, a.catalog, FLEET };
	struct op_batch head;
	struct fault f = { 0 };

	ck_assert_msg(!log_message(&source, SCOPE_FLEET, after, 1, bytes, out, &head, &f), "%s", f.text);
	return head;
}

static void store_first(struct position after, size_t bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct op_batch head = make_message(after, bytes, &b);
	char id[BATCH_ID_MAX];
	(void)batch_id(&head, id);
	store(&fake, &(struct stream_message){ .last = batch_last(&head), .id = id, .payload = buf_bytes(&b) });
}

/* --- messages of the log --- */

START_TEST(nothing_follows_the_newest_op)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct log_source source = { a.store, a.catalog, FLEET };
	struct op_batch head;
	struct fault f = { 0 };

	ck_assert_int_eq(log_message(&source, SCOPE_FLEET, region_state(&a).position, 0, 1000, &b, &head, &f),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(log_message(&source, SCOPE_FLEET, (struct position){ 0 }, 2, 1000, &b, &head, &f),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(log_message(&source, 3, (struct position){ 0 }, 0, 1000, &b, &head, &f), ERR_NOT_FOUND);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(message_ends_with_its_epoch)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	write_well(&a, upsert_of(&a, "c", 1, 1));
	struct position end = region_state(&a).position;
	region_begin(&a);
	struct op_batch head = make_message((struct position){ 0 }, 1 << 20, &b);
	ck_assert_int_eq(position_compare(batch_last(&head), end), 0);
	ck_assert_uint_eq(head.count, 3);
	buf_reset(&b);
	head = make_message(end, 1 << 20, &b);
	ck_assert_uint_eq(head.epoch, region_state(&a).epoch);
	ck_assert_uint_eq(head.count, 1);
	buf_reset(&b);
	head = make_message((struct position){ 0 }, 1, &b);
	ck_assert_uint_eq(head.count, 1);
}
END_TEST

/* Texts that do not shrink, each in an op of its own. */
static struct intent big_upsert(uint64_t id, size_t bytes)
{
	struct intent in = upsert_of(&a, "c", id, 1);
	char *text = region_alloc(&a, bytes);
	uint64_t random = id;

	for (size_t i = 0; i < bytes; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		text[i] = (char)(33 + (random >> 32) % 90);
	}
	struct buf item = BUF_INIT(1 << 20);
	struct buf b = BUF_INIT(1 << 20);
	value_put_string(&item, (struct str){ .data = text, .len = bytes });
	struct value_member m = { .key = STR("text"), .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
	uint8_t *copy = region_alloc(&a, b.len);
	memcpy(copy, b.data, b.len);
	in.body.points[0].payload = (struct value){ .data = copy, .len = (uint32_t)b.len };
	buf_release(&item);
	buf_release(&b);
	return in;
}

START_TEST(greatest_ops_fit_into_messages)
{
	static const size_t sizes[] = { 100, 760000, 500000, 250000, 100, 600000, 300000, 760000, 1000 };

	for (size_t i = 0; i < LEN(sizes); i++)
		write_well(&a, big_upsert(i, sizes[i]));
	start();
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
}
END_TEST

/* A store whose second reader comes after a trimming. */
struct trimming_store {
	struct store store;
	unsigned begun;
};
static struct trimming_store trimming;

static enum err begin_late(struct store *s, bool write, struct store_txn **ret_txn)
{
	(void)s;
	if (++trimming.begun == 2)
		for (uint64_t i = 0; i < 3; i++)
			write_well(&a, upsert_of(&a, "c", 1, 1));
	return a.store->ops->begin(a.store, write, ret_txn);
}

/* Bit rot in a vector file: the log record is whole, what it refers to is not. */
START_TEST(op_whose_vectors_are_damaged_is_not_sent_and_those_before_it_are)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct log_source source = { a.store, a.catalog, FLEET };
	struct op_batch head;
	struct fault f = { 0 };
	struct position before[3];

	for (uint32_t i = 0; i < 3; i++) {
		before[i] = region_state(&a).position;
		write_well(&a, upsert_of(&a, "c", i, 1));
	}
	struct collection *c = catalog_get(a.catalog, (struct str){ "c", 1 });
	/* Slots are given out in order. */
	const float *values = collection_slot_values(c, collection_shard_of(c, id_of(1)),
						     (struct str){ "", 0 }, 1);
	ck_assert(values[0] == 1.0F);
	((float *)(uintptr_t)values)[0] = 1.5F;
	collection_unref(c);

	head = make_message((struct position){ 0 }, 1 << 20, &b);
	ck_assert_int_eq(position_compare(batch_last(&head), before[1]), 0);
	buf_reset(&b);
	ck_assert_int_eq(log_message(&source, SCOPE_FLEET, before[1], 0, 1 << 20, &b, &head, &f),
			 ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(f.text, "is not sent"));
	ck_assert_uint_eq(b.len, 0);
	/* What follows it can be sent to whoever has it from elsewhere. */
	head = make_message(before[2], 1 << 20, &b);
	ck_assert_int_eq(position_compare(batch_last(&head), region_state(&a).position), 0);
	((float *)(uintptr_t)values)[0] = 1.0F;
	buf_reset(&b);
	head = make_message((struct position){ 0 }, 1 << 20, &b);
	ck_assert_int_eq(position_compare(batch_last(&head), region_state(&a).position), 0);
}
END_TEST

START_TEST(ops_trimmed_while_they_were_read_are_not_sent)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct store_ops ops = *a.store->ops;
	struct op_batch head;
	struct fault f = { 0 };

	region_shut(&a);
	a.options.log_bytes_max = 1;
	region_open(&a);
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 1, 1));
	ops.begin = begin_late;
	trimming = (struct trimming_store){ .store = { .ops = &ops } };
	struct log_source source = { &trimming.store, a.catalog, FLEET };
	ck_assert_int_eq(log_message(&source, SCOPE_FLEET, (struct position){ 0 }, 0, 1 << 20, &b, &head, &f),
			 ERR_GAP);
	ck_assert_uint_eq(trimming.begun, 2);
	ck_assert_int_eq(log_message(&source, SCOPE_FLEET, (struct position){ 0 }, 0, 1 << 20, &b, &head, &f),
			 ERR_NONE);
}
END_TEST

START_TEST(ops_of_a_dropped_collection_are_published)
{
	write_well(&a, upsert_of(&a, "c", 1, 50));
	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	start();
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
	ck_assert_uint_ge(fake.count, 1);
}
END_TEST

/* --- the publisher --- */

/* Region 2 writes an epoch between two of region 1. */
START_TEST(own_ops_are_published_in_order_and_those_of_others_are_not)
{
	struct region b;
	struct position end;
	struct fault f = { 0 };

	region_init(&b, 2);
	region_open(&b);
	start();
	for (uint64_t i = 0; i < 10; i++)
		write_well(&a, upsert_of(&a, "c", i, 3));
	ck_assert_int_eq(committer_release(a.committer, 2, &end, &f), ERR_NONE);
	struct log_part log = read_log_after(&a, (struct position){ 0 }, 100);
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	region_begin(&b);
	for (uint64_t i = 0; i < 10; i++)
		write_well(&b, upsert_of(&b, "c", 100 + i, 1));
	ck_assert_int_eq(committer_release(b.committer, 1, &end, &f), ERR_NONE);
	log = read_log_after(&b, region_state(&a).position, 100);
	ck_assert_msg(!apply_part(&a, &log, 0, log.count, &f), "%s", f.text);
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 200, 1));
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
	region_release(&b);
}
END_TEST

START_TEST(publishing_goes_on_after_what_the_stream_has)
{
	for (uint64_t i = 0; i < 10; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	store_first((struct position){ 0 }, 1);
	store_first(fake.stored[0].last, 100);
	ck_assert_int_lt(position_compare(fake.stored[1].last, region_state(&a).position), 0);
	start();
	wait_for(has_published_all, 0);
	check_stored(2, fake.stored[1].last);
	struct publisher_state s;
	publisher_state(publisher, &s);
	ck_assert_int_eq(position_compare(s.accepted, fake.stored[1].last), 0);
	publisher_accepted(publisher, region_state(&a).position);
	publisher_state(publisher, &s);
	ck_assert_int_eq(position_compare(s.accepted, region_state(&a).position), 0);
}
END_TEST

enum strange { OTHER_HASH, BEYOND_THE_LOG, OTHER_EPOCH, OTHER_FLEET, DAMAGED, STRANGE_COUNT };

/* The stream ends with what the log does not hold, as after a store was put back to an older state. */
START_TEST(strange_end_of_the_stream_makes_everything_be_published)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct decoded d;

	for (uint64_t i = 0; i < 10; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	store_first((struct position){ 0 }, 1 << 20);
	decode(0, &d);
	struct op_batch m = d.m;
	m.chain_hash ^= _i == OTHER_HASH;
	m.first += _i == BEYOND_THE_LOG ? 100 : 0;
	m.epoch = _i == OTHER_EPOCH ? epoch_make(9, 1) : m.epoch;
	m.fleet += _i == OTHER_FLEET;
	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
	if (_i == DAMAGED)
		b.data[b.len - 1] ^= 1;
	store(&fake, &(struct stream_message){ .last = batch_last(&m), .id = "strange", .payload = buf_bytes(&b) });
	decoded_release(&d);
	start();
	wait_for(has_published_all, 0);
	check_stored(2, (struct position){ 0 });
	/* The same batch is there already, and the server knows its name. */
	ck_assert_str_ne(fake.stored[0].id, fake.stored[2].id);
	/* From here on it is known. */
	uint32_t count = fake.count;
	struct position last = region_state(&a).position;
	publisher_free(TAKE(publisher));
	start();
	write_well(&a, upsert_of(&a, "c", 100, 1));
	wait_for(has_published_all, 0);
	check_stored(count, last);
}
END_TEST

START_TEST(stream_that_is_down_is_tried_again_and_not_in_a_hurry)
{
	struct publisher_state s;

	fake.down = true;
	uint64_t begun_ns = clock_mono_ns(clock_system());
	start();
	wait_for(has_opened, 1);
	for (uint64_t i = 0; i < 100; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	wait_for(has_opened, 3);
	ck_assert_uint_ge(clock_mono_ns(clock_system()) - begun_ns, UINT64_C(500000000));
	publisher_state(publisher, &s);
	ck_assert_int_eq(s.trouble.err, ERR_UNAVAILABLE);
	ck_assert_str_eq(s.trouble.text, "down");
	pthread_mutex_lock(&fake.lock);
	fake.down = false;
	pthread_mutex_unlock(&fake.lock);
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
	publisher_state(publisher, &s);
	ck_assert_int_eq(s.trouble.err, ERR_NONE);
}
END_TEST

/* The newest messages were sent, but are not there. */
START_TEST(what_a_closed_window_lost_is_published_again)
{
	start();
	for (uint64_t i = 0; i < 10; i++) {
		write_well(&a, upsert_of(&a, "c", i, 1));
		wait_for(has_published_all, 0);
	}
	uint32_t count = fake.count;
	ck_assert_uint_gt(count, 5);
	drop_from(5);
	pthread_mutex_lock(&fake.lock);
	fake.window = false;
	uint64_t opens = fake.opens;
	pthread_mutex_unlock(&fake.lock);
	publisher_closed(publisher);
	wait_for(has_opened, opens + 1);
	wait_for(has_stored, 6);
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
}
END_TEST

/* Nobody told: the next message finds out. */
START_TEST(window_that_closed_without_a_word_is_opened_again)
{
	start();
	wait_for(has_published_all, 0);
	pthread_mutex_lock(&fake.lock);
	fake.window = false;
	pthread_mutex_unlock(&fake.lock);
	write_well(&a, upsert_of(&a, "c", 1, 1));
	wait_for(has_published_all, 0);
	check_stored(0, (struct position){ 0 });
}
END_TEST

START_TEST(full_window_is_waited_for)
{
	start();
	wait_for(has_published_all, 0);
	pthread_mutex_lock(&fake.lock);
	fake.window_max = fake.count + 1;
	pthread_mutex_unlock(&fake.lock);
	write_well(&a, upsert_of(&a, "c", 1, 1));
	wait_for(has_published_all, 0);
	write_well(&a, upsert_of(&a, "c", 2, 1));
	wait_for(was_refused, 1);
	ck_assert(!has_published_all(0));
	while (!has_published_all(0)) {
		pthread_mutex_lock(&fake.lock);
		fake.accepted = fake.count;
		struct position last = fake.stored[fake.count - 1].last;
		pthread_mutex_unlock(&fake.lock);
		publisher_accepted(publisher, last);
		(void)sched_yield();
	}
	check_stored(0, (struct position){ 0 });
	struct publisher_state s;
	publisher_state(publisher, &s);
	ck_assert_int_eq(s.trouble.err, ERR_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("publisher");
	TCase *t = tcase_create("publisher");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, nothing_follows_the_newest_op);
	tcase_add_test(t, message_ends_with_its_epoch);
	tcase_add_test(t, greatest_ops_fit_into_messages);
	tcase_add_test(t, op_whose_vectors_are_damaged_is_not_sent_and_those_before_it_are);
	tcase_add_test(t, ops_trimmed_while_they_were_read_are_not_sent);
	tcase_add_test(t, ops_of_a_dropped_collection_are_published);
	tcase_add_test(t, own_ops_are_published_in_order_and_those_of_others_are_not);
	tcase_add_test(t, publishing_goes_on_after_what_the_stream_has);
	tcase_add_loop_test(t, strange_end_of_the_stream_makes_everything_be_published, 0, STRANGE_COUNT);
	tcase_add_test(t, stream_that_is_down_is_tried_again_and_not_in_a_hurry);
	tcase_add_test(t, what_a_closed_window_lost_is_published_again);
	tcase_add_test(t, window_that_closed_without_a_word_is_opened_again);
	tcase_add_test(t, full_window_is_waited_for);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
