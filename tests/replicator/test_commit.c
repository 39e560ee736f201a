/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer: what is refused, what a reply promises, what a crash leaves, how two regions stay equal. Most tests
 * take its turns by hand.
 */
#include "tests/replicator/region.h"

#include <pthread.h>
#include <stdio.h>

#define THREADS 4
#define WRITES_PER_THREAD 200

static struct region a, b;

/* Region 1 has begun an epoch and has collection "c"; region 2 is empty. */
static void set_up(void)
{
	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	region_init(&b, 2);
	region_open(&b);
}

static void tear_down(void)
{
	region_release(&a);
	region_release(&b);
}

static void reopen(struct region *r)
{
	region_shut(r);
	region_open(r);
}

/* --- refused --- */

START_TEST(write_before_any_epoch_is_refused)
{
	struct region_write *t = try_write(&b, create_of(&b, "c", DISTANCE_DOT));
	ck_assert_int_eq(t->w.err, ERR_NO_PRIMARY);
	ck_assert_uint_eq(t->w.position.epoch, 0);
	ck_assert_uint_eq(region_state(&b).position.seq, 0);
}
END_TEST

static struct intent with_vector(struct op_vector v)
{
	struct intent in = upsert_of(&a, "c", 1, 1);
	in.body.points[0].vectors[0] = v;
	return in;
}

START_TEST(wrong_intents_are_refused_in_words_and_change_nothing)
{
	static const float values[4] = { 1.0F, 2.0F, 3.0F, 4.0F };
	static const uint64_t one_missing[] = { 7, 42 };
	struct str name = STR("a");
	struct op_vector twice[2] = { dense_of(&a, "", values, 4), dense_of(&a, "", values, 4) };
	struct intent two_vectors = upsert_of(&a, "c", 1, 1);
	two_vectors.body.points[0].vectors = twice;
	two_vectors.body.points[0].vector_count = 2;
	struct intent set_two = ids_intent(&a, OP_SET_PAYLOAD, "c", one_missing, 2);
	set_two.body.payload = payload_of(&a, "k", 5);
	struct intent update = upsert_of(&a, "c", 42, 1);
	update.kind = OP_UPDATE_VECTORS;
	struct intent unknown_vector = ids_intent(&a, OP_DELETE_VECTORS, "c", one_missing, 1);
	unknown_vector.body.keys = &name;
	unknown_vector.body.key_count = 1;
	struct intent huge = upsert_of(&a, "c", 1, 1);
	uint8_t *text = region_alloc(&a, OP_BYTES_MAX + 100);
	huge.body.points[0].vectors[0] =
		(struct op_vector){ .name = STR("sparse"),
				    .vector = { .kind = VECTOR_SPARSE,
						.count = OP_BYTES_MAX / 8,
						.values = (float *)(void *)text,
						.indices = (uint32_t *)(void *)text } };
	const struct {
		struct intent intent;
		enum err err;
		const char *words;
	} cases[] = {
		{ upsert_of(&a, "x", 1, 1), ERR_NOT_FOUND, "Collection `x` doesn't exist!" },
		{ create_of(&a, "c", DISTANCE_DOT), ERR_ALREADY_EXISTS,
		  "Collection `c` already exists!" },
		{ with_vector(dense_of(&a, "", values, 3)), ERR_BAD_INPUT,
		  "Vector dimension error: expected dim: 4, got 3" },
		{ with_vector(dense_of(&a, "a", values, 4)), ERR_BAD_INPUT,
		  "Not existing vector name error: a" },
		{ with_vector(sparse_of("")), ERR_BAD_INPUT,
		  "Conversion between sparse and regular vectors failed" },
		{ with_vector(dense_of(&a, "sparse", values, 4)), ERR_BAD_INPUT,
		  "Conversion between sparse and regular vectors failed" },
		{ two_vectors, ERR_BAD_INPUT, "Vector name `` is given twice" },
		{ set_two, ERR_NOT_FOUND, "No point with id 42 found" },
		{ update, ERR_NOT_FOUND, "No point with id 42 found" },
		{ unknown_vector, ERR_BAD_INPUT, "Not existing vector name error: a" },
		{ huge, ERR_TOO_LARGE, "Point 1 takes" },
		{ { .kind = OP_DROP_COLLECTION, .collection = STR("x") },
		  ERR_NOT_FOUND,
		  "Collection `x` doesn't exist!" },
		{ { .kind = OP_RELEASE }, ERR_BAD_INPUT, "release is no operation of a client" },
	};
	write_well(&a, upsert_of(&a, "c", 7, 1));
	struct position before = region_state(&a).position;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct region_write *t = try_write(&a, cases[i].intent);
		ck_assert_msg(t->w.err == cases[i].err, "row %zu: %s", i, err_name(t->w.err));
		ck_assert_msg(strstr(t->w.fault.text, cases[i].words), "row %zu: %s", i,
			      t->w.fault.text);
		ck_assert_msg(t->w.position.epoch == 0 && t->w.intents_done == 0, "row %zu", i);
	}
	ck_assert_int_eq(position_compare(before, region_state(&a).position), 0);
	ck_assert_int_eq(payload_number(&a, "c", 7, "k"), -1);
	ck_assert_uint_eq(count_points(&a, "c"), 1);
}
END_TEST

START_TEST(bad_write_leaves_the_others_of_its_batch)
{
	struct intent good1 = upsert_of(&a, "c", 1, 1);
	struct intent mixed[] = { upsert_of(&a, "c", 2, 1), set_payload_of(&a, "c", 99, "k", 1),
				  upsert_of(&a, "c", 3, 1) };
	struct intent good2 = set_payload_of(&a, "c", 1, "k", 5);
	struct region_write *w1 = submit(&a, &good1, 1);
	struct region_write *w2 = submit(&a, mixed, 3);
	struct region_write *w3 = submit(&a, &good2, 1);

	ck_assert(committer_turn(a.committer, 0));
	ck_assert(w1->done == 1 && w2->done == 1 && w3->done == 1);
	ck_assert_int_eq(w1->w.err, ERR_NONE);
	ck_assert_int_eq(w2->w.err, ERR_NOT_FOUND);
	ck_assert_uint_eq(w2->w.intents_done, 1);
	ck_assert_int_eq(w3->w.err, ERR_NONE);
	ck_assert_int_eq(payload_number(&a, "c", 1, "k"), 5);
	ck_assert(find_point(&a, "c", 2).found);
	ck_assert(!find_point(&a, "c", 3).found);
}
END_TEST

/* --- a store that can fail --- */

static struct store_ops faulty;
static const struct store_ops *healthy;
static size_t log_value_max;
static enum err commit_err;

static enum err faulty_put(struct store_txn *t, enum store_table table, struct bytes key,
			   struct bytes value)
{
	if (table == STORE_LOG && value.len > log_value_max)
		return ERR_NO_SPACE;
	return healthy->put(t, table, key, value);
}

static unsigned commits_left; /* good ones, before commit_err */
static unsigned commits_done;

static enum err faulty_commit(struct store_txn *t, struct fault *reterr_fault)
{
	commits_done++;
	if (commit_err && commits_left > 0) {
		commits_left--;
	} else if (commit_err) {
		healthy->abort(t);
		return fault_set(reterr_fault, commit_err, "the disk said so");
	}
	return healthy->commit(t, reterr_fault);
}

static void make_faulty(struct region *r)
{
	healthy = r->store->ops;
	faulty = *healthy;
	faulty.put = faulty_put;
	faulty.commit = faulty_commit;
	log_value_max = SIZE_MAX;
	commit_err = ERR_NONE;
	commits_left = commits_done = 0;
	r->store->ops = &faulty;
}

START_TEST(write_that_does_not_fit_the_disk_fails_alone)
{
	struct intent small1 = upsert_of(&a, "c", 1, 1);
	struct intent large[] = { upsert_of(&a, "c", 50, 1), upsert_of(&a, "c", 100, 40) };
	struct intent small2 = upsert_of(&a, "c", 2, 1);

	make_faulty(&a);
	struct position before = region_state(&a).position;
	struct region_write *w1 = submit(&a, &small1, 1);
	struct region_write *w2 = submit(&a, large, 2);
	struct region_write *w3 = submit(&a, &small2, 1);
	log_value_max = 500;
	(void)committer_turn(a.committer, 0);
	ck_assert_int_eq(w1->w.err, ERR_NONE);
	ck_assert_int_eq(w2->w.err, ERR_NO_SPACE);
	ck_assert_int_eq(w3->w.err, ERR_NONE);
	ck_assert(w1->done == 1 && w2->done == 1 && w3->done == 1);
	ck_assert_uint_eq(w2->w.position.epoch, 0);
	ck_assert_uint_eq(w2->w.intents_done, 0);
	ck_assert_uint_eq(count_points(&a, "c"), 2);
	ck_assert_uint_eq(region_state(&a).position.seq, before.seq + 2);

	log_value_max = SIZE_MAX;
	write_well(&a, upsert_of(&a, "c", 100, 40));
	ck_assert_uint_eq(count_points(&a, "c"), 42);
}
END_TEST

START_TEST(full_disk_at_the_commit_is_survived)
{
	make_faulty(&a);
	commit_err = ERR_NO_SPACE;
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 3));
	ck_assert_int_eq(t->w.err, ERR_NO_SPACE);
	ck_assert_uint_eq(count_points(&a, "c"), 0);
	commit_err = ERR_NONE;
	write_well(&a, upsert_of(&a, "c", 1, 3));
	ck_assert_uint_eq(count_points(&a, "c"), 3);
	ck_assert(!region_state(&a).failed);
}
END_TEST

START_TEST(full_store_is_told_with_its_bound_and_the_cure)
{
	make_faulty(&a);
	a.store->bytes_max = (uint64_t)16 << 20;
	commit_err = ERR_STORE_FULL;
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 3));
	ck_assert_int_eq(t->w.err, ERR_STORE_FULL);
	ck_assert_ptr_nonnull(strstr(fault_text(&t->w.fault), "storage.map_size, 16 MiB"));
	ck_assert(!region_state(&a).failed);
	commit_err = ERR_NONE;
	write_well(&a, upsert_of(&a, "c", 1, 3));
	ck_assert_uint_eq(count_points(&a, "c"), 3);
}
END_TEST

START_TEST(failed_sync_ends_writing_but_not_reading)
{
	write_well(&a, upsert_of(&a, "c", 1, 3));
	make_faulty(&a);
	commit_err = ERR_IO;
	struct intent in[] = { upsert_of(&a, "c", 4, 1), upsert_of(&a, "c", 5, 1) };
	struct region_write *w1 = submit(&a, &in[0], 1);
	struct region_write *w2 = submit(&a, &in[1], 1);
	(void)committer_turn(a.committer, 0);
	ck_assert_int_eq(w1->w.err, ERR_IO);
	ck_assert_int_eq(w2->w.err, ERR_IO);
	commit_err = ERR_NONE;
	struct committer_state s = region_state(&a);
	ck_assert(s.failed);
	ck_assert_ptr_nonnull(strstr(s.failure, "the disk said so"));
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 4, 1))->w.err, ERR_IO);
	ck_assert_int_eq(committer_begin_epoch(a.committer, NULL), ERR_IO);
	ck_assert_uint_eq(count_points(&a, "c"), 3);

	reopen(&a);
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 4, 1));
	ck_assert_uint_eq(count_points(&a, "c"), 4);
}
END_TEST

/* --- ordinary --- */

START_TEST(point_is_visible_and_durable_when_done_is_called)
{
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 1));
	ck_assert_int_eq(t->w.err, ERR_NONE);
	ck_assert_int_eq(t->w.reached, ACK_CONFIRMED);
	struct committer_state s = region_state(&a);
	ck_assert_int_eq(position_compare(t->w.position, s.position), 0);
	ck_assert_uint_eq(t->intents[0].op_number, s.op_number);
	struct record r = find_point(&a, "c", 1);
	ck_assert(r.found);
	ck_assert_uint_eq(r.version, s.op_number);
	ck_assert_int_eq(payload_number(&a, "c", 1, "n"), 1);

	region_shut(&a);
	store_mem_crash(a.store);
	region_open(&a);
	ck_assert(find_point(&a, "c", 1).found);
	ck_assert_uint_eq(region_state(&a).chain_hash, s.chain_hash);
}
END_TEST

START_TEST(positions_have_no_gaps_and_numbers_follow)
{
	for (uint64_t i = 0; i < 5; i++) {
		struct intent in[] = { upsert_of(&a, "c", i, 1),
				       set_payload_of(&a, "c", i, "k", 1) };
		(void)submit(&a, in, 2);
		(void)submit(&a, in, 1);
	}
	(void)committer_turn(a.committer, 0);
	struct log_part log = read_log_after(&a, (struct position){ 0 }, 100);
	/* epoch-start, create, and 5 x 3 */
	ck_assert_uint_eq(log.count, 17);
	for (uint32_t i = 0; i < log.count; i++) {
		ck_assert_uint_eq(log.positions[i].epoch, epoch_make(1, 1));
		ck_assert_uint_eq(log.positions[i].seq, i + 1);
	}
	ck_assert_uint_eq(region_state(&a).op_number, 17);
	ck_assert_uint_eq(region_state(&a).log_ops, 17);
}
END_TEST

START_TEST(filter_sees_what_came_before_it_in_the_batch)
{
	struct id_set set = { .items = region_alloc(&a, 2 * sizeof(*set.items)), .count = 2 };
	set.items[0] = id_of(1);
	set.items[1] = id_of(3);
	struct condition has_id = { .kind = CONDITION_HAS_ID, .ids = set };
	struct filter filter = { .must = { .items = &has_id, .count = 1 } };
	ck_assert_int_eq(filter_prepare(&filter, NULL), ERR_NONE);

	struct intent in[] = { upsert_of(&a, "c", 1, 3),
			       { .kind = OP_DELETE, .collection = STR("c"), .filter = &filter },
			       upsert_of(&a, "c", 3, 1) };
	struct region_write *t = submit(&a, in, 3);
	(void)committer_turn(a.committer, 0);
	ck_assert_int_eq(t->w.err, ERR_NONE);
	ck_assert_uint_eq(t->done, 1);
	ck_assert(!find_point(&a, "c", 1).found);
	ck_assert(find_point(&a, "c", 2).found);
	ck_assert(find_point(&a, "c", 3).found);
}
END_TEST

/* More than two parts' worth: commit_local.c takes 10,000 at a time. */
#define MANY 25000u

static struct filter everything; /* without conditions */

static void fill_many(void)
{
	for (uint32_t i = 0; i < MANY; i += 2500)
		write_well(&a, upsert_of(&a, "c", i, 2500));
}

static struct intent set_all_of(int64_t n)
{
	return (struct intent){ .kind = OP_SET_PAYLOAD,
				.collection = STR("c"),
				.filter = &everything,
				.body = { .payload = payload_of(&a, "k", n) } };
}

START_TEST(filter_that_finds_many_points_takes_several_transactions)
{
	fill_many();
	make_faulty(&a);
	struct position before = region_state(&a).position;
	struct intent in[2] = { set_all_of(7), upsert_of(&a, "c", MANY, 1) };
	struct region_write *w = submit(&a, &in[0], 1), *next = submit(&a, &in[1], 1);

	(void)committer_turn(a.committer, 0);
	ck_assert(w->done == 1 && next->done == 1);
	ck_assert_int_eq(w->w.err, ERR_NONE);
	ck_assert_uint_eq(w->w.intents_done, 1);
	ck_assert_uint_eq(commits_done, 4);
	ck_assert_uint_gt(w->w.position.seq, before.seq + 2);
	ck_assert_uint_eq(next->w.position.seq, w->w.position.seq + 1);
	for (uint32_t i = 0; i < MANY; i += 999)
		ck_assert_int_eq(payload_number(&a, "c", i, "k"), 7);
	/* What came after it did not meet the filter. */
	ck_assert_int_eq(payload_number(&a, "c", MANY, "k"), -1);
	ck_assert_int_eq(payload_number(&a, "c", MANY - 1, "k"), 7);

	commits_done = 0;
	write_well(&a, (struct intent){
			       .kind = OP_DELETE, .collection = STR("c"), .filter = &everything });
	ck_assert_uint_eq(commits_done, 3);
	ck_assert_uint_eq(count_points(&a, "c"), 0);
}
END_TEST

START_TEST(filter_that_fails_in_the_middle_says_what_is_done)
{
	fill_many();
	make_faulty(&a);
	commit_err = ERR_NO_SPACE;
	commits_left = 2;
	struct region_write *w = try_write(&a, set_all_of(7));
	ck_assert_int_eq(w->w.err, ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(fault_text(&w->w.fault), "the disk said so"));
	ck_assert_ptr_nonnull(strstr(fault_text(&w->w.fault), "before point 20000 is done"));
	ck_assert_uint_eq(w->w.intents_done, 0);
	ck_assert_int_eq(position_compare(w->w.position, region_state(&a).position), 0);
	ck_assert_int_eq(payload_number(&a, "c", 0, "k"), 7);
	ck_assert_int_eq(payload_number(&a, "c", 19999, "k"), 7);
	ck_assert_int_eq(payload_number(&a, "c", 20000, "k"), -1);
	ck_assert_int_eq(payload_number(&a, "c", MANY - 1, "k"), -1);

	/* Nothing of the first try is left in the way of the second; nor does a first part that fails speak of any. */
	w = try_write(&a, set_all_of(8));
	ck_assert_int_eq(w->w.err, ERR_NO_SPACE);
	ck_assert_ptr_null(strstr(fault_text(&w->w.fault), "is done"));
	ck_assert_uint_eq(w->w.position.epoch, 0);
	commit_err = ERR_NONE;
	write_well(&a, set_all_of(9));
	for (uint32_t i = 0; i < MANY; i += 999)
		ck_assert_int_eq(payload_number(&a, "c", i, "k"), 9);
}
END_TEST

START_TEST(filter_that_finds_nothing_is_a_success_that_writes_nothing)
{
	struct id_set set = { .items = region_alloc(&a, sizeof(*set.items)), .count = 1 };
	set.items[0] = id_of(1);
	struct condition has_id = { .kind = CONDITION_HAS_ID, .ids = set };
	struct filter filter = { .must = { .items = &has_id, .count = 1 } };
	ck_assert_int_eq(filter_prepare(&filter, NULL), ERR_NONE);
	struct region_write *t = try_write(
		&a,
		(struct intent){ .kind = OP_DELETE, .collection = STR("c"), .filter = &filter });
	ck_assert_int_eq(t->w.err, ERR_NONE);
	ck_assert_uint_eq(t->w.position.epoch, 0);
	ck_assert_uint_eq(t->intents[0].op_number, region_state(&a).op_number);
}
END_TEST

START_TEST(collection_is_there_for_the_next_intent_of_its_write)
{
	struct intent in[] = { create_of(&a, "d", DISTANCE_COSINE),
			       upsert_of(&a, "d", 1, 2),
			       { .kind = OP_DROP_COLLECTION, .collection = STR("c") },
			       upsert_of(&a, "c", 1, 1) };
	struct region_write *t = submit(&a, in, 4);
	(void)committer_turn(a.committer, 0);
	ck_assert_int_eq(t->w.err, ERR_NOT_FOUND);
	ck_assert_uint_eq(t->w.intents_done, 3);
	ck_assert_uint_eq(count_points(&a, "d"), 2);
	ck_assert_ptr_null(catalog_get(a.catalog, STR("c")));
}
END_TEST

START_TEST(large_request_becomes_several_ops_in_one_commit)
{
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 5000));
	ck_assert_int_eq(t->w.err, ERR_NONE);
	struct log_part log = read_log_after(&a, (struct position){ epoch_make(1, 1), 2 }, 100);
	ck_assert_uint_gt(log.count, 1);
	for (uint32_t i = 0; i < log.count; i++)
		ck_assert_uint_le(log.ops[i].len, OP_BYTES_TARGET);
	ck_assert_uint_eq(count_points(&a, "c"), 5000);
	ck_assert_uint_eq(t->w.position.seq, 2 + log.count);
}
END_TEST

START_TEST(of_a_point_given_twice_the_later_one_stays)
{
	/* Many pairs, so that the greater of two contents is not the later one by chance each time. */
	struct intent in = upsert_of(&a, "c", 1, 20);
	for (uint32_t i = 0; i < 10; i++)
		in.body.points[i].id = in.body.points[19 - i].id;
	write_well(&a, in);
	ck_assert_uint_eq(count_points(&a, "c"), 10);
	for (int64_t id = 11; id <= 20; id++)
		ck_assert_int_eq(payload_number(&a, "c", (uint64_t)id, "n"), id);
}
END_TEST

START_TEST(cosine_vectors_are_normalized_before_they_are_logged)
{
	static const float values[4] = { 3.0F, 0.0F, 4.0F, 0.0F };
	write_well(&a, create_of(&a, "cos", DISTANCE_COSINE));
	struct intent in = upsert_of(&a, "cos", 1, 1);
	in.body.points[0].vectors[0] = dense_of(&a, "", values, 4);
	write_well(&a, in);
	ck_assert(in.body.points[0].vectors[0].vector.values[0] == 3.0F);
	struct record r = find_point(&a, "cos", 1);
	ck_assert_uint_eq(r.vector_count, 1);
	ck_assert_double_eq_tol((double)r.vectors[0].vector.values[0], 0.6, 1e-6);

	struct log_part log = read_log_after(&a, (struct position){ epoch_make(1, 1), 3 }, 1);
	struct op op;
	ck_assert_int_eq(op_decode(log.ops[0], OP_FORM_WIRE, &a.arena, &op, NULL), ERR_NONE);
	ck_assert(vector_equal(&op.points[0].vectors[0].vector, &r.vectors[0].vector));
}
END_TEST

START_TEST(delete_of_what_is_not_there_writes_nothing)
{
	static const uint64_t ids[] = { 1, 2 };
	write_well(&a, upsert_of(&a, "c", 1, 1));
	uint64_t seq = region_state(&a).position.seq;
	write_well(&a, ids_intent(&a, OP_DELETE, "c", &ids[1], 1));
	ck_assert_uint_eq(region_state(&a).position.seq, seq);
	write_well(&a, ids_intent(&a, OP_DELETE, "c", ids, 2));
	ck_assert_uint_eq(region_state(&a).position.seq, seq + 1);
	ck_assert_uint_eq(count_points(&a, "c"), 0);
}
END_TEST

START_TEST(payload_and_vectors_change_as_asked)
{
	static const uint64_t one = 1;
	struct str key = STR("n");
	write_well(&a, upsert_of(&a, "c", 1, 1));
	write_well(&a, set_payload_of(&a, "c", 1, "k", 5));
	ck_assert_int_eq(payload_number(&a, "c", 1, "n"), 1);
	ck_assert_int_eq(payload_number(&a, "c", 1, "k"), 5);
	struct intent in = ids_intent(&a, OP_DELETE_PAYLOAD, "c", &one, 1);
	in.body.keys = &key;
	in.body.key_count = 1;
	write_well(&a, in);
	ck_assert_int_eq(payload_number(&a, "c", 1, "n"), -1);
	in = set_payload_of(&a, "c", 1, "m", 7);
	in.kind = OP_OVERWRITE_PAYLOAD;
	write_well(&a, in);
	ck_assert_int_eq(payload_number(&a, "c", 1, "k"), -1);
	ck_assert_int_eq(payload_number(&a, "c", 1, "m"), 7);
	write_well(&a, ids_intent(&a, OP_CLEAR_PAYLOAD, "c", &one, 1));
	ck_assert_int_eq(payload_number(&a, "c", 1, "m"), -1);
	struct str vector = STR("");
	in = ids_intent(&a, OP_DELETE_VECTORS, "c", &one, 1);
	in.body.keys = &vector;
	in.body.key_count = 1;
	write_well(&a, in);
	ck_assert_uint_eq(find_point(&a, "c", 1).vector_count, 0);
	ck_assert(find_point(&a, "c", 1).found);
	in = upsert_of(&a, "c", 1, 1);
	in.kind = OP_UPDATE_VECTORS;
	write_well(&a, in);
	ck_assert_uint_eq(find_point(&a, "c", 1).vector_count, 1);
	ck_assert_int_eq(payload_number(&a, "c", 1, "n"), -1);
}
END_TEST

static uint64_t count_records(enum store_table table)
{
	struct store_txn *t;
	struct store_cursor *c;
	struct bytes key;
	struct bytes value;
	uint64_t count = 0;

	ck_assert_int_eq(a.store->ops->begin(a.store, false, &t), ERR_NONE);
	ck_assert_int_eq(a.store->ops->cursor_open(t, table, &c), ERR_NONE);
	while (!a.store->ops->next(c, &key, &value))
		count++;
	a.store->ops->cursor_close(c);
	a.store->ops->abort(t);
	return count;
}

/* A checkpoint is due at each write here; the second one finds what the first one let go. */
static void write_at_checkpoints(uint64_t id)
{
	for (uint64_t i = 0; i < 3; i++) {
		a.clock.mono_ns += UINT64_C(5000000000);
		write_well(&a, upsert_of(&a, "d", id + i, 1));
	}
}

START_TEST(checkpoints_clear_away_dropped_collections_once_the_log_has_passed_the_drop)
{
	write_well(&a, upsert_of(&a, "c", 1, 100));
	write_well(&a, create_of(&a, "d", DISTANCE_DOT));
	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	write_at_checkpoints(1);
	ck_assert_uint_gt(count_records(STORE_ROWS), 100);
	reopen(&a);
	region_begin(&a);
	write_at_checkpoints(4);
	ck_assert_uint_gt(count_records(STORE_ROWS), 100);
	region_shut(&a);
	a.options.log_bytes_max = 1;
	region_open(&a);
	region_begin(&a);
	write_at_checkpoints(7);
	ck_assert_uint_lt(count_records(STORE_ROWS), 40);
}
END_TEST

START_TEST(clock_behind_its_stamps_refuses_writes)
{
	write_well(&a, upsert_of(&a, "c", 1, 1));
	a.clock.wall_ms -= 10000;
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 2, 1));
	ck_assert_int_eq(t->w.err, ERR_UNAVAILABLE);
	/* It may begin an epoch, as who has begun none cannot give the role away. */
	reopen(&a);
	region_begin(&a);
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 2, 1))->w.err, ERR_UNAVAILABLE);
	a.clock.wall_ms += 10000;
	write_well(&a, upsert_of(&a, "c", 2, 1));
}
END_TEST

/* --- epochs --- */

START_TEST(reopened_region_writes_only_in_a_new_epoch)
{
	write_well(&a, upsert_of(&a, "c", 1, 1));
	struct committer_state before = region_state(&a);
	ck_assert(before.writing);
	reopen(&a);
	struct committer_state s = region_state(&a);
	ck_assert(!s.writing);
	ck_assert_int_eq(position_compare(s.position, before.position), 0);
	ck_assert_uint_eq(s.boots, before.boots + 1);
	ck_assert_int_eq(memcmp(s.store_id, before.store_id, sizeof(s.store_id)), 0);
	ck_assert_uint_eq(s.log_ops, before.log_ops);
	ck_assert_uint_eq(s.log_bytes, before.log_bytes);
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 2, 1))->w.err, ERR_NO_PRIMARY);

	region_begin(&a);
	s = region_state(&a);
	ck_assert_uint_eq(s.epoch, epoch_make(2, 1));
	ck_assert_uint_eq(s.position.seq, 1);
	ck_assert_uint_eq(s.op_number, before.op_number + 1);
	ck_assert_int_eq(committer_find(a.committer, before.position), HISTORY_IN);
	before.position.seq++;
	ck_assert_int_eq(committer_find(a.committer, before.position), HISTORY_ORPHAN);
	write_well(&a, upsert_of(&a, "c", 2, 1));
	ck_assert_uint_eq(find_point(&a, "c", 2).version, s.op_number + 1);
}
END_TEST

START_TEST(released_epoch_is_never_written_again)
{
	struct position end;
	struct fault f = { 0 };
	ck_assert_msg(!committer_release(a.committer, 2, &end, &f), "%s", f.text);
	struct committer_state s = region_state(&a);
	ck_assert(s.released && !s.writing);
	ck_assert_uint_eq(s.released_to, 2);
	ck_assert_int_eq(position_compare(end, s.position), 0);
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 1));
	ck_assert_int_eq(t->w.err, ERR_NOT_PRIMARY);
	ck_assert_ptr_nonnull(strstr(t->w.fault.text, "region 2"));
	ck_assert_int_eq(committer_release(a.committer, 2, &end, &f), ERR_NOT_PRIMARY);

	reopen(&a);
	ck_assert(region_state(&a).released);
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 1, 1))->w.err, ERR_NOT_PRIMARY);
}
END_TEST

START_TEST(clock_that_came_back_keeps_nobody_from_giving_the_role_away)
{
	struct position end;
	struct fault f = { 0 };
	a.clock.wall_ms += 3600000;
	write_well(&a, upsert_of(&a, "c", 1, 1));
	a.clock.wall_ms -= 3600000;
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 2, 1))->w.err, ERR_UNAVAILABLE);
	reopen(&a);
	region_begin(&a);
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 2, 1))->w.err, ERR_UNAVAILABLE);
	ck_assert_msg(!committer_release(a.committer, 2, &end, &f), "%s", f.text);
	ck_assert(region_state(&a).released);
}
END_TEST

/* --- may this region write? --- */

static enum err lease_answer;
static unsigned lease_asked;
static unsigned lease_good_for; /* answers before it is lost */

static enum err ask_lease(void *ctx, uint16_t scope, uint64_t epoch, struct fault *reterr_fault)
{
	(void)ctx;
	ck_assert_uint_eq(scope, SCOPE_FLEET);
	ck_assert_uint_ne(epoch, 0);
	if (lease_asked++ < lease_good_for)
		return ERR_NONE;
	return fault_set(reterr_fault, lease_answer, "the lease is gone");
}

START_TEST(lease_is_asked_in_the_transaction_and_after_the_sync)
{
	region_shut(&a);
	a.options.may_write = ask_lease;
	lease_answer = ERR_NO_PRIMARY;
	lease_asked = 0;
	lease_good_for = 0;
	region_open(&a);
	ck_assert_int_eq(committer_begin_epoch(a.committer, NULL), ERR_NO_PRIMARY);
	lease_good_for = UINT32_MAX;
	region_begin(&a);

	lease_asked = 0;
	lease_good_for = 0;
	ck_assert_int_eq(try_write(&a, upsert_of(&a, "c", 1, 1))->w.err, ERR_NO_PRIMARY);
	ck_assert_uint_eq(count_points(&a, "c"), 0);

	lease_asked = 0;
	lease_good_for = 1;
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 1, 1));
	ck_assert_int_eq(t->w.err, ERR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(t->w.fault.text, "open whether it survives"));
	ck_assert_uint_ne(t->w.position.epoch, 0);
	ck_assert_uint_eq(count_points(&a, "c"), 1);

	lease_asked = 0;
	lease_good_for = UINT32_MAX;
	write_well(&a, upsert_of(&a, "c", 2, 1));
	ck_assert_uint_eq(lease_asked, 2);
}
END_TEST

static struct position level_confirmed;

static enum ack_level ask_level(void *ctx, struct position p)
{
	(void)ctx;
	return position_compare(p, level_confirmed) <= 0 ? ACK_CONFIRMED : ACK_VISIBLE;
}

static struct region_write *submit_strong(struct intent in, uint64_t deadline_ns)
{
	struct region_write *t = region_alloc(&a, sizeof(*t));
	t->intents = region_alloc(&a, sizeof(in));
	t->intents[0] = in;
	t->w = (struct write){ .intents = t->intents,
			       .intent_count = 1,
			       .bytes = 1,
			       .ack = ACK_CONFIRMED,
			       .deadline_ns = deadline_ns,
			       .done = region_write_done };
	ck_assert_int_eq(committer_submit(a.committer, &t->w), ERR_NONE);
	return t;
}

START_TEST(strong_write_waits_for_its_level_or_its_deadline)
{
	region_shut(&a);
	a.options.level = ask_level;
	level_confirmed = (struct position){ 0 };
	region_open(&a);
	region_begin(&a);
	struct region_write *t1 = submit_strong(upsert_of(&a, "c", 1, 1), 0);
	struct region_write *t2 = submit_strong(upsert_of(&a, "c", 2, 1), 5000000);
	(void)committer_turn(a.committer, 0);
	ck_assert(t1->done == 0 && t2->done == 0);
	ck_assert_uint_eq(count_points(&a, "c"), 2);

	level_confirmed = t1->w.position;
	committer_wake(a.committer);
	committer_wake(a.committer);
	(void)committer_turn(a.committer, 0);
	ck_assert_uint_eq(t1->done, 1);
	ck_assert_int_eq(t1->w.err, ERR_NONE);
	ck_assert_int_eq(t1->w.reached, ACK_CONFIRMED);
	ck_assert_uint_eq(t2->done, 0);

	a.clock.mono_ns += 5000000;
	(void)committer_turn(a.committer, 1000);
	ck_assert_uint_eq(t2->done, 1);
	ck_assert_int_eq(t2->w.err, ERR_TIMEOUT);
	ck_assert_int_eq(t2->w.reached, ACK_VISIBLE);
	ck_assert_ptr_nonnull(strstr(t2->w.fault.text, "open whether it survives"));

	struct region_write *t3 = submit_strong(upsert_of(&a, "c", 3, 1), 0);
	(void)committer_turn(a.committer, 0);
	ck_assert_uint_eq(t3->done, 0);
	committer_stop(a.committer);
	ck_assert_uint_eq(t3->done, 1);
	ck_assert_int_eq(t3->w.err, ERR_TIMEOUT);
}
END_TEST

static struct region_set appliers;

static void ask_applied(void *ctx, struct position p, struct ack_applied *ret_applied)
{
	(void)ctx;
	(void)p;
	*ret_applied = (struct ack_applied){ .regions = appliers };
}

static struct region_write *submit_for(struct intent in, struct ack_regions regions, uint64_t deadline_ns)
{
	struct region_write *t = region_alloc(&a, sizeof(*t));
	t->intents = region_alloc(&a, sizeof(in));
	t->intents[0] = in;
	t->w = (struct write){ .intents = t->intents,
			       .intent_count = 1,
			       .bytes = 1,
			       .regions = regions,
			       .deadline_ns = deadline_ns,
			       .done = region_write_done };
	ck_assert_int_eq(committer_submit(a.committer, &t->w), ERR_NONE);
	(void)committer_turn(a.committer, 0);
	return t;
}

static void appliers_come(uint8_t id)
{
	region_set_add(&appliers, id);
	committer_wake(a.committer);
	(void)committer_turn(a.committer, 0);
}

START_TEST(write_waits_for_the_regions_that_were_asked_for)
{
	struct ack_regions two = { .count = 2 }, third = { 0 };

	region_set_add(&third.these, 3);
	region_shut(&a);
	a.options.applied = ask_applied;
	a.options.region_name = "ams";
	appliers = (struct region_set){ 0 };
	region_set_add(&appliers, 1);
	region_open(&a);
	region_begin(&a);
	static const struct filter all;
	struct intent nothing = ids_intent(&a, OP_DELETE, "c", NULL, 0);
	nothing.filter = &all;
	struct region_write *t4 = submit_for(nothing, third, 5000000);
	struct region_write *t1 = submit_for(upsert_of(&a, "c", 1, 1), two, 0);
	struct region_write *t2 = submit_for(upsert_of(&a, "c", 2, 1), third, 0);
	struct region_write *t3 = submit_for(upsert_of(&a, "c", 3, 1), third, 5000000);
	ck_assert(t1->done == 0 && t2->done == 0 && t3->done == 0 && t4->done == 0);

	appliers_come(2);
	ck_assert(t1->done == 1 && t1->w.err == ERR_NONE);
	ck_assert_uint_eq(region_set_count(&t1->w.applied.regions), 2);
	ck_assert_uint_eq(t2->done, 0);
	a.clock.mono_ns += 5000000;
	(void)committer_turn(a.committer, 1000);
	ck_assert(t3->done == 1 && t3->w.err == ERR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(t3->w.fault.text, "written in ams at ("));
	/* This committer is its own majority. */
	ck_assert_ptr_nonnull(strstr(t3->w.fault.text, "confirmed by most regions, so that it stays; not all regions"));
	ck_assert_ptr_null(strstr(t3->w.fault.text, "open whether"));
	ck_assert_uint_eq(t2->done, 0);
	appliers_come(3);
	ck_assert(t2->done == 1 && t2->w.err == ERR_NONE);
	ck_assert(region_set_has(&t2->w.applied.regions, 3));
	ck_assert(t4->done == 1 && t4->w.err == ERR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(t4->w.fault.text, "nothing was written"));
}
END_TEST

/* --- threads --- */

static void *write_many(void *arg)
{
	uint64_t first = (uint64_t)(uintptr_t)arg * WRITES_PER_THREAD;
	struct region_write *writes = calloc(WRITES_PER_THREAD, sizeof(*writes));
	struct intent *intents = calloc(WRITES_PER_THREAD, sizeof(*intents));
	struct point_id *ids = calloc(WRITES_PER_THREAD, sizeof(*ids));
	struct op_point *points = calloc(WRITES_PER_THREAD, sizeof(*points));

	ck_assert(writes && intents && ids && points);
	for (uint32_t i = 0; i < WRITES_PER_THREAD; i++) {
		points[i].id = id_of(first + i);
		intents[i] = (struct intent){ .kind = OP_UPSERT,
					      .collection = STR("c"),
					      .body = { .points = &points[i], .point_count = 1 } };
		writes[i].w = (struct write){ .intents = &intents[i],
					      .intent_count = 1,
					      .bytes = 100,
					      .ack = ACK_VISIBLE,
					      .done = region_write_done };
		ck_assert_int_eq(committer_submit(a.committer, &writes[i].w), ERR_NONE);
		committer_wake(a.committer);
	}
	free(ids);
	return writes;
}

START_TEST(writers_on_many_threads_are_all_served)
{
	pthread_t threads[THREADS];
	void *writes[THREADS];
	struct fault f = { 0 };
	ck_assert_int_eq(committer_start(a.committer), ERR_NONE);
	ck_assert_msg(!committer_begin_epoch(a.committer, &f), "%s", f.text);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, (void *)i), 0);
	/* Each upsert is one op, after the epoch-start. */
	struct position last = { epoch_make(2, 1), 1 + THREADS * WRITES_PER_THREAD };
	ck_assert_int_eq(committer_wait(a.committer, last, 20000), ERR_NONE);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], &writes[i]), 0);
	uint64_t turns = region_state(&a).turns;
	struct intent in = upsert_of(&a, "c", 1, 1);
	struct region_write *one = submit(&a, &in, 1);
	ck_assert_int_eq(committer_drain(a.committer, 20000), ERR_NONE);
	ck_assert_uint_eq(region_state(&a).position.seq, last.seq + 1);
	committer_stop(a.committer);
	ck_assert_uint_eq(one->done, 1);
	ck_assert_uint_gt(region_state(&a).turns, turns);
	for (int i = 0; i < THREADS; i++) {
		struct region_write *w = writes[i];
		for (int k = 0; k < WRITES_PER_THREAD; k++)
			ck_assert(w[k].done == 1 && w[k].w.err == ERR_NONE);
		free((void *)(uintptr_t)w[0].w.intents->body.points);
		free(w[0].w.intents);
		free(w);
	}
	ck_assert_uint_eq(count_points(&a, "c"), THREADS * WRITES_PER_THREAD);
	struct region_write late = {
		.w = { .intents = &in, .intent_count = 1, .done = region_write_done }
	};
	ck_assert_int_eq(committer_submit(a.committer, &late.w), ERR_UNAVAILABLE);
	ck_assert_uint_eq(late.done, 0);
}
END_TEST

START_TEST(wait_for_a_position_that_does_not_come_ends)
{
	struct position p = region_state(&a).position;
	ck_assert_int_eq(committer_wait(a.committer, p, 0), ERR_NONE);
	p.seq++;
	ck_assert_int_eq(committer_wait(a.committer, p, 1), ERR_TIMEOUT);
}
END_TEST

START_TEST(drain_ends_when_everything_is_committed)
{
	struct intent in = upsert_of(&a, "c", 1, 1);
	struct region_write *t = submit(&a, &in, 1);
	ck_assert_int_eq(committer_drain(a.committer, 0), ERR_NONE);
	ck_assert_uint_eq(t->done, 1);
	ck_assert_int_eq(committer_drain(a.committer, 0), ERR_NONE);
}
END_TEST

START_TEST(full_queue_refuses_and_keeps_the_rest)
{
	struct intent in = upsert_of(&a, "c", 1, 1);
	struct region_write first = { .w = { .intents = &in,
					     .intent_count = 1,
					     .bytes = COMMIT_QUEUE_BYTES_MAX,
					     .done = region_write_done } };
	struct region_write second = first;
	ck_assert_int_eq(committer_submit(a.committer, &first.w), ERR_NONE);
	ck_assert_int_eq(committer_submit(a.committer, &second.w), ERR_RATE_LIMITED);
	(void)committer_turn(a.committer, 0);
	ck_assert(first.done == 1 && second.done == 0);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *const *tests, size_t count)
{
	TCase *t = tcase_create(name);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
}

int main(void)
{
	const TTest *const refused[] = {
		write_before_any_epoch_is_refused,
		wrong_intents_are_refused_in_words_and_change_nothing,
		bad_write_leaves_the_others_of_its_batch,
		write_that_does_not_fit_the_disk_fails_alone,
		full_disk_at_the_commit_is_survived,
		full_store_is_told_with_its_bound_and_the_cure,
		failed_sync_ends_writing_but_not_reading,
		clock_behind_its_stamps_refuses_writes,
		full_queue_refuses_and_keeps_the_rest,
		wait_for_a_position_that_does_not_come_ends,
		drain_ends_when_everything_is_committed,
	};
	const TTest *const ordinary[] = {
		point_is_visible_and_durable_when_done_is_called,
		positions_have_no_gaps_and_numbers_follow,
		filter_sees_what_came_before_it_in_the_batch,
		filter_that_finds_many_points_takes_several_transactions,
		filter_that_fails_in_the_middle_says_what_is_done,
		filter_that_finds_nothing_is_a_success_that_writes_nothing,
		collection_is_there_for_the_next_intent_of_its_write,
		large_request_becomes_several_ops_in_one_commit,
		of_a_point_given_twice_the_later_one_stays,
		cosine_vectors_are_normalized_before_they_are_logged,
		delete_of_what_is_not_there_writes_nothing,
		payload_and_vectors_change_as_asked,
		checkpoints_clear_away_dropped_collections_once_the_log_has_passed_the_drop,
	};
	const TTest *const epochs[] = {
		reopened_region_writes_only_in_a_new_epoch,
		released_epoch_is_never_written_again,
		clock_that_came_back_keeps_nobody_from_giving_the_role_away,
		lease_is_asked_in_the_transaction_and_after_the_sync,
		strong_write_waits_for_its_level_or_its_deadline,
		write_waits_for_the_regions_that_were_asked_for,
	};
	const TTest *const threads[] = { writers_on_many_threads_are_all_served };
	Suite *s = suite_create("commit");

	add(s, "refused", refused, LEN(refused));
	add(s, "ordinary", ordinary, LEN(ordinary));
	add(s, "epochs", epochs, LEN(epochs));
	add(s, "threads", threads, LEN(threads));
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
