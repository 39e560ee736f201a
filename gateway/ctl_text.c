/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_text.h"

#include "base/utf8.h"

/* C0, DEL, and C1, which some terminals obey as well. */
static int is_control(const uint8_t *p, size_t len)
{
	return (len == 1 && (*p < 0x20 || *p == 0x7F)) || (len == 2 && p[0] == 0xC2 && p[1] < 0xA0);
}

void ctl_text_put(FILE *out, struct str text, size_t columns)
{
	const uint8_t *p = (const uint8_t *)text.data;
	size_t written = 0;

	for (size_t left = text.len; left > 0; written++) {
		size_t len = utf8_length(p, left);
		if (len == 0 || is_control(p, len))
			(void)fputc('?', out);
		else
			(void)fwrite(p, 1, len, out);
		len = MAX(len, (size_t)1);
		p += len;
		left -= len;
	}
	for (; written < columns; written++)
		(void)fputc(' ', out);
}

void ctl_text_size(char out[static 16], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double amount = (double)bytes;
	int unit = -1;

	while (amount >= 1024 && unit < 5) {
		amount /= 1024;
		unit++;
	}
	if (unit < 0)
		(void)snprintf(out, 16, "%u B", (unsigned)bytes);
	else
		(void)snprintf(out, 16, "%.1f %ciB", amount, units[unit]);
}

void ctl_text_duration(char out[static 24], double seconds)
{
	unsigned long long s = seconds > 0 && seconds < 1e15 ? (unsigned long long)seconds : 0;

	if (s < 60)
		(void)snprintf(out, 24, "%llu s", s);
	else if (s < 3600)
		(void)snprintf(out, 24, "%llu min", s / 60);
	else if (s < 86400)
		(void)snprintf(out, 24, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		(void)snprintf(out, 24, "%llu d %llu h", s / 86400, s / 3600 % 24);
}
