/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server for tests of HTTP clients: it takes connections one after another on loopback, and on each answers the
 * requests that come with the texts of a script, keeping what it was asked: to be read once it was stopped.
 */
#pragma once

#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

#define HTTP_SCRIPT_REQUESTS_MAX 64

struct http_step {
	const char *reply; /* NULL: close without a word */
	bool close;        /* after the reply */
};

struct http_script {
	const struct http_step *steps;
	size_t step_count;
	int fd;
	uint16_t port;
	pthread_t thread;
	char *requests[HTTP_SCRIPT_REQUESTS_MAX]; /* head and body, terminated */
	size_t count;
	size_t connections;
};

/* A whole request at the beginning of in; its length, or 0. */
static inline size_t http_script_request_len(const struct buf *in)
{
	const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
	if (!end)
		return 0;
	size_t head = (size_t)(end - (const char *)in->data) + 4;
	const char *length = memmem(in->data, head, "content-length: ", 16);
	size_t len = head + (length ? strtoul(length + 16, NULL, 10) : 0);
	return in->len >= len ? len : 0;
}

/* False when the connection has ended. */
static inline bool http_script_take_request(struct http_script *s, int fd, struct buf *in)
{
	size_t len;

	while ((len = http_script_request_len(in)) == 0) {
		uint8_t *room = buf_reserve(in, 65536);
		ssize_t n = room ? recv(fd, room, 65536, 0) : -1;
		if (n <= 0)
			return false;
		buf_commit(in, (size_t)n);
	}
	if (s->count < HTTP_SCRIPT_REQUESTS_MAX)
		s->requests[s->count++] = strndup((const char *)in->data, len);
	buf_consume(in, len);
	return true;
}

static inline void *http_script_run(void *arg)
{
	struct http_script *s = arg;
	size_t step = 0;

	while (step < s->step_count) {
		struct buf in = BUF_INIT(64u << 20);
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			break;
		s->connections++;
		while (step < s->step_count && http_script_take_request(s, fd, &in)) {
			const struct http_step *now = &s->steps[step++];
			if (now->reply &&
			    send(fd, now->reply, strlen(now->reply), MSG_NOSIGNAL) < 0)
				break;
			if (!now->reply || now->close)
				break;
		}
		(void)close(fd);
		buf_release(&in);
	}
	return NULL;
}

static inline void http_script_start(struct http_script *s, const struct http_step *steps,
				     size_t step_count)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	*s = (struct http_script){ .steps = steps, .step_count = step_count };
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(s->fd, 0);
	ck_assert_int_eq(bind(s->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(s->fd, 8), 0);
	ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, http_script_run, s), 0);
}

/* Ends it whether or not all steps were asked for, but after the client; requests stay until they are released. */
static inline void http_script_stop(struct http_script *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	(void)close(s->fd);
}

static inline void http_script_release(struct http_script *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->requests[i]);
	s->count = 0;
}
