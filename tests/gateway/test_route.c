/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eight cities on five continents, three data regions and a gateway, and what can be wrong with them.
 */
#include "gateway/route.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EU = 1, US = 2, AP = 3, EDGE = 4 };

static const struct route_region fleet[] = {
	{ .name = "eu", .id = EU, .data = true, .located = true, .lat = 50.11, .lon = 8.68, .bias = 1, .rtt_ms = -1 },
	{ .name = "us", .id = US, .data = true, .located = true, .lat = 39.04, .lon = -77.49, .bias = 1, .rtt_ms = -1 },
	{ .name = "ap", .id = AP, .data = true, .located = true, .lat = 1.35, .lon = 103.82, .bias = 1, .rtt_ms = -1 },
	{ .name = "edge", .id = EDGE, .located = true, .lat = 52.37, .lon = 4.90, .bias = 1, .rtt_ms = -1 },
};

static struct route_region regions[ROUTE_REGIONS_MAX];
static struct route_table table;
static struct route_policy policy;
static struct route_query query;
static struct route_decision decision;

static void set_up(void)
{
	memset(regions, 0, sizeof(regions));
	memcpy(regions, fleet, sizeof(fleet));
	table = (struct route_table){ .regions = regions, .count = LEN(fleet), .self = EDGE };
	policy = (struct route_policy){ .mode = ROUTE_NEAREST,
					.slack_ms = ROUTE_SLACK_MS_DEFAULT,
					.silent_ms_max = ROUTE_SILENT_MS_DEFAULT };
	query = (struct route_query){ .operation = ROUTE_READ };
	memset(&decision, 0xa5, sizeof(decision));
}

static struct place place_of(const char *country, const char *continent, double lat, double lon)
{
	struct place p = { .lat = lat, .lon = lon, .source = PLACE_CITY };
	memcpy(p.country, country, 3);
	memcpy(p.continent, continent, 3);
	return p;
}

static struct route_region *region(uint8_t id)
{
	for (uint32_t i = 0; i < table.count; i++)
		if (regions[i].id == id)
			return &regions[i];
	ck_abort_msg("no region %d", id);
}

static void decide(void)
{
	route_decide(&query, &table, &policy, &decision);
}

static const char *reasons(void)
{
	static char text[2048];
	struct buf b = BUF_INIT(sizeof(text) - 1);
	route_reasons_write(&decision, &b);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	if (b.len > 0)
		memcpy(text, b.data, b.len);
	text[b.len] = '\0';
	buf_release(&b);
	return text;
}

static void expect(enum route_kind kind, uint8_t id, const char *why)
{
	decide();
	ck_assert_msg(decision.kind == kind, "%s: %s", route_kind_name(decision.kind), reasons());
	ck_assert_msg(id == 0 ? !decision.region : decision.region && decision.region->id == id, "%s: %s",
		      decision.region ? decision.region->name : "none", reasons());
	ck_assert_msg(strstr(reasons(), why) != NULL, "%s", reasons());
	ck_assert_int_eq(decision.err != ERR_NONE, kind == ROUTE_NOWHERE);
}

static struct place frankfurt(void)
{
	return place_of("DE", "EU", 50.1, 8.7);
}

static struct place sydney(void)
{
	return place_of("AU", "OC", -33.87, 151.21);
}

START_TEST(with_everything_out_nobody_answers_and_says_so)
{
	query.place = frankfurt();
	region(EU)->silent_ms = 2001;
	region(US)->draining = true;
	region(AP)->not_ready = true;
	expect(ROUTE_NOWHERE, 0, "edge does not hold the data; every region that may answer is out");
	ck_assert_int_eq(decision.err, ERR_UNAVAILABLE);
	ck_assert_uint_eq(decision.candidate_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		static const enum route_bar bars[] = { [EU] = ROUTE_SILENT, [US] = ROUTE_DRAINING,
						       [AP] = ROUTE_NOT_READY, [EDGE] = ROUTE_NO_DATA };
		ck_assert_int_eq(decision.candidates[i].bar, bars[decision.candidates[i].region->id]);
	}
}
END_TEST

START_TEST(with_everything_out_what_can_be_tried_is_tried)
{
	query.place = frankfurt();
	for (uint8_t id = EU; id <= AP; id++)
		region(id)->silent_ms = 2001;
	region(US)->connected = region(AP)->connected = true;
	expect(ROUTE_PROXY, US, "every region that may answer is out; us is tried nevertheless");
	query.hops = 2;
	expect(ROUTE_NOWHERE, 0, "every region that may answer is out");
	/* Old data at home are better than none. */
	query.hops = 0;
	table.self = EU;
	region(EU)->not_ready = true;
	expect(ROUTE_HERE, EU, "eu itself is out: not ready; every region that may answer is out; eu is tried nevertheless");
	/* But not where they must not be read. */
	route_set_add(&query.residency, AP);
	expect(ROUTE_PROXY, AP, "ap is tried nevertheless");
	region(AP)->connected = false;
	expect(ROUTE_NOWHERE, 0, "every region that may answer is out");
}
END_TEST

START_TEST(a_write_without_a_primary_goes_nowhere)
{
	query.operation = ROUTE_WRITE;
	expect(ROUTE_NOWHERE, 0, "no region may write");
	ck_assert_int_eq(decision.err, ERR_NO_PRIMARY);
	query.primary = 99;
	expect(ROUTE_NOWHERE, 0, "no region may write");
	query.primary = US;
	region(US)->silent_ms = UINT64_MAX;
	expect(ROUTE_NOWHERE, 0, "us is the primary, where writes go; us is out: silent");
	ck_assert_int_eq(decision.err, ERR_NO_PRIMARY);
}
END_TEST

START_TEST(a_write_that_a_region_sent_to_the_wrong_one_comes_back)
{
	query.operation = ROUTE_WRITE;
	query.primary = US;
	query.hops = 1;
	expect(ROUTE_NOWHERE, 0, "edge is not the primary, and another region sent the write to it");
	ck_assert_int_eq(decision.err, ERR_NOT_PRIMARY);
	table.self = US;
	expect(ROUTE_HERE, US, "us is the primary");
}
END_TEST

START_TEST(a_write_that_any_region_takes_goes_to_the_best_of_them)
{
	query.operation = ROUTE_WRITE_ANYWHERE;
	query.primary = US;
	query.place = sydney();
	expect(ROUTE_PROXY, AP, "every region that holds data takes writes of this collection; edge does not hold the data; "
				"ap scores best");
	query.place = frankfurt();
	expect(ROUTE_PROXY, EU, "eu scores best");
	/* The rest in their order, for when it fails. */
	ck_assert_uint_eq(decision.candidates[1].region->id, US);
	region(EU)->silent_ms = 2001;
	expect(ROUTE_PROXY, US, "us scores best");
	region(EU)->silent_ms = 0;
	region(EU)->draining = true;
	expect(ROUTE_PROXY, US, "us scores best");
	region(EU)->draining = false;
	/* Where data may be is no matter of distance; what the operator says goes before it. */
	route_set_add(&query.residency, AP);
	expect(ROUTE_PROXY, AP, "pinned");
	query.residency = (struct route_set){ 0 };
	const struct route_rule rule = { .country = "DE", .region = US };
	policy.rules = &rule;
	policy.rule_count = 1;
	expect(ROUTE_PROXY, US, "the rule for country DE sends to us");
	/* The client is not sent away with a write. */
	query.redirect = true;
	expect(ROUTE_PROXY, US, "the rule");
}
END_TEST

START_TEST(a_write_that_any_region_takes_is_taken_where_data_are)
{
	query.operation = ROUTE_WRITE_ANYWHERE;
	query.primary = US;
	query.place = sydney();
	for (uint8_t self = EU; self <= AP; self++) {
		table.self = self;
		query.hops = self % 2;
		expect(ROUTE_HERE, self, "every region that holds data takes writes of this collection");
	}
}
END_TEST

START_TEST(a_write_that_no_region_can_take_is_the_primarys)
{
	query.operation = ROUTE_WRITE_ANYWHERE;
	query.primary = US;
	for (uint8_t id = EU; id <= AP; id++)
		region(id)->not_ready = true;
	expect(ROUTE_PROXY, US, "every region that may answer is out; us is the primary");
	region(US)->silent_ms = 2001;
	expect(ROUTE_NOWHERE, 0, "us is out: silent");
	/* Nor does it go round in circles. */
	region(US)->silent_ms = 0;
	region(EU)->not_ready = false;
	query.hops = 1;
	expect(ROUTE_NOWHERE, 0, "edge is not the primary");
}
END_TEST

START_TEST(a_write_goes_to_the_primary_whatever_the_mode)
{
	query.operation = ROUTE_WRITE;
	query.place = frankfurt();
	query.primary = AP;
	query.redirect = true;
	for (unsigned mode = 0; mode < 2; mode++) {
		policy.mode = mode ? ROUTE_LOCAL : ROUTE_NEAREST;
		for (unsigned self = EU; self <= EDGE; self++) {
			table.self = (uint8_t)self;
			expect(self == AP ? ROUTE_HERE : ROUTE_PROXY, AP, "ap is the primary, where writes go");
		}
	}
	/* It may be behind in every way but gone: what it refuses, it refuses itself. */
	region(AP)->draining = region(AP)->not_ready = true;
	region(AP)->lag_s = 100;
	table.self = EU;
	expect(ROUTE_PROXY, AP, "ap is the primary");
}
END_TEST

START_TEST(what_asks_of_a_region_itself_is_answered_there)
{
	query.operation = ROUTE_ASKED;
	expect(ROUTE_HERE, EDGE, "answered by whoever is asked");
	ck_assert_uint_eq(decision.candidate_count, 0);
}
END_TEST

START_TEST(a_region_alone_answers_itself)
{
	table = (struct route_table){ .self = 0 };
	query.place = sydney();
	decide();
	ck_assert_int_eq(decision.kind, ROUTE_HERE);
	ck_assert_ptr_null(decision.region);
	ck_assert_str_eq(reasons(), "this region is alone");
	query.operation = ROUTE_WRITE;
	decide();
	ck_assert_int_eq(decision.kind, ROUTE_HERE);
}
END_TEST

static const struct city {
	const char *name, *country, *continent;
	double lat, lon;
	uint8_t nearest;
	double km;
} cities[] = {
	{ "Berlin", "DE", "EU", 52.52, 13.405, EU, 423 },
	{ "Nairobi", "KE", "AF", -1.292, 36.822, EU, 6306 },
	{ "Dubai", "AE", "AS", 25.204, 55.271, EU, 4840 },
	{ "New York", "US", "NA", 40.713, -74.006, US, 350 },
	{ "Sao Paulo", "BR", "SA", -23.551, -46.633, US, 7635 },
	{ "Los Angeles", "US", "NA", 34.052, -118.244, US, 3670 },
	{ "Tokyo", "JP", "AS", 35.677, 139.650, AP, 5314 },
	{ "Sydney", "AU", "OC", -33.869, 151.209, AP, 6302 },
};

START_TEST(each_city_is_sent_to_the_nearest_region)
{
	for (size_t i = 0; i < LEN(cities); i++) {
		const struct city *c = &cities[i];
		query.place = place_of(c->country, c->continent, c->lat, c->lon);
		decide();
		const struct route_candidate *best = &decision.candidates[0];
		ck_assert_msg(decision.kind == ROUTE_PROXY && decision.region->id == c->nearest, "%s: %s", c->name,
			      reasons());
		ck_assert_ptr_eq(best->region, decision.region);
		ck_assert_msg(fabs(best->km - c->km) < 40, "%s: %f km", c->name, best->km);
		ck_assert_msg(fabs(best->score - best->km / 100) < 1e-9, "%s", c->name);
		ck_assert_msg(decision.candidates[1].score >= best->score, "%s", c->name);
		ck_assert_int_eq(decision.candidates[3].bar, ROUTE_NO_DATA);
	}
}
END_TEST

START_TEST(a_dead_region_is_replaced_by_the_next_nearest)
{
	static const uint8_t next[] = { US, AP, AP, EU, EU, EU, EU, US };
	for (size_t i = 0; i < LEN(cities); i++) {
		const struct city *c = &cities[i];
		set_up();
		query.place = place_of(c->country, c->continent, c->lat, c->lon);
		region(c->nearest)->silent_ms = UINT64_MAX;
		decide();
		ck_assert_msg(decision.kind == ROUTE_PROXY && decision.region->id == next[i], "%s: %s", c->name, reasons());
		region(next[i])->draining = true;
		decide();
		ck_assert_msg(decision.kind == ROUTE_PROXY && decision.region->id == EU + US + AP - next[i] - c->nearest,
			      "%s: %s", c->name, reasons());
	}
}
END_TEST

START_TEST(a_region_is_out_a_millisecond_after_the_bound)
{
	query.place = frankfurt();
	region(EU)->silent_ms = 2000;
	expect(ROUTE_PROXY, EU, "eu scores best");
	region(EU)->silent_ms = 2001;
	expect(ROUTE_PROXY, US, "us scores best");
	/* Nobody hears itself. */
	table.self = EU;
	expect(ROUTE_HERE, EU, "eu scores best");
}
END_TEST

START_TEST(the_slack_keeps_a_read_at_home)
{
	/* Dublin: eu is 1089 km away, us 5450 km: 43.7 ms between them. */
	query.place = place_of("IE", "EU", 53.35, -6.26);
	table.self = US;
	policy.mode = ROUTE_LOCAL;
	expect(ROUTE_PROXY, EU, "eu is better by 43.7 ms, more than the slack");
	policy.slack_ms = 45;
	expect(ROUTE_HERE, US, "eu would be better by 43.7 ms, which is within the slack");
	policy.slack_ms = 0;
	expect(ROUTE_PROXY, EU, "more than the slack");
	table.self = EU;
	expect(ROUTE_HERE, EU, "eu scores best, 10.9 ms");
	/* A home that is out keeps nothing. */
	table.self = US;
	policy.slack_ms = 1000;
	region(US)->not_ready = true;
	expect(ROUTE_PROXY, EU, "us itself is out: not ready; eu scores best");
}
END_TEST

START_TEST(clients_that_follow_redirects_are_redirected)
{
	query.place = sydney();
	query.redirect = true;
	expect(ROUTE_REDIRECT, AP, "the client follows redirects");
	region(AP)->no_redirect = true;
	expect(ROUTE_PROXY, AP, "ap scores best");
	region(AP)->no_redirect = false;
	/* Another region follows none on behalf of its client. */
	query.hops = 1;
	expect(ROUTE_PROXY, AP, "ap scores best");
}
END_TEST

START_TEST(hops_are_counted)
{
	query.place = sydney();
	query.hops = 2;
	expect(ROUTE_NOWHERE, 0, "passed on too often");
	ck_assert_int_eq(decision.err, ERR_UNAVAILABLE);
	query.hops = 1;
	expect(ROUTE_PROXY, AP, "ap scores best");
	/* What another region chose is not chosen again. */
	table.self = EU;
	policy.mode = ROUTE_NEAREST;
	expect(ROUTE_HERE, EU, "another region sent the request here");
	query.hops = 2;
	expect(ROUTE_HERE, EU, "another region sent the request here");
	region(EU)->draining = true;
	query.hops = 1;
	expect(ROUTE_PROXY, AP, "eu itself is out: draining");
}
END_TEST

START_TEST(rules_come_before_distance)
{
	static const struct route_rule rules[] = {
		{ .country = "AU", .region = 77 },
		{ .country = "AU", .region = US },
		{ .continent = "OC", .region = EU },
		{ .continent = "EU", .region = AP },
		{ .region = US },
	};
	policy.rules = rules;
	policy.rule_count = LEN(rules);
	query.place = sydney();
	expect(ROUTE_PROXY, US, "the rule for country AU sends to us");
	region(US)->draining = true;
	expect(ROUTE_PROXY, EU, "the rule for country AU would send to us, which is out: draining; "
				"the rule for continent OC sends to eu");
	region(EU)->draining = true;
	expect(ROUTE_PROXY, AP, "eu, which is out: draining; ap scores best");
	/* In local mode as well, whatever the slack. */
	set_up();
	policy.rules = rules;
	policy.rule_count = LEN(rules);
	policy.mode = ROUTE_LOCAL;
	policy.slack_ms = 1000;
	table.self = EU;
	query.place = frankfurt();
	expect(ROUTE_PROXY, AP, "the rule for continent EU sends to ap");
	/* No rule is for those of whom nothing is known. */
	query.place = (struct place){ 0 };
	expect(ROUTE_HERE, EU, "eu scores best");
}
END_TEST

START_TEST(rules_that_cannot_be_followed_leave_room_for_the_reason)
{
	struct route_rule rules[20];
	for (size_t i = 0; i < LEN(rules); i++)
		rules[i] = (struct route_rule){ .country = "AU", .region = US };
	region(US)->draining = true;
	query.place = sydney();
	policy.rules = rules;
	policy.rule_count = LEN(rules);
	expect(ROUTE_PROXY, AP, "ap scores best");
	ck_assert_uint_le(decision.reason_count, ROUTE_REASONS_MAX);
}
END_TEST

START_TEST(residency_wins_over_everything)
{
	static const struct route_rule rules[] = { { .country = "AU", .region = AP } };
	policy.rules = rules;
	policy.rule_count = LEN(rules);
	query.place = sydney();
	route_set_add(&query.residency, EU);
	expect(ROUTE_PROXY, EU, "the collection is pinned to regions; edge does not hold the data; "
				"the rule for country AU would send to ap, which is out: outside the residency; eu scores best");
	region(EU)->silent_ms = 5000;
	expect(ROUTE_NOWHERE, 0, "every region that may answer is out");
	query.operation = ROUTE_WRITE;
	query.primary = US;
	/* Who writes is the scope's business. */
	expect(ROUTE_PROXY, US, "us is the primary");
}
END_TEST

START_TEST(only_regions_with_the_collection_answer)
{
	query.place = sydney();
	route_set_add(&query.data, EU);
	route_set_add(&query.data, US);
	table.self = AP;
	policy.mode = ROUTE_LOCAL;
	expect(ROUTE_PROXY, US, "ap does not hold the data");
}
END_TEST

START_TEST(a_bias_moves_the_border)
{
	query.place = place_of("IS", "EU", 64.15, -21.94);
	expect(ROUTE_PROXY, EU, "eu scores best");
	region(EU)->bias = 2.5;
	expect(ROUTE_PROXY, US, "us scores best");
	region(US)->bias = 2.5;
	expect(ROUTE_PROXY, EU, "eu scores best");
}
END_TEST

START_TEST(a_way_that_is_slower_than_far_counts)
{
	query.place = frankfurt();
	/* Frankfurt is 364 km from Amsterdam: up to 12.3 ms are nothing strange. */
	region(EU)->rtt_ms = 12;
	decide();
	double plain = decision.candidates[0].score;
	region(EU)->rtt_ms = 32;
	decide();
	ck_assert_double_eq_tol(decision.candidates[0].score - plain, 32 - 12.3, 0.1);
	region(EU)->rtt_ms = 400;
	expect(ROUTE_PROXY, US, "us scores best");
	region(EU)->rtt_ms = (double)NAN;
	expect(ROUTE_PROXY, EU, "eu scores best");
}
END_TEST

START_TEST(a_region_that_lags_is_further_away)
{
	query.place = frankfurt();
	region(EU)->lag_s = 0.9;
	decide();
	double plain = decision.candidates[0].score;
	region(EU)->lag_s = 3;
	decide();
	ck_assert_double_eq_tol(decision.candidates[0].score - plain, 20, 1e-9);
	region(EU)->lag_s = 1e9;
	expect(ROUTE_PROXY, US, "us scores best");
	/* When all lag alike, the nearest is the nearest. */
	region(US)->lag_s = region(AP)->lag_s = 1e9;
	expect(ROUTE_PROXY, EU, "eu scores best");
	region(EU)->lag_s = -1;
	expect(ROUTE_PROXY, EU, "eu scores best");
}
END_TEST

START_TEST(who_cannot_be_placed_stands_where_it_came_to)
{
	query.place = (struct place){ .country = "" };
	expect(ROUTE_PROXY, EU, "place is unknown: distances count from this region; eu scores best, 3.6 ms");
	regions[3].lat = -33.87;
	regions[3].lon = 151.21;
	expect(ROUTE_PROXY, AP, "ap scores best");
	/* Where nothing is known at all, the order of the configuration. */
	regions[3].located = false;
	expect(ROUTE_PROXY, EU, "the client's place is unknown: the regions in their order");
	region(EU)->draining = true;
	expect(ROUTE_PROXY, US, "in their order");
	table.self = AP;
	region(AP)->located = false;
	expect(ROUTE_HERE, AP, "ap scores best");
	query.place = frankfurt();
	query.place.source = PLACE_COUNTRY;
	table.self = EDGE;
	expect(ROUTE_PROXY, US, "the client's place is the middle of its country");
}
END_TEST

START_TEST(regions_without_a_place_come_last)
{
	query.place = sydney();
	region(AP)->located = false;
	expect(ROUTE_PROXY, US, "us scores best");
	ck_assert_uint_eq(decision.candidates[2].region->id, AP);
	ck_assert(!decision.candidates[2].measured);
	/* At home there is no reason to leave for a distance that nobody knows. */
	table.self = AP;
	policy.mode = ROUTE_LOCAL;
	expect(ROUTE_HERE, AP, "within the slack");
}
END_TEST

START_TEST(equal_scores_are_decided_by_home_then_by_name)
{
	query.place = frankfurt();
	for (uint32_t i = 0; i < 3; i++) {
		regions[i].lat = 50;
		regions[i].lon = 8;
	}
	expect(ROUTE_PROXY, AP, "ap scores best");
	struct route_region first = regions[0];
	regions[0] = regions[2];
	regions[2] = first;
	expect(ROUTE_PROXY, AP, "ap scores best");
	table.self = US;
	expect(ROUTE_HERE, US, "us scores best");
}
END_TEST

START_TEST(the_same_inputs_decide_the_same)
{
	static struct route_decision again;
	query.place = sydney();
	decide();
	memset(&again, 0, sizeof(again));
	route_decide(&query, &table, &policy, &again);
	ck_assert_ptr_eq(again.region, decision.region);
	ck_assert_uint_eq(again.reason_count, decision.reason_count);
	for (uint32_t i = 0; i < decision.candidate_count; i++)
		ck_assert_ptr_eq(again.candidates[i].region, decision.candidates[i].region);
}
END_TEST

START_TEST(as_many_regions_as_there_may_be_are_ranked)
{
	static char names[ROUTE_REGIONS_MAX][8];
	for (uint32_t i = 0; i < ROUTE_REGIONS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "r%02u", i);
		regions[i] = fleet[0];
		regions[i].name = names[i];
		regions[i].id = (uint8_t)(i + 224);
		regions[i].lat = (double)((i * 13) % ROUTE_REGIONS_MAX);
	}
	table.count = ROUTE_REGIONS_MAX;
	query.place = place_of("XX", "EU", 0, 8.68);
	decide();
	ck_assert_uint_eq(decision.candidate_count, ROUTE_REGIONS_MAX);
	for (uint32_t i = 0; i < ROUTE_REGIONS_MAX; i++)
		ck_assert_double_eq(decision.candidates[i].region->lat, (double)i);
	route_set_add(&query.data, 255);
	decide();
	ck_assert_uint_eq(decision.region->id, 255);
	ck_assert_int_eq(decision.candidates[1].bar, ROUTE_NO_DATA);
}
END_TEST

START_TEST(distances_are_those_of_the_globe)
{
	static const struct {
		double a[2], b[2], km;
	} cases[] = {
		{ { 0, 0 }, { 0, 0 }, 0 },
		{ { 0, 0 }, { 0, 180 }, 20015 },
		{ { 90, 0 }, { -90, 77 }, 20015 },
		{ { 0, 179.5 }, { 0, -179.5 }, 111 },
		{ { 51.5074, -0.1278 }, { 40.7128, -74.0060 }, 5570 },
		{ { -33.8688, 151.2093 }, { 1.3521, 103.8198 }, 6308 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		double there = route_km(cases[i].a[0], cases[i].a[1], cases[i].b[0], cases[i].b[1]);
		double back = route_km(cases[i].b[0], cases[i].b[1], cases[i].a[0], cases[i].a[1]);
		ck_assert_msg(fabs(there - cases[i].km) < 2, "row %zu: %f", i, there);
		ck_assert_double_eq_tol(there, back, 1e-6);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("route");
	TCase *c = tcase_create("route");
	tcase_add_checked_fixture(c, set_up, NULL);
	tcase_add_test(c, with_everything_out_nobody_answers_and_says_so);
	tcase_add_test(c, with_everything_out_what_can_be_tried_is_tried);
	tcase_add_test(c, a_write_without_a_primary_goes_nowhere);
	tcase_add_test(c, a_write_that_a_region_sent_to_the_wrong_one_comes_back);
	tcase_add_test(c, a_write_that_any_region_takes_goes_to_the_best_of_them);
	tcase_add_test(c, a_write_that_any_region_takes_is_taken_where_data_are);
	tcase_add_test(c, a_write_that_no_region_can_take_is_the_primarys);
	tcase_add_test(c, a_write_goes_to_the_primary_whatever_the_mode);
	tcase_add_test(c, what_asks_of_a_region_itself_is_answered_there);
	tcase_add_test(c, a_region_alone_answers_itself);
	tcase_add_test(c, each_city_is_sent_to_the_nearest_region);
	tcase_add_test(c, a_dead_region_is_replaced_by_the_next_nearest);
	tcase_add_test(c, a_region_is_out_a_millisecond_after_the_bound);
	tcase_add_test(c, the_slack_keeps_a_read_at_home);
	tcase_add_test(c, clients_that_follow_redirects_are_redirected);
	tcase_add_test(c, hops_are_counted);
	tcase_add_test(c, rules_come_before_distance);
	tcase_add_test(c, rules_that_cannot_be_followed_leave_room_for_the_reason);
	tcase_add_test(c, residency_wins_over_everything);
	tcase_add_test(c, only_regions_with_the_collection_answer);
	tcase_add_test(c, a_bias_moves_the_border);
	tcase_add_test(c, a_way_that_is_slower_than_far_counts);
	tcase_add_test(c, a_region_that_lags_is_further_away);
	tcase_add_test(c, who_cannot_be_placed_stands_where_it_came_to);
	tcase_add_test(c, regions_without_a_place_come_last);
	tcase_add_test(c, equal_scores_are_decided_by_home_then_by_name);
	tcase_add_test(c, the_same_inputs_decide_the_same);
	tcase_add_test(c, as_many_regions_as_there_may_be_are_ranked);
	tcase_add_test(c, distances_are_those_of_the_globe);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
