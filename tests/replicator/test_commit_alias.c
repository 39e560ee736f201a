/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aliases through the committer: all actions of a request or none, one op, the same in every region, and taken back.
 */
#include "tests/replicator/region.h"

#include <stdio.h>

static struct region r;
static struct position confirmed;

static struct position floor_of(void *ctx)
{
	(void)ctx;
	return confirmed;
}

static void set_up(void)
{
	confirmed = (struct position){ 0 };
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, create_of(&r, "d", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 3));
}

static void tear_down(void)
{
	region_release(&r);
}

static void restart(void)
{
	region_shut(&r);
	region_open(&r);
}

static struct intent actions(const struct alias_action *items, uint32_t count)
{
	return (struct intent){ .kind = OP_ALIASES, .alias_actions = items, .alias_action_count = count };
}

#define CREATE(name, collection) { .kind = ALIAS_CREATE, .alias = STR(name), .to = STR(collection) }
#define RENAME(from, into) { .kind = ALIAS_RENAME, .alias = STR(from), .to = STR(into) }
#define DELETE(name) { .kind = ALIAS_DELETE, .alias = STR(name) }

/* "a=c b=d " */
static const char *aliases_of(struct region *of)
{
	static char text[1000];
	struct alias_list l;
	int at = 0;

	ck_assert_int_eq(catalog_aliases(of->catalog, &of->arena, &l), ERR_NONE);
	text[0] = 0;
	for (uint32_t i = 0; i < l.count; i++) {
		struct collection *c = catalog_get_incarnation(of->catalog, l.items[i].target);
		struct str name = collection_name(c, &of->arena);
		collection_unref(c);
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%.*s=%.*s ", STR_FMT(l.items[i].name),
			       STR_FMT(name));
	}
	return text;
}

static uint64_t seq(void)
{
	return region_state(&r).position.seq;
}

START_TEST(a_refused_action_refuses_all_and_says_why)
{
	static const struct alias_action taken[] = { CREATE("z", "c"), CREATE("d", "c") };
	static const struct alias_action no_target[] = { CREATE("z", "c"), CREATE("y", "nope") };
	static const struct alias_action of_alias[] = { CREATE("z", "c"), CREATE("y", "z") };
	static const struct alias_action unknown[] = { CREATE("z", "c"), RENAME("y", "x") };
	static const struct alias_action renamed_onto[] = { CREATE("z", "c"), RENAME("z", "d") };
	static const struct alias_action no_name[] = { CREATE("z", "c"), CREATE("", "d") };
	const struct {
		const struct alias_action *actions;
		enum err err;
		const char *words;
	} cases[] = {
		{ taken, ERR_ALREADY_EXISTS, "Collection `d` already exists!" },
		{ no_target, ERR_NOT_FOUND, "Collection `nope` doesn't exist!" },
		{ of_alias, ERR_NOT_FOUND, "Collection `z` doesn't exist!" },
		{ unknown, ERR_NOT_FOUND, "Alias y does not exists!" },
		{ renamed_onto, ERR_ALREADY_EXISTS, "Collection `d` already exists!" },
		{ no_name, ERR_BAD_INPUT, "the name of an alias has 1 to 255 bytes" },
	};
	uint64_t before = seq();

	for (size_t i = 0; i < LEN(cases); i++) {
		struct region_write *t = try_write(&r, actions(cases[i].actions, 2));
		ck_assert_msg(t->w.err == cases[i].err, "row %zu: %s", i, err_name(t->w.err));
		ck_assert_msg(strstr(t->w.fault.text, cases[i].words), "row %zu: %s", i, t->w.fault.text);
		ck_assert_str_eq(aliases_of(&r), "");
	}
	ck_assert_uint_eq(seq(), before);
}
END_TEST

START_TEST(a_collection_cannot_take_the_name_of_an_alias)
{
	static const struct alias_action make[] = { CREATE("a", "c") };

	write_well(&r, actions(make, 1));
	struct region_write *t = try_write(&r, create_of(&r, "a", DISTANCE_DOT));
	ck_assert_int_eq(t->w.err, ERR_BAD_INPUT);
	ck_assert_str_eq(t->w.fault.text,
			 "Can't create collection with name a. Alias with the same name already exists");
}
END_TEST

START_TEST(more_actions_or_aliases_than_are_possible_are_refused)
{
	struct alias_action *many = region_alloc(&r, (ALIAS_ACTIONS_MAX + 1) * sizeof(*many));

	for (uint32_t k = 0; k < ALIASES_MAX / ALIAS_ACTIONS_MAX; k++) {
		for (uint32_t i = 0; i <= ALIAS_ACTIONS_MAX; i++)
			many[i] = (struct alias_action){
				.kind = ALIAS_CREATE,
				.alias = arena_printf(&r.arena, "%u", k * ALIAS_ACTIONS_MAX + i),
				.to = STR("c"),
			};
		ck_assert_int_eq(try_write(&r, actions(many, ALIAS_ACTIONS_MAX + 1))->w.err, ERR_BAD_INPUT);
		write_well(&r, actions(many, ALIAS_ACTIONS_MAX));
	}
	static const struct alias_action one_more[] = { CREATE("one more", "c") };
	static const struct alias_action swap[] = { CREATE("one more", "c"), DELETE("77") };
	struct region_write *t = try_write(&r, actions(one_more, 1));
	ck_assert_int_eq(t->w.err, ERR_BAD_INPUT);
	ck_assert(strstr(t->w.fault.text, "4097 aliases; at most 4096"));
	write_well(&r, actions(swap, 2));
	ck_assert_uint_eq(catalog_aliases_count(r.catalog), ALIASES_MAX);
}
END_TEST

START_TEST(all_actions_of_a_request_are_one_op)
{
	static const struct alias_action make[] = { CREATE("b", "d"), CREATE("a", "c"), CREATE("x", "d") };
	static const struct alias_action change[] = { DELETE("a"),      CREATE("a", "d"), RENAME("b", "a2"),
						      DELETE("nobody"), RENAME("x", "b"), CREATE("c2", "c"),
						      DELETE("c2") };
	uint64_t before = seq();

	write_well(&r, actions(make, 3));
	ck_assert_uint_eq(seq(), before + 1);
	ck_assert_str_eq(aliases_of(&r), "a=c b=d x=d ");
	write_well(&r, actions(change, LEN(change)));
	ck_assert_uint_eq(seq(), before + 2);
	ck_assert_str_eq(aliases_of(&r), "a=d a2=d b=d ");
	restart();
	ck_assert_str_eq(aliases_of(&r), "a=d a2=d b=d ");
}
END_TEST

START_TEST(what_changes_nothing_writes_nothing)
{
	static const struct alias_action make[] = { CREATE("a", "c") };
	static const struct alias_action back[] = { RENAME("a", "b"), RENAME("b", "a"), DELETE("nobody"),
						    CREATE("a", "c") };

	write_well(&r, actions(make, 1));
	uint64_t before = seq();
	write_well(&r, actions(back, LEN(back)));
	write_well(&r, actions(NULL, 0));
	ck_assert_uint_eq(seq(), before);
	ck_assert_str_eq(aliases_of(&r), "a=c ");
}
END_TEST

START_TEST(writes_and_changes_go_where_the_alias_leads_but_a_drop_does_not)
{
	static const struct alias_action make[] = { CREATE("a", "c") };
	static const struct alias_action other[] = { CREATE("a", "d") };
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("a") };

	write_well(&r, actions(make, 1));
	write_well(&r, upsert_of(&r, "a", 10, 1));
	ck_assert_uint_eq(count_points(&r, "c"), 4);
	/* In one batch: what follows the switch finds it. */
	struct intent switched[] = { actions(other, 1), upsert_of(&r, "a", 20, 2) };
	struct region_write *t = submit(&r, switched, 2);
	(void)committer_turn(r.committer, 0);
	ck_assert_int_eq(t->w.err, ERR_NONE);
	ck_assert_uint_eq(count_points(&r, "d"), 2);
	ck_assert_int_eq(try_write(&r, drop)->w.err, ERR_NOT_FOUND);
	ck_assert_uint_eq(count_points(&r, "a"), 2);
}
END_TEST

START_TEST(aliases_go_with_their_collection_and_not_to_its_successor)
{
	static const struct alias_action make[] = { CREATE("a", "c"), CREATE("b", "d") };
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("c") };

	write_well(&r, actions(make, 2));
	write_well(&r, drop);
	ck_assert_str_eq(aliases_of(&r), "b=d ");
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	ck_assert_str_eq(aliases_of(&r), "b=d ");
	/* The name is free, also for a collection. */
	write_well(&r, create_of(&r, "a", DISTANCE_DOT));
	restart();
	ck_assert_str_eq(aliases_of(&r), "b=d ");
}
END_TEST

START_TEST(another_region_that_applies_the_log_has_the_same_aliases_at_each_position)
{
	static const struct alias_action make[] = { CREATE("a", "c"), CREATE("b", "d") };
	static const struct alias_action change[] = { DELETE("a"), RENAME("b", "a") };
	struct position from = region_state(&r).position;
	struct region other;
	struct fault f = { 0 };

	region_init(&other, 2);
	region_open(&other);
	struct log_part part = read_log_after(&r, (struct position){ 0 }, 100);
	ck_assert_msg(!apply_part(&other, &part, 0, part.count, &f), "%s", f.text);
	write_well(&r, actions(make, 2));
	write_well(&r, actions(change, 2));
	part = read_log_after(&r, from, 100);
	ck_assert_uint_eq(part.count, 2);
	ck_assert_msg(!apply_part(&other, &part, 0, 1, &f), "%s", f.text);
	ck_assert_str_eq(aliases_of(&other), "a=c b=d ");
	ck_assert_msg(!apply_part(&other, &part, 1, 1, &f), "%s", f.text);
	ck_assert_str_eq(aliases_of(&other), "a=d ");
	ck_assert_uint_eq(region_state(&r).chain_hash, region_state(&other).chain_hash);
	region_release(&other);
}
END_TEST

static void rewind_to(struct position to)
{
	struct rewind w = { .to = to };
	struct fault f = { 0 };

	ck_assert_msg(!committer_rewind(r.committer, &w, &f), "%s", f.text);
}

static void check_taken_back(bool with_restart)
{
	static const struct alias_action make[] = { CREATE("a", "c"), CREATE("b", "d") };
	static const struct alias_action change[] = { DELETE("a"), RENAME("b", "a") };
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("d") };
	struct position none = region_state(&r).position;

	write_well(&r, actions(make, 2));
	struct position made = region_state(&r).position;
	write_well(&r, actions(change, 2));
	struct position changed = region_state(&r).position;
	write_well(&r, drop);
	write_well(&r, actions(make, 1));
	ck_assert_str_eq(aliases_of(&r), "a=c ");
	if (with_restart)
		restart();
	rewind_to(changed);
	ck_assert_str_eq(aliases_of(&r), "a=d ");
	rewind_to(made);
	ck_assert_str_eq(aliases_of(&r), "a=c b=d ");
	if (with_restart)
		restart();
	ck_assert_str_eq(aliases_of(&r), "a=c b=d ");
	rewind_to(none);
	ck_assert_str_eq(aliases_of(&r), "");
}

START_TEST(changes_of_aliases_are_taken_back_also_beside_drops)
{
	check_taken_back(false);
}
END_TEST

START_TEST(changes_of_aliases_are_taken_back_after_a_restart)
{
	check_taken_back(true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commit_alias");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_refused_action_refuses_all_and_says_why);
	tcase_add_test(t, a_collection_cannot_take_the_name_of_an_alias);
	tcase_add_test(t, more_actions_or_aliases_than_are_possible_are_refused);
	tcase_add_test(t, all_actions_of_a_request_are_one_op);
	tcase_add_test(t, what_changes_nothing_writes_nothing);
	tcase_add_test(t, writes_and_changes_go_where_the_alias_leads_but_a_drop_does_not);
	tcase_add_test(t, aliases_go_with_their_collection_and_not_to_its_successor);
	tcase_add_test(t, another_region_that_applies_the_log_has_the_same_aliases_at_each_position);
	tcase_add_test(t, changes_of_aliases_are_taken_back_also_beside_drops);
	tcase_add_test(t, changes_of_aliases_are_taken_back_after_a_restart);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
