/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the process on an impossible state. Any thread.
 */
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PANIC_LINE_MAX 512 /* bytes */

/* <0> is the priority that journald reads; on a terminal it does no harm. One write, so that threads
 * which fail at the same time do not mix their words. */
void panic_at(const char *file, int line, const char *what)
{
	char text[PANIC_LINE_MAX];
	int len = snprintf(text, sizeof(text), "<0>panic place=%s:%d what=\"%s\"\n", file, line,
			   what);

	if (len >= (int)sizeof(text)) {
		len = (int)sizeof(text) - 1;
		text[len - 1] = '\n';
	}
	if (len > 0) {
		/* Whether anybody reads it or not, this is the end. */
		ssize_t written = write(STDERR_FILENO, text, (size_t)len);
		(void)written;
	}
	abort();
}
