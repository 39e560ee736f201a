/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every metric is a row of metric.def: name, kind, label names, sentence. Counters and histograms are
 * added to from any thread without a lock; they are summed when they are read.
 * Labelled series are made on first use, bounded by METRIC_SERIES_MAX each; beyond that the label
 * values become "other".
 */
#pragma once

#include "base/buf.h"

enum metric {
#define METRIC(name, kind, labels, sentence) METRIC_##name,
#include "base/metric.def"
#undef METRIC
	METRIC_COUNT
};

#define METRIC_SERIES_MAX 512

struct clock;
struct metric_series;

/* The series of these label values (as many as metric.def names, "a,b" for two; only the first may hold
 * commas); keep the pointer, look-ups cost a lock. Never NULL, never freed. values is "" for a metric without
 * labels. */
struct metric_series *metric_series(enum metric m, const char *values);
void metric_series_add(struct metric_series *s, double n);
void metric_series_set(struct metric_series *s, double v);
void metric_series_observe(struct metric_series *s, double v);

/* Shorthand for metrics without labels. */
void metric_add(enum metric m, double n);
void metric_set(enum metric m, double v);
void metric_observe(enum metric m, double v);

/* The q quantile (0 to 1) of what a histogram saw in the last 60 s, over all its series; 0 when it saw
 * nothing. Between 1e-6 and 65,536 never below the true one, and at most 1/32 above. */
double metric_quantile(enum metric m, double q);
/* Whose time those 60 s are; NULL (and the start): the machine's. For tests. */
void metric_set_clock(struct clock *c);

/* All of it in Prometheus text format 0.0.4. */
void metric_write(struct buf *out);
