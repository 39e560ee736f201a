/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's end of a socket, beside a loop that a test turns by hand.
 */
#pragma once

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/gateway/conn_bed.h"

struct client {
	int fd;
	struct buf in; /* what came */
	bool ended;    /* by the server */
	bool broken;   /* with a reset */
};

static inline void client_init(struct client *c, int fd)
{
	*c = (struct client){ .fd = fd };
	buf_init(&c->in, 64u << 20);
}

static inline void client_close(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	buf_release(&c->in);
}

/* Reads what is there; never waits. */
static inline void client_read(struct client *c)
{
	for (;;) {
		uint8_t *to = buf_reserve(&c->in, 65536);
		ck_assert_ptr_nonnull(to);
		ssize_t n = recv(c->fd, to, 65536, MSG_DONTWAIT);
		if (n > 0) {
			buf_commit(&c->in, (size_t)n);
			continue;
		}
		if (n == 0)
			c->ended = true;
		else if (errno != EAGAIN)
			c->ended = c->broken = true;
		return;
	}
}

/* Turns the loop until nothing more comes, without time passing. */
static inline void client_listen(struct bed *b, struct client *c)
{
	for (int quiet = 0; quiet < 4; quiet++) {
		size_t before = c->in.len;
		bool ended = c->ended;
		bed_turn(b, 0);
		client_read(c);
		if (c->in.len != before || c->ended != ended)
			quiet = 0;
	}
}

static inline void client_send(struct client *c, const void *data, size_t len)
{
	ck_assert_int_eq(send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)len);
}

static inline void client_say(struct bed *b, struct client *c, const char *text)
{
	client_send(c, text, strlen(text));
	client_listen(b, c);
}

static inline const char *client_text(struct client *c)
{
	buf_append_byte(&c->in, 0);
	c->in.len--;
	return (const char *)c->in.data;
}

/* How often the text occurs in what came. */
static inline size_t client_count(struct client *c, const char *text)
{
	size_t n = 0;

	for (const char *at = client_text(c); (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}
