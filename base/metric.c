/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cells behind metric.def. Any thread.
 *
 * A series is never freed, and is published on its metric's list with a release store: who adds to it or
 * writes it out takes no lock. Cells are atomics; the numbers of one scrape may be a few additions apart,
 * but the buckets, the +Inf bucket and the count of a histogram always agree.
 *
 * Beside its buckets, which run since the start, every histogram keeps a window: WINDOW_SLICES slices of
 * SLICE_NS each, over all its series. A slice counts in SUB_CELLS equal steps per power of two, so a
 * quantile is at most 1/SUB_CELLS above the true one. A slice is cleared by the first who comes to it in
 * a new period.
 */
#include "base/metric.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/utf8.h"

#define LABELS_BYTES_MAX 4096 /* of one series, escaped */
#define BUCKETS_MAX 26        /* and the one for +Inf */

#define WINDOW_SLICES 6
#define SLICE_NS ((uint64_t)10 * 1000000000)
#define SUB_CELLS 32
#define CELL_EXPONENT_MIN (-20) /* 2^-20, about a microsecond: all below count as this */
#define CELL_EXPONENT_MAX 16    /* 2^16, 18 hours: all above count as this */
#define CELLS ((CELL_EXPONENT_MAX - CELL_EXPONENT_MIN) * SUB_CELLS + 1)

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

/* Histograms are numbered apart, for their windows. */
enum window_index {
#define COUNTER(name)
#define GAUGE(name)
#define HISTOGRAM(name) WINDOW_##name,
#define METRIC(name, kind, labels, sentence) kind(name)
#include "base/metric.def"
#undef METRIC
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
	WINDOW_COUNT
};

struct row {
	const char *name;
	size_t name_len;
	enum kind kind;
	const char *labels;
	const char *sentence;
	enum window_index window; /* WINDOW_COUNT: none */
};

static const struct row rows[METRIC_COUNT] = {
#define COUNTER(name) WINDOW_COUNT
#define GAUGE(name) WINDOW_COUNT
#define HISTOGRAM(name) WINDOW_##name
#define METRIC(n, k, l, s)                                                                         \
	[METRIC_##n] = { .name = #n,                                                               \
			 .name_len = sizeof(#n) - 1,                                               \
			 .kind = KIND_##k,                                                         \
			 .labels = l,                                                              \
			 .sentence = s,                                                            \
			 .window = k(n) },
#include "base/metric.def"
#undef METRIC
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

struct metric_series {
	enum metric metric;
	char *labels; /* as they are written, without the braces */
	struct metric_series *next;
	_Atomic double value; /* of a histogram: the sum */
	_Atomic uint64_t buckets[BUCKETS_MAX + 1];
};

struct slice {
	_Atomic uint64_t period; /* which SLICE_NS it counts, from 1; 0: none yet */
	_Atomic uint32_t cells[CELLS];
};

struct window {
	struct slice slices[WINDOW_SLICES];
};

/* The one series of each metric without labels. */
static struct metric_series plain[METRIC_COUNT] = {
#define METRIC(n, kind, labels, sentence) [METRIC_##n] = { .metric = METRIC_##n },
#include "base/metric.def"
#undef METRIC
};

/* For each metric with labels, the series of all that came when the others were too many. */
static struct metric_series other[METRIC_COUNT] = {
#define METRIC(n, kind, labels, sentence) [METRIC_##n] = { .metric = METRIC_##n },
#include "base/metric.def"
#undef METRIC
};
static atomic_bool other_used[METRIC_COUNT];

static pthread_mutex_t series_lock =
	PTHREAD_MUTEX_INITIALIZER;      /* guards series, and pushing to lists */
static struct map series[METRIC_COUNT]; /* by labels */
static _Atomic(struct metric_series *) lists[METRIC_COUNT]; /* newest first */

static pthread_mutex_t slice_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the clearing of slices */
static struct window windows[WINDOW_COUNT];
static _Atomic(struct clock *) window_clock; /* NULL: the machine's */

/* Buckets. */

struct bounds {
	const double *le;
	unsigned count;
};

/* Five steps to a power of ten, each about 1.6 times the last; and the powers of two for sizes. */
static struct bounds bounds_of(const struct row *row)
{
	static const double seconds[] = {
		0.0001, 0.00016, 0.00025, 0.0004, 0.00063, 0.001, 0.0016, 0.0025, 0.004,
		0.0063, 0.01,    0.016,   0.025,  0.04,    0.063, 0.1,    0.16,   0.25,
		0.4,    0.63,    1,       1.6,    2.5,     4,     6.3,    10,
	};
	static const double sizes[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 };
	static const struct str suffix = { "_seconds", 8 };

	_Static_assert(LEN(seconds) <= BUCKETS_MAX && LEN(sizes) <= BUCKETS_MAX,
		       "too many buckets");
	if (row->name_len > suffix.len &&
	    memcmp(row->name + row->name_len - suffix.len, suffix.data, suffix.len) == 0)
		return (struct bounds){ seconds, LEN(seconds) };
	return (struct bounds){ sizes, LEN(sizes) };
}

/* The first bucket whose bound is not below v; the last is +Inf. */
static unsigned bucket_of(const struct bounds *b, double v)
{
	unsigned low = 0, high = b->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (b->le[middle] < v)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The window. */

/* A cell holds what is above the bound of the cell before and not above its own: whole numbers up to
 * twice SUB_CELLS come out exact. */
static unsigned cell_of(double v)
{
	if (v <= ldexp(1, CELL_EXPONENT_MIN))
		return 0;
	if (v >= ldexp(1, CELL_EXPONENT_MAX))
		return CELLS - 1;
	int exponent;
	double fraction = frexp(v, &exponent) * 2 - 1; /* in [0, 1) of the power of two below v */
	int octave = exponent - 1 - CELL_EXPONENT_MIN;
	return (unsigned)(octave * SUB_CELLS) + (unsigned)ceil(fraction * SUB_CELLS);
}

static double bound_of_cell(unsigned cell)
{
	return ldexp(1 + (double)(cell % SUB_CELLS) / SUB_CELLS,
		     CELL_EXPONENT_MIN + (int)(cell / SUB_CELLS));
}

static uint64_t period_now(void)
{
	struct clock *c = atomic_load_explicit(&window_clock, memory_order_acquire);
	return clock_mono_ns(c ? c : clock_system()) / SLICE_NS + 1;
}

static void clear_slice(struct slice *s, uint64_t period)
{
	(void)pthread_mutex_lock(&slice_lock);
	if (atomic_load_explicit(&s->period, memory_order_relaxed) < period) {
		for (unsigned i = 0; i < CELLS; i++)
			atomic_store_explicit(&s->cells[i], 0, memory_order_relaxed);
		atomic_store_explicit(&s->period, period, memory_order_release);
	}
	(void)pthread_mutex_unlock(&slice_lock);
}

/* Whoever was held up between reading the clock and counting counts in the newer slice. */
static void count_in_window(struct window *w, double v)
{
	uint64_t period = period_now();
	struct slice *s = &w->slices[period % WINDOW_SLICES];

	if (atomic_load_explicit(&s->period, memory_order_acquire) < period)
		clear_slice(s, period);
	atomic_fetch_add_explicit(&s->cells[cell_of(v)], 1, memory_order_relaxed);
}

/* Sums the slices of the last minute into cells; returns how many values they saw. */
static uint64_t sum_window(struct window *w, uint64_t cells[static CELLS])
{
	const uint64_t now = period_now();
	uint64_t total = 0;

	for (unsigned i = 0; i < WINDOW_SLICES; i++) {
		struct slice *s = &w->slices[i];
		uint64_t period = atomic_load_explicit(&s->period, memory_order_acquire);
		if (period == 0 || period + WINDOW_SLICES <= now)
			continue;
		for (unsigned c = 0; c < CELLS; c++) {
			uint32_t n = atomic_load_explicit(&s->cells[c], memory_order_relaxed);
			cells[c] += n;
			total += n;
		}
	}
	return total;
}

/* Labels. */

static unsigned count_commas(const char *s)
{
	unsigned n = 0;
	for (; *s; s++)
		n += *s == ',';
	return n;
}

/* Text format 0.0.4: backslash, quote and end of line are escaped, and all is UTF-8. What is not, is not
 * let through: a scraper drops the whole answer for one bad byte. */
static void put_escaped(struct buf *out, struct str s)
{
	while (s.len > 0) {
		size_t n = utf8_length((const uint8_t *)s.data, s.len);
		if (n == 0)
			buf_append_byte(out, '?');
		else if (*s.data == '\n')
			buf_append_cstr(out, "\\n");
		else if (*s.data == '\\' || *s.data == '"')
			buf_printf(out, "\\%c", *s.data);
		else
			buf_append(out, s.data, n);
		n = MAX(n, 1);
		s.data += n;
		s.len -= n;
	}
}

static void put_label(struct buf *out, struct str name, struct str value)
{
	if (out->len > 0)
		buf_append_byte(out, ',');
	buf_append_str(out, name);
	buf_append_cstr(out, "=\"");
	put_escaped(out, value);
	buf_append_byte(out, '"');
}

/* The text before the next comma that is not to be skipped, which *s then passes. */
static struct str next_part(const char **s, unsigned commas_to_skip)
{
	const char *end = strchrnul(*s, ',');
	while (*end && commas_to_skip-- > 0)
		end = strchrnul(end + 1, ',');
	struct str part = { *s, (size_t)(end - *s) };
	*s = *end ? end + 1 : end;
	return part;
}

/* values NULL: "other" for each. The first value may hold commas, the others not: what a user may name
 * (a collection) comes first in metric.def. A value that is missing is empty. */
static void put_labels(struct buf *out, const struct row *row, const char *values)
{
	const char *names = row->labels;
	const unsigned needed = count_commas(names);
	const unsigned found = values ? count_commas(values) : needed;
	unsigned surplus = found > needed ? found - needed : 0;

	while (*names) {
		struct str name = next_part(&names, 0);
		put_label(out, name, values ? next_part(&values, surplus) : STR("other"));
		surplus = 0;
	}
}

/* Series. */

/* Under series_lock. NULL when there is no memory. */
static struct metric_series *add_series(enum metric m, struct str labels)
{
	struct metric_series *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->metric = m;
	s->labels = str_dup(labels);
	if (!s->labels || map_put(&series[m], labels, s, NULL)) {
		free(s->labels);
		free(s);
		return NULL;
	}
	s->next = atomic_load_explicit(&lists[m], memory_order_relaxed);
	atomic_store_explicit(&lists[m], s, memory_order_release);
	return s;
}

/* Finds or adds; NULL when there are too many, or no memory for one more. */
static struct metric_series *series_of(enum metric m, struct str labels)
{
	(void)pthread_mutex_lock(&series_lock);
	struct metric_series *s = map_get(&series[m], labels);
	if (!s && series[m].count < METRIC_SERIES_MAX)
		s = add_series(m, labels);
	(void)pthread_mutex_unlock(&series_lock);
	return s;
}

static bool same(struct str a, struct str b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

struct metric_series *metric_series(enum metric m, const char *values)
{
	ASSERT((unsigned)m < METRIC_COUNT);
	const struct row *row = &rows[m];
	if (!*row->labels)
		return &plain[m];

	CLEANUP(buf_release) struct buf labels = BUF_INIT(LABELS_BYTES_MAX);
	CLEANUP(buf_release) struct buf overflow = BUF_INIT(LABELS_BYTES_MAX);
	put_labels(&labels, row, values);
	put_labels(&overflow, row, NULL);
	struct metric_series *s = NULL;
	/* A region that is called "other" must not give a second series of that name. */
	if (!buf_err(&labels) && !buf_err(&overflow) && !same(buf_str(&labels), buf_str(&overflow)))
		s = series_of(m, buf_str(&labels));
	if (s)
		return s;
	atomic_store_explicit(&other_used[m], true, memory_order_relaxed);
	return &other[m];
}

/* A compare-and-swap loop: doubles have no atomic addition, and whole numbers stay exact up to 2^53. */
static void add_to(_Atomic double *cell, double n)
{
	double old = atomic_load_explicit(cell, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(cell, &old, old + n, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void metric_series_add(struct metric_series *s, double n)
{
	const enum kind kind = rows[s->metric].kind;

	ASSERT(kind != KIND_HISTOGRAM);
	ASSERT(kind == KIND_GAUGE || n >= 0);
	add_to(&s->value, n);
}

void metric_series_set(struct metric_series *s, double v)
{
	ASSERT(rows[s->metric].kind == KIND_GAUGE);
	atomic_store_explicit(&s->value, v, memory_order_relaxed);
}

void metric_series_observe(struct metric_series *s, double v)
{
	const struct row *row = &rows[s->metric];

	ASSERT(row->kind == KIND_HISTOGRAM);
	/* One value that is no number would make the sum none for ever. */
	if (!isfinite(v))
		return;
	const struct bounds b = bounds_of(row);
	atomic_fetch_add_explicit(&s->buckets[bucket_of(&b, v)], 1, memory_order_relaxed);
	add_to(&s->value, v);
	count_in_window(&windows[row->window], v);
}

void metric_add(enum metric m, double n)
{
	metric_series_add(metric_series(m, ""), n);
}

void metric_set(enum metric m, double v)
{
	metric_series_set(metric_series(m, ""), v);
}

void metric_observe(enum metric m, double v)
{
	metric_series_observe(metric_series(m, ""), v);
}

double metric_quantile(enum metric m, double q)
{
	ASSERT((unsigned)m < METRIC_COUNT && rows[m].kind == KIND_HISTOGRAM);
	uint64_t cells[CELLS] = { 0 };
	const uint64_t total = sum_window(&windows[rows[m].window], cells);
	if (total == 0)
		return 0;

	const double rank = MAX(ceil(q * (double)total), 1);
	uint64_t seen = 0;
	unsigned last = 0;
	for (unsigned c = 0; c < CELLS; c++) {
		if (cells[c] == 0)
			continue;
		seen += cells[c];
		last = c;
		if ((double)seen >= rank)
			break;
	}
	return bound_of_cell(last);
}

void metric_set_clock(struct clock *c)
{
	atomic_store_explicit(&window_clock, c, memory_order_release);
}

/* Writing. */

static void put_number(struct buf *out, double v)
{
	char text[DECIMAL_TEXT_MAX];

	if (isnan(v))
		buf_append_cstr(out, "NaN");
	else if (isinf(v))
		buf_append_cstr(out, v > 0 ? "+Inf" : "-Inf");
	else if (fabs(v) <= 9007199254740992 && trunc(v) == v)
		buf_printf(out, "%.0f", v);
	else
		buf_append(out, text, decimal_format_f64(v, text));
}

/* NAME SUFFIX{labels} value; le is the bound of a bucket, or NULL. */
static void put_sample(struct buf *out, const char *name, const char *labels, const double *le,
		       double value)
{
	buf_append_cstr(out, name);
	if (*labels || le)
		buf_printf(out, "{%s%s", labels, *labels && le ? "," : "");
	if (le) {
		buf_append_cstr(out, "le=\"");
		put_number(out, *le);
		buf_append_byte(out, '"');
	}
	if (*labels || le)
		buf_append_byte(out, '}');
	buf_append_byte(out, ' ');
	put_number(out, value);
	buf_append_byte(out, '\n');
}

static void put_histogram(struct buf *out, const struct metric_series *s, const char *labels)
{
	const struct row *row = &rows[s->metric];
	const struct bounds b = bounds_of(row);
	const double no_bound = HUGE_VAL;
	char name[128];
	uint64_t seen = 0;

	(void)snprintf(name, sizeof(name), "%s_bucket", row->name);
	for (unsigned i = 0; i <= b.count; i++) {
		seen += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
		put_sample(out, name, labels, i < b.count ? &b.le[i] : &no_bound, (double)seen);
	}
	(void)snprintf(name, sizeof(name), "%s_sum", row->name);
	put_sample(out, name, labels, NULL, atomic_load_explicit(&s->value, memory_order_relaxed));
	(void)snprintf(name, sizeof(name), "%s_count", row->name);
	put_sample(out, name, labels, NULL, (double)seen);
}

static void put_series(struct buf *out, const struct metric_series *s, const char *labels)
{
	const struct row *row = &rows[s->metric];

	if (row->kind == KIND_HISTOGRAM)
		put_histogram(out, s, labels);
	else
		put_sample(out, row->name, labels, NULL,
			   atomic_load_explicit(&s->value, memory_order_relaxed));
}

static void put_other(struct buf *out, enum metric m)
{
	CLEANUP(buf_release) struct buf labels = BUF_INIT(LABELS_BYTES_MAX);

	put_labels(&labels, &rows[m], NULL);
	buf_append_byte(&labels, '\0');
	if (!buf_err(&labels))
		put_series(out, &other[m], buf_str(&labels).data);
}

void metric_write(struct buf *out)
{
	static const char *const kinds[] = {
		[KIND_COUNTER] = "counter",
		[KIND_GAUGE] = "gauge",
		[KIND_HISTOGRAM] = "histogram",
	};

	for (unsigned m = 0; m < METRIC_COUNT; m++) {
		const struct row *row = &rows[m];
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->sentence, row->name,
			   kinds[row->kind]);
		if (!*row->labels)
			put_series(out, &plain[m], "");
		for (const struct metric_series *s =
			     atomic_load_explicit(&lists[m], memory_order_acquire);
		     s; s = s->next)
			put_series(out, s, s->labels);
		if (atomic_load_explicit(&other_used[m], memory_order_relaxed))
			put_other(out, (enum metric)m);
	}
}
