/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region tells another one that copies it.
 */
#include "tests/replicator/copy_bed.h"

static struct region *eu(void)
{
	return &sources[0].region;
}

static void set_up(void)
{
	copy_bed_open();
	write_well(eu(), create_of(eu(), "c", DISTANCE_DOT));
}

static void tear_down(void)
{
	copy_bed_close();
}

static enum err ask_as(uint8_t sender, uint8_t from, uint64_t fleet, struct snapshot_request q, struct buf *out)
{
	CLEANUP(buf_release) struct buf request = BUF_INIT(SNAPSHOT_REQUEST_BYTES_MAX);
	const struct snapshot_source source = { .store = eu()->store,
						.catalog = eu()->catalog,
						.committer = eu()->committer,
						.peers = sources[0].peers,
						.confirmed = source_confirmed,
						.ctx = &sources[0] };

	q.sender = sender;
	q.fleet = fleet;
	ck_assert_int_eq(snapshot_request_encode(&q, &request), ERR_NONE);
	return snapshot_answer(&source, from, buf_bytes(&request), out, NULL);
}

static struct snapshot_reply answer_to(struct snapshot_request q, struct buf *out)
{
	struct snapshot_reply r;

	ck_assert_int_eq(ask_as(2, 2, COPY_FLEET, q, out), ERR_NONE);
	ck_assert_int_eq(snapshot_reply_decode(buf_bytes(out), &eu()->arena, &r, NULL), ERR_NONE);
	ck_assert_int_eq(r.kind, q.kind);
	return r;
}

static struct incarnation incarnation_of(const char *name)
{
	struct incarnation i;

	ck_assert(catalog_has(eu()->catalog, (struct str){ name, strlen(name) }, &i));
	return i;
}

START_TEST(who_asks_for_another_fleet_or_in_another_name_is_refused)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	const struct snapshot_request q = { .kind = SNAPSHOT_STATE };

	ck_assert_int_eq(ask_as(2, 2, COPY_FLEET + 1, q, &out), ERR_FORBIDDEN);
	ck_assert_int_eq(ask_as(3, 2, COPY_FLEET, q, &out), ERR_FORBIDDEN);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(ask_as(2, 2, COPY_FLEET, q, &out), ERR_NONE);
}
END_TEST

START_TEST(the_head_has_the_place_and_every_collection_of_one_state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	unsigned tables[STORE_TABLE_COUNT] = { 0 };

	write_well(eu(), create_of(eu(), "d", DISTANCE_DOT));
	write_well(eu(), upsert_of(eu(), "d", 1, 7));
	struct snapshot_reply r = answer_to((struct snapshot_request){ .kind = SNAPSHOT_HEAD }, &out);
	for (uint32_t i = 0; i < r.record_count; i++)
		tables[r.records[i].table]++;
	ck_assert_uint_eq(tables[STORE_CATALOG], 2); /* not the numbers of shards, which are each region's own */
	ck_assert_uint_eq(tables[STORE_HISTORY], 1);
	ck_assert_uint_eq(tables[STORE_META], 1);
	ck_assert_uint_eq(r.points, 7);
	ck_assert_int_eq(position_compare(r.position, region_state(eu()).position), 0);
	ck_assert_uint_eq(r.chain_hash, region_state(eu()).chain_hash);
	ck_assert_int_eq(position_compare(r.confirmed, r.position), 0);
}
END_TEST

/* With payloads of some 40 KB no part has all of them. */
static struct intent large_of(uint64_t id)
{
	static char big[40000];
	struct intent in = upsert_of(eu(), "c", id, 1);
	CLEANUP(buf_release) struct buf item = BUF_INIT(50000);
	CLEANUP(buf_release) struct buf b = BUF_INIT(60000);

	memset(big, 'x', sizeof(big));
	value_put_string(&item, (struct str){ big, sizeof(big) });
	struct value_member m = { .key = STR("text"), .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
	uint8_t *copied = region_alloc(eu(), b.len);
	memcpy(copied, b.data, b.len);
	in.body.points[0].payload = (struct value){ .data = copied, .len = (uint32_t)b.len };
	return in;
}

START_TEST(a_part_is_bounded_and_the_next_one_goes_on_behind_it)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	bool seen[201] = { false };
	unsigned parts = 0, rows = 0;

	for (uint64_t id = 1; id <= 200; id++)
		write_well(eu(), large_of(id));
	for (uint32_t shard = 0; shard < 2; shard++) {
		struct snapshot_request q = { .kind = SNAPSHOT_ROWS, .incarnation = incarnation_of("c"), .shard = shard };
		struct snapshot_reply r = { 0 };

		while (!r.done) {
			buf_reset(&out);
			r = answer_to(q, &out);
			ck_assert_uint_lt(out.len, SNAPSHOT_PART_BYTES + 100000);
			for (uint32_t i = 0; i < r.row_count; i++) {
				uint64_t id = r.rows[i].row.id.lo;
				ck_assert(id >= 1 && id <= 200 && !seen[id]);
				seen[id] = true;
				rows++;
			}
			q.next = r.next;
			parts++;
		}
	}
	ck_assert_uint_eq(rows, 200);
	ck_assert_uint_gt(parts, 5);
}
END_TEST

START_TEST(a_collection_that_was_dropped_is_gone_at_a_position_behind_its_drop)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	struct incarnation i = incarnation_of("c");

	write_well(eu(), (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	struct snapshot_reply r = answer_to((struct snapshot_request){ .kind = SNAPSHOT_ROWS, .incarnation = i }, &out);
	ck_assert(r.gone && r.done);
	ck_assert_uint_eq(r.row_count, 0);
	ck_assert_int_eq(position_compare(r.position, region_state(eu()).position), 0);
}
END_TEST

START_TEST(a_shard_that_there_is_not_is_refused_in_the_answer)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(SNAPSHOT_PART_BYTES_MAX);
	struct snapshot_reply r = answer_to(
		(struct snapshot_request){ .kind = SNAPSHOT_ROWS, .incarnation = incarnation_of("c"), .shard = 2 }, &out);

	ck_assert_int_eq(snapshot_reply_refusal(&r), ERR_BAD_INPUT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, who_asks_for_another_fleet_or_in_another_name_is_refused);
	tcase_add_test(tc, the_head_has_the_place_and_every_collection_of_one_state);
	tcase_add_test(tc, a_part_is_bounded_and_the_next_one_goes_on_behind_it);
	tcase_add_test(tc, a_collection_that_was_dropped_is_gone_at_a_position_behind_its_drop);
	tcase_add_test(tc, a_shard_that_there_is_not_is_refused_in_the_answer);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
