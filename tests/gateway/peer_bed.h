/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of connections between regions share: an authority with certificates of regions in a folder of its
 * own, contexts made of them, and a relay that can be stopped, on the bed's loop.
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/listener.h"
#include "gateway/pki.h"
#include "tests/gateway/conn_bed.h"

#define PEER_BED_TURNS_MAX 200000

struct peer_keys {
	char dir[64];
};

static inline const char *peer_keys_path(const struct peer_keys *k, const char *name, const char *suffix)
{
	static char paths[8][384];
	static unsigned at;
	char *path = paths[at++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s%s", k->dir, name, suffix);
	return path;
}

static inline void peer_keys_issue(const struct peer_keys *k, const char *region, struct clock *clock)
{
	struct fault f = { 0 };

	ck_assert_msg(pki_issue(k->dir, region, 30, clock, &f) == ERR_NONE, "%s", f.text);
}

static inline void peer_keys_make(struct peer_keys *k)
{
	struct fault f = { 0 };

	*k = (struct peer_keys){ .dir = "/tmp/isthmus-peer-XXXXXX" };
	ck_assert_ptr_nonnull(mkdtemp(k->dir));
	ck_assert_msg(pki_init(k->dir, clock_system(), &f) == ERR_NONE, "%s", f.text);
	peer_keys_issue(k, "eu", clock_system());
	peer_keys_issue(k, "us", clock_system());
}

static inline void peer_keys_remove(const struct peer_keys *k)
{
	DIR *dir = opendir(k->dir);

	ck_assert_ptr_nonnull(dir);
	for (const struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			(void)unlink(peer_keys_path(k, e->d_name, ""));
	(void)closedir(dir);
	ck_assert_int_eq(rmdir(k->dir), 0);
}

/* `authority` may be of other keys. */
static inline struct tls_holder *peer_tls(const struct peer_keys *k, const char *region, const struct peer_keys *authority,
					  bool client)
{
	struct tls_options o = {
		.certificate = peer_keys_path(k, region, ".pem"),
		.key = peer_keys_path(k, region, ".key"),
		.client_ca = peer_keys_path(authority, "ca", ".pem"),
		.client = client,
		.clock = clock_system(),
	};
	struct tls_context *context;
	struct tls_holder *holder;
	struct fault f = { 0 };

	ck_assert_msg(tls_context_new(&o, &context, &f) == ERR_NONE, "%s", f.text);
	ck_assert_int_eq(tls_holder_new(context, &holder), ERR_NONE);
	return holder;
}

/* --- the relay: takes connections to a port of 127.0.0.1 --- */

#define RELAY_PAIRS 4

struct relay_pair {
	int near, far;            /* -1: none */
	struct buf out[2];        /* what near, and far, have yet to take */
};

struct relay {
	int listening;
	uint16_t to;
	bool stopped;             /* what comes stays where it is */
	struct relay_pair pairs[RELAY_PAIRS];
};

static inline struct sockaddr_in relay_address(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
}

static inline void relay_open(struct relay *r, uint16_t to)
{
	struct sockaddr_in a = relay_address(0);

	*r = (struct relay){ .to = to };
	for (int i = 0; i < RELAY_PAIRS; i++) {
		r->pairs[i].near = r->pairs[i].far = -1;
		buf_init(&r->pairs[i].out[0], SIZE_MAX);
		buf_init(&r->pairs[i].out[1], SIZE_MAX);
	}
	r->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(r->listening, 0);
	ck_assert_int_eq(bind(r->listening, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(r->listening, 8), 0);
}

static inline uint16_t relay_port(const struct relay *r)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	ck_assert_int_eq(getsockname(r->listening, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static inline void relay_cut_pair(struct relay_pair *p)
{
	if (p->near >= 0)
		(void)close(p->near);
	if (p->far >= 0)
		(void)close(p->far);
	p->near = p->far = -1;
	buf_reset(&p->out[0]);
	buf_reset(&p->out[1]);
}

static inline void relay_cut(struct relay *r)
{
	for (int i = 0; i < RELAY_PAIRS; i++)
		relay_cut_pair(&r->pairs[i]);
}

static inline void relay_close(struct relay *r)
{
	relay_cut(r);
	(void)close(r->listening);
	for (int i = 0; i < RELAY_PAIRS; i++) {
		buf_release(&r->pairs[i].out[0]);
		buf_release(&r->pairs[i].out[1]);
	}
}

/* False: from is closed. */
static inline bool relay_pass(int from, int to, struct buf *out)
{
	static uint8_t some[65536];
	ssize_t n = recv(from, some, sizeof(some), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		return false;
	if (n > 0)
		buf_append(out, some, (size_t)n);
	n = out->len > 0 ? send(to, out->data, out->len, MSG_NOSIGNAL) : 0;
	if (n > 0)
		buf_consume(out, (size_t)n);
	return true;
}

static inline void relay_accept(struct relay *r, struct relay_pair *p)
{
	struct sockaddr_in a = relay_address(r->to);

	p->near = accept4(r->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (p->near < 0)
		return;
	p->far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(p->far, (struct sockaddr *)&a, sizeof(a)) < 0)
		relay_cut_pair(p);
	else
		(void)fcntl(p->far, F_SETFL, O_NONBLOCK);
}

static inline void relay_turn(struct relay *r)
{
	for (int i = 0; i < RELAY_PAIRS && !r->stopped; i++) {
		struct relay_pair *p = &r->pairs[i];
		if (p->near < 0)
			relay_accept(r, p);
		if (p->near >= 0 && (!relay_pass(p->near, p->far, &p->out[1]) || !relay_pass(p->far, p->near, &p->out[0])))
			relay_cut_pair(p);
	}
}
