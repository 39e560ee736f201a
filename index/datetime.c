/* SPDX-License-Identifier: Apache-2.0 */
#include "index/datetime.h"

#include <stdio.h>

#define US_PER_SECOND 1000000

struct cursor {
	const char *p, *end;
};

static bool take(struct cursor *c, char wanted)
{
	if (c->p == c->end || *c->p != wanted)
		return false;
	c->p++;
	return true;
}

/* At least `least` and at most `most` digits. */
static bool take_number(struct cursor *c, int least, int most, int *ret_number)
{
	int number = 0, digits = 0;

	for (; digits < most && c->p < c->end && *c->p >= '0' && *c->p <= '9'; digits++)
		number = number * 10 + (*c->p++ - '0');
	*ret_number = number;
	return digits >= least;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 of a date in the Gregorian calendar. Years begin in March, so that the leap day is the last. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool take_date(struct cursor *c, int64_t *ret_days)
{
	static const int days_in[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day;

	if (!take_number(c, 4, 4, &year) || !take(c, '-') || !take_number(c, 1, 2, &month) || !take(c, '-') ||
	    !take_number(c, 1, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in[month - 1] + (month == 2 && is_leap(year)))
		return false;
	*ret_days = days_of(year, month, day);
	return true;
}

/* .f…: microseconds. */
static bool take_fraction(struct cursor *c, int64_t *ret_us)
{
	int64_t us = 0, unit = US_PER_SECOND / 10;
	const char *start = c->p;

	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
		us += (*c->p - '0') * unit;
	*ret_us = us;
	return c->p > start;
}

static bool take_zone(struct cursor *c, int64_t *ret_seconds)
{
	int hours, minutes = 0;

	*ret_seconds = 0;
	if (c->p == c->end || take(c, 'Z') || take(c, 'z'))
		return true;
	bool west = take(c, '-');

	if (!west && !take(c, '+'))
		return false;
	if (!take_number(c, 2, 2, &hours))
		return false;
	bool colon = take(c, ':');

	if ((colon || c->p < c->end) && !take_number(c, 2, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*ret_seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

/* The time of the day, in UTC; behind the T or the space. */
static bool take_time(struct cursor *c, bool may_end_early, int64_t *ret_us)
{
	int hour, minute, second;
	int64_t fraction = 0, zone = 0;

	if (!take_number(c, 1, 2, &hour) || !take(c, ':') || !take_number(c, 1, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*ret_us = (hour * 3600 + minute * 60) * (int64_t)US_PER_SECOND;
	if (c->p == c->end)
		return may_end_early;
	if (!take(c, ':') || !take_number(c, 1, 2, &second) || second > 60) /* 60: a leap second */
		return false;
	if (take(c, '.') && !take_fraction(c, &fraction))
		return false;
	if (!take_zone(c, &zone))
		return false;
	*ret_us += (second - zone) * US_PER_SECOND + fraction;
	return true;
}

bool datetime_parse(struct str text, int64_t *ret_us)
{
	int64_t days, time_us = 0;

	if (text.len == 0)
		return false;
	struct cursor c = { .p = text.data, .end = text.data + text.len };

	if (!take_date(&c, &days))
		return false;
	if (c.p < c.end) {
		bool space = take(&c, ' ');

		if (!space && !take(&c, 'T') && !take(&c, 't'))
			return false;
		if (!take_time(&c, space, &time_us))
			return false;
	}
	*ret_us = days * 86400 * US_PER_SECOND + time_us;
	return c.p == c.end;
}

size_t datetime_format(int64_t us, char out[DATETIME_TEXT_MAX])
{
	int64_t seconds = us / US_PER_SECOND - (us % US_PER_SECOND < 0);
	int64_t fraction = us - seconds * US_PER_SECOND;
	int64_t days = seconds / 86400 - (seconds % 86400 < 0);
	int64_t left = seconds - days * 86400;
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* from March */
	int64_t day = day_of_year - (153 * month + 2) / 5 + 1;

	month += month < 10 ? 3 : -9;
	int n = snprintf(out, DATETIME_TEXT_MAX, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld.%06lldZ",
			 (long long)(year_of_era + era * 400 + (month <= 2)), (long long)month, (long long)day,
			 (long long)(left / 3600), (long long)(left / 60 % 60), (long long)(left % 60),
			 (long long)fraction);
	return n > 0 && n < DATETIME_TEXT_MAX ? (size_t)n : 0;
}
