/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as a scraper reads them.
 */
#include "base/metric.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define SCRAPE_MAX ((size_t)8 << 20) /* bytes */

static struct clock_manual hand;
static struct buf page;

static void set_up(void)
{
	clock_manual_init(&hand, 0);
	metric_set_clock(&hand.clock);
	buf_init(&page, SCRAPE_MAX);
}

static void tear_down(void)
{
	metric_set_clock(NULL);
	buf_release(&page);
}

/* All metrics, terminated, with an empty line at the start so that every line follows an end of line. */
static const char *scrape(void)
{
	buf_reset(&page);
	buf_append_byte(&page, '\n');
	metric_write(&page);
	buf_append_byte(&page, '\0');
	ck_assert_int_eq(buf_err(&page), ERR_NONE);
	return (const char *)page.data;
}

static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);
	for (const char *p = text; (p = strstr(p, line)); p++)
		if (p[-1] == '\n' && p[len] == '\n')
			return true;
	return false;
}

static unsigned count_lines(const char *text, const char *start)
{
	unsigned n = 0;
	for (const char *p = text; (p = strstr(p, start)); p++)
		n += p[-1] == '\n';
	return n;
}

#define HAS(line) ck_assert_msg(has_line(text, line), "missing: %s in %s", line, text)

START_TEST(setting_a_counter_is_a_mistake_that_ends_the_process)
{
	metric_set(METRIC_isthmus_commits_total, 1);
}
END_TEST

START_TEST(counter_that_goes_back_is_a_mistake_that_ends_the_process)
{
	metric_add(METRIC_isthmus_commits_total, -1);
}
END_TEST

START_TEST(adding_to_a_histogram_is_a_mistake_that_ends_the_process)
{
	metric_add(METRIC_batch_size, 1);
}
END_TEST

START_TEST(what_is_no_number_is_not_observed)
{
	metric_observe(METRIC_batch_size, nan(""));
	metric_observe(METRIC_batch_size, HUGE_VAL);
	const char *text = scrape();
	HAS("batch_size_count 0");
	HAS("batch_size_sum 0");
}
END_TEST

START_TEST(every_row_has_help_and_type)
{
	static const char *const kinds[] = { "COUNTER", "GAUGE", "HISTOGRAM" };
	static const char *const types[] = { "counter", "gauge", "histogram" };
	static const struct {
		const char *name, *kind, *sentence;
	} rows[] = {
#define METRIC(name, kind, labels, sentence) { #name, #kind, sentence },
#include "base/metric.def"
#undef METRIC
	};
	const char *text = scrape();
	char line[1024];
	for (size_t i = 0; i < LEN(rows); i++) {
		(void)snprintf(line, sizeof(line), "# HELP %s %s", rows[i].name, rows[i].sentence);
		HAS(line);
		size_t k = 0;
		while (strcmp(kinds[k], rows[i].kind) != 0)
			k++;
		(void)snprintf(line, sizeof(line), "# TYPE %s %s", rows[i].name, types[k]);
		HAS(line);
	}
	ck_assert_uint_eq(count_lines(text, "# HELP "), METRIC_COUNT);
	ck_assert_uint_eq(count_lines(text, "# TYPE "), METRIC_COUNT);
}
END_TEST

START_TEST(counters_and_gauges_show_their_value)
{
	metric_add(METRIC_isthmus_commits_total, 3);
	metric_add(METRIC_isthmus_commits_total, 4);
	metric_set(METRIC_isthmus_connections, 10);
	metric_add(METRIC_isthmus_connections, -2.5);
	metric_set(METRIC_isthmus_epoch, 1e300);
	metric_set(METRIC_isthmus_seq, -HUGE_VAL);
	metric_set(METRIC_isthmus_disk_free_bytes, nan(""));
	const char *text = scrape();
	HAS("isthmus_commits_total 7");
	HAS("isthmus_connections 7.5");
	HAS("isthmus_requests_in_flight 0");
	HAS("isthmus_seq -Inf");
	HAS("isthmus_disk_free_bytes NaN");
	const char *epoch = strstr(text, "\nisthmus_epoch ");
	ck_assert_ptr_nonnull(epoch);
	double v = strtod(epoch + strlen("\nisthmus_epoch "), NULL);
	ck_assert_double_eq(v, 1e300);
}
END_TEST

START_TEST(counters_are_exact_up_to_two_to_the_53rd)
{
	metric_add(METRIC_isthmus_commits_total, 9007199254740990.0);
	metric_add(METRIC_isthmus_commits_total, 1);
	const char *text = scrape();
	HAS("isthmus_commits_total 9007199254740991");
}
END_TEST

START_TEST(labels_are_split_and_escaped)
{
	static const struct {
		enum metric m;
		const char *values, *line;
	} rows[] = {
		{ METRIC_isthmus_requests_total, "rest,search,200",
		  "isthmus_requests_total{api=\"rest\",method=\"search\",code=\"200\"} 1" },
		{ METRIC_isthmus_requests_total, "rest",
		  "isthmus_requests_total{api=\"rest\",method=\"\",code=\"\"} 1" },
		{ METRIC_isthmus_requests_total, "a,b,c,d",
		  "isthmus_requests_total{api=\"a,b\",method=\"c\",code=\"d\"} 1" },
		{ METRIC_isthmus_shard_points, "a,b,c,7",
		  "isthmus_shard_points{collection=\"a,b,c\",shard=\"7\"} 1" },
		{ METRIC_isthmus_shard_points, "a\"b\\c\nd,0",
		  "isthmus_shard_points{collection=\"a\\\"b\\\\c\\nd\",shard=\"0\"} 1" },
		{ METRIC_isthmus_shard_points, "Zürich \xff\xc3,0",
		  "isthmus_shard_points{collection=\"Zürich ??\",shard=\"0\"} 1" },
		{ METRIC_replica_lag_seconds, "a,b", "replica_lag_seconds{region=\"a,b\"} 1" },
		{ METRIC_replica_lag_seconds, "", "replica_lag_seconds{region=\"\"} 1" },
	};
	for (size_t i = 0; i < LEN(rows); i++)
		metric_series_add(metric_series(rows[i].m, rows[i].values), 1);
	const char *text = scrape();
	for (size_t i = 0; i < LEN(rows); i++)
		HAS(rows[i].line);
}
END_TEST

START_TEST(same_labels_give_the_same_series)
{
	struct metric_series *s = metric_series(METRIC_isthmus_requests_total, "rest,x,200");
	ck_assert_ptr_eq(s, metric_series(METRIC_isthmus_requests_total, "rest,x,200"));
	ck_assert_ptr_ne(s, metric_series(METRIC_isthmus_requests_total, "rest,x,404"));
	/* However they were spelt: two lines of one name would spoil the scrape. */
	ck_assert_ptr_eq(metric_series(METRIC_isthmus_requests_total, "grpc"),
			 metric_series(METRIC_isthmus_requests_total, "grpc,"));
	ck_assert_ptr_eq(metric_series(METRIC_isthmus_commits_total, ""),
			 metric_series(METRIC_isthmus_commits_total, ""));
}
END_TEST

START_TEST(series_beyond_the_bound_become_other)
{
	char values[32];
	/* Somebody's own "other" is the same series, not a second one of that name. */
	metric_series_add(metric_series(METRIC_isthmus_shard_searches_total, "other,other"), 1);
	for (unsigned i = 0; i < METRIC_SERIES_MAX + 100; i++) {
		(void)snprintf(values, sizeof(values), "c%u,0", i);
		metric_series_add(metric_series(METRIC_isthmus_shard_searches_total, values), 1);
	}
	/* Those that were there first keep counting. */
	metric_series_add(metric_series(METRIC_isthmus_shard_searches_total, "c5,0"), 1);
	const char *text = scrape();
	ck_assert_uint_eq(count_lines(text, "isthmus_shard_searches_total{"),
			  METRIC_SERIES_MAX + 1);
	HAS("isthmus_shard_searches_total{collection=\"other\",shard=\"other\"} 101");
	HAS("isthmus_shard_searches_total{collection=\"c5\",shard=\"0\"} 2");
	HAS("isthmus_shard_searches_total{collection=\"c511\",shard=\"0\"} 1");
	ck_assert_ptr_null(strstr(text, "collection=\"c512\""));
}
END_TEST

START_TEST(labels_without_measure_become_other)
{
	char values[10000];
	memset(values, '"', sizeof(values) - 1);
	values[sizeof(values) - 1] = '\0';
	metric_series_set(metric_series(METRIC_replica_lag_seconds, values), 3);
	const char *text = scrape();
	HAS("replica_lag_seconds{region=\"other\"} 3");
	ck_assert_uint_eq(count_lines(text, "replica_lag_seconds{"), 1);
}
END_TEST

START_TEST(histogram_buckets_are_cumulative_and_include_their_bound)
{
	static const double seen[] = { 0, 1, 1.5, 2, 4096, 5000 };
	for (size_t i = 0; i < LEN(seen); i++)
		metric_observe(METRIC_batch_size, seen[i]);
	const char *text = scrape();
	HAS("batch_size_bucket{le=\"1\"} 2");
	HAS("batch_size_bucket{le=\"2\"} 4");
	HAS("batch_size_bucket{le=\"2048\"} 4");
	HAS("batch_size_bucket{le=\"4096\"} 5");
	HAS("batch_size_bucket{le=\"+Inf\"} 6");
	HAS("batch_size_sum 9100.5");
	HAS("batch_size_count 6");
	ck_assert_uint_eq(count_lines(text, "batch_size_bucket{"), 14);
}
END_TEST

START_TEST(durations_have_buckets_from_100_microseconds_to_10_seconds)
{
	struct metric_series *s = metric_series(METRIC_isthmus_request_duration_seconds, "search");
	metric_series_observe(s, 0.00005);
	metric_series_observe(s, 0.002);
	metric_series_observe(s, 20);
	const char *text = scrape();
	HAS("isthmus_request_duration_seconds_bucket{method=\"search\",le=\"0.0001\"} 1");
	HAS("isthmus_request_duration_seconds_bucket{method=\"search\",le=\"0.0016\"} 1");
	HAS("isthmus_request_duration_seconds_bucket{method=\"search\",le=\"0.0025\"} 2");
	HAS("isthmus_request_duration_seconds_bucket{method=\"search\",le=\"10\"} 2");
	HAS("isthmus_request_duration_seconds_bucket{method=\"search\",le=\"+Inf\"} 3");
	HAS("isthmus_request_duration_seconds_count{method=\"search\"} 3");
	ck_assert_uint_eq(count_lines(text, "isthmus_request_duration_seconds_bucket{"), 27);
}
END_TEST

START_TEST(quantile_of_nothing_is_zero)
{
	ck_assert_double_eq(metric_quantile(METRIC_isthmus_search_duration_seconds, 0.99), 0);
}
END_TEST

START_TEST(quantiles_are_near_the_true_ones)
{
	static const double qs[] = { 0, 0.01, 0.5, 0.9, 0.99, 0.999, 1 };
	for (unsigned i = 1; i <= 10000; i++)
		metric_observe(METRIC_isthmus_search_duration_seconds, i * 1e-5);
	for (size_t i = 0; i < LEN(qs); i++) {
		double truth = MAX(ceil(qs[i] * 10000), 1) * 1e-5;
		double v = metric_quantile(METRIC_isthmus_search_duration_seconds, qs[i]);
		ck_assert_double_ge(v, truth * (1 - 1e-9));
		ck_assert_double_le(v, truth * (1 + 1.0 / 32 + 1e-9));
	}
}
END_TEST

START_TEST(quantiles_of_small_whole_numbers_are_exact)
{
	for (unsigned i = 1; i <= 64; i++) {
		hand.mono_ns += (uint64_t)60 * 1000000000;
		metric_observe(METRIC_batch_size, i);
		ck_assert_double_eq(metric_quantile(METRIC_batch_size, 0.5), i);
	}
}
END_TEST

START_TEST(values_off_the_scale_count_at_its_ends)
{
	static const struct {
		double v, shown;
	} rows[] = {
		{ -1, 0x1p-20 },    { 0, 0x1p-20 },   { 1e-300, 0x1p-20 }, { 0x1p-20, 0x1p-20 },
		{ 65535.5, 65536 }, { 65536, 65536 }, { 1e300, 65536 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		hand.mono_ns += (uint64_t)60 * 1000000000;
		metric_observe(METRIC_batch_size, rows[i].v);
		ck_assert_double_eq(metric_quantile(METRIC_batch_size, 1), rows[i].shown);
	}
}
END_TEST

START_TEST(window_forgets_after_a_minute_and_not_before_50_seconds)
{
	const uint64_t second = 1000000000;
	/* Wherever in its slice the value falls. */
	for (uint64_t start = 1000; start < 1010; start++) {
		hand.mono_ns = start * 100 * second + (start - 1000) * second;
		const uint64_t begin = hand.mono_ns;
		metric_observe(METRIC_batch_size, 8);
		for (uint64_t s = 0; s <= 50; s++) {
			hand.mono_ns = begin + s * second;
			ck_assert_double_eq(metric_quantile(METRIC_batch_size, 1), 8);
		}
		hand.mono_ns = begin + 60 * second;
		ck_assert_double_eq(metric_quantile(METRIC_batch_size, 1), 0);
	}
}
END_TEST

START_TEST(slice_used_again_starts_empty)
{
	metric_observe(METRIC_batch_size, 4);
	hand.mono_ns = (uint64_t)60 * 1000000000;
	metric_observe(METRIC_batch_size, 2);
	ck_assert_double_eq(metric_quantile(METRIC_batch_size, 1), 2);
	const char *text = scrape();
	HAS("batch_size_count 2");
}
END_TEST

enum { THREADS = 4, ADDITIONS = 20000 };

static void *add_many(void *arg)
{
	char values[32];
	for (unsigned i = 0; i < ADDITIONS; i++) {
		metric_add(METRIC_isthmus_commits_total, 1);
		metric_observe(METRIC_batch_size, i % 100);
		if (i % 100 != 0)
			continue;
		(void)snprintf(values, sizeof(values), "r%u", i / 100);
		metric_series_add(metric_series(METRIC_isthmus_ops_total, values), 1);
	}
	return arg;
}

START_TEST(threads_lose_no_addition)
{
	pthread_t threads[THREADS];
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (unsigned i = 0; i < 20; i++) {
		(void)scrape();
		(void)metric_quantile(METRIC_batch_size, 0.99);
	}
	for (unsigned i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	const char *text = scrape();
	HAS("isthmus_commits_total 80000");
	HAS("batch_size_count 80000");
	HAS("batch_size_sum 3960000");
	HAS("isthmus_ops_total{origin=\"r0\"} 4");
	HAS("isthmus_ops_total{origin=\"r199\"} 4");
	ck_assert_uint_eq(count_lines(text, "isthmus_ops_total{"), 200);
	ck_assert_double_ge(metric_quantile(METRIC_batch_size, 1), 99);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metric");
	TCase *t = tcase_create("metric");
	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test_raise_signal(t, setting_a_counter_is_a_mistake_that_ends_the_process,
				    SIGABRT);
	tcase_add_test_raise_signal(t, counter_that_goes_back_is_a_mistake_that_ends_the_process,
				    SIGABRT);
	tcase_add_test_raise_signal(t, adding_to_a_histogram_is_a_mistake_that_ends_the_process,
				    SIGABRT);
	tcase_add_test(t, what_is_no_number_is_not_observed);
	tcase_add_test(t, every_row_has_help_and_type);
	tcase_add_test(t, counters_and_gauges_show_their_value);
	tcase_add_test(t, counters_are_exact_up_to_two_to_the_53rd);
	tcase_add_test(t, labels_are_split_and_escaped);
	tcase_add_test(t, same_labels_give_the_same_series);
	tcase_add_test(t, series_beyond_the_bound_become_other);
	tcase_add_test(t, labels_without_measure_become_other);
	tcase_add_test(t, histogram_buckets_are_cumulative_and_include_their_bound);
	tcase_add_test(t, durations_have_buckets_from_100_microseconds_to_10_seconds);
	tcase_add_test(t, quantile_of_nothing_is_zero);
	tcase_add_test(t, quantiles_are_near_the_true_ones);
	tcase_add_test(t, quantiles_of_small_whole_numbers_are_exact);
	tcase_add_test(t, values_off_the_scale_count_at_its_ends);
	tcase_add_test(t, window_forgets_after_a_minute_and_not_before_50_seconds);
	tcase_add_test(t, slice_used_again_starts_empty);
	tcase_add_test(t, threads_lose_no_addition);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
