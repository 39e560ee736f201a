/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets.
 * Thread: the loop's; listener_drain() any.
 */
#include "gateway/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 100 /* when the kernel is out of memory or descriptors */
#define WARN_EVERY_NS ((uint64_t)60 * 1000000000)
#define HOST_BYTES_MAX 64 /* of the text of an address */

struct listener {
	struct conn_host host;
	struct loop_fd fd;
	struct loop_timer pause;
	struct tls_holder *tls;
	int reserve_fd; /* closed when descriptors run out, to accept and end a connection with it */
	uint64_t warned_ns;
	bool warned;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t path_device; /* whose socket the path names, so that only ours is removed */
	ino_t path_inode;

	atomic_bool drain_asked;
	struct loop_task drain_task;
	uint32_t drain_ms;
	bool draining;
	void (*on_drained)(void *ctx);
	void *drained_ctx;
};

/* --- addresses ------------------------------------------------------------------------------ */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} sock;
	socklen_t len;
};

static bool parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool parse_host(const char *text, size_t len, uint16_t port, struct address *a)
{
	char host[HOST_BYTES_MAX];
	bool v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';

	if (v6) {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (v6) {
		a->sock.v6.sin6_family = AF_INET6;
		a->sock.v6.sin6_port = htons(port);
		a->len = sizeof(a->sock.v6);
		return inet_pton(AF_INET6, host, &a->sock.v6.sin6_addr) == 1;
	}
	a->sock.v4.sin_family = AF_INET;
	a->sock.v4.sin_port = htons(port);
	a->len = sizeof(a->sock.v4);
	return inet_pton(AF_INET, host, &a->sock.v4.sin_addr) == 1;
}

static enum err parse_address(const char *text, struct address *a, struct fault *reterr_fault)
{
	size_t len = strlen(text);
	uint16_t port;

	*a = (struct address){ 0 };
	if (memchr(text, '/', len)) {
		if (len >= sizeof(a->sock.local.sun_path))
			return fault_set(reterr_fault, ERR_CONFIG,
					 "%s: the path of a socket has at most %zu bytes", text,
					 sizeof(a->sock.local.sun_path) - 1);
		a->sock.local.sun_family = AF_UNIX;
		memcpy(a->sock.local.sun_path, text, len + 1);
		a->len = sizeof(a->sock.local);
		return ERR_NONE;
	}
	const char *colon = strrchr(text, ':');
	if (!colon || !parse_port(colon + 1, &port) ||
	    !parse_host(text, (size_t)(colon - text), port, a))
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"%s: is no address such as 127.0.0.1:6333, [::1]:6333 or /path/of.sock",
			text);
	return ERR_NONE;
}

/* --- sockets -------------------------------------------------------------------------------- */

static enum err fail(struct fault *f, const char *address, const char *what)
{
	int errnum = errno;

	if (errnum == EADDRINUSE)
		return fault_set(f, ERR_ALREADY_EXISTS, "%s: somebody listens there already",
				 address);
	return fault_set(f, err_from_errno(errnum), "%s: %s: %s", address, what,
			 strerrordesc_np(errnum));
}

static int open_socket(const struct address *a)
{
	return socket(a->sock.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* [::] takes clients of IPv4 as well, whatever the system's default. */
static bool set_options(int fd, const struct address *a, bool share)
{
	int one = 1;
	int zero = 0;

	if (a->sock.any.sa_family == AF_UNIX)
		return true;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return false;
	if (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return false;
	return a->sock.any.sa_family != AF_INET6 ||
	       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) == 0;
}

/* SO_REUSEPORT would let a second daemon of the same user share our address in silence: the
 * first listener looks, without that option, whether anybody is there. */
static enum err probe(const struct listener_options *o, const struct address *a,
		      struct fault *reterr_fault)
{
	if (!o->first || a->sock.any.sa_family == AF_UNIX)
		return ERR_NONE;
	int fd = open_socket(a);
	enum err err = ERR_NONE;
	if (fd < 0 || !set_options(fd, a, false) || bind(fd, &a->sock.any, a->len) < 0)
		err = fail(reterr_fault, o->address, "cannot be bound");
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* The file that a dead daemon left behind. A living one answers. */
static enum err remove_stale(const char *path, const struct address *a, struct fault *reterr_fault)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? ERR_NONE : fail(reterr_fault, path, "cannot be looked at");
	if (!S_ISSOCK(st.st_mode))
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS, "%s: exists and is no socket",
				 path);
	int fd = open_socket(a);
	if (fd < 0)
		return fail(reterr_fault, path, "no socket");
	int connected = connect(fd, &a->sock.any, a->len);
	int errnum = errno;
	(void)close(fd);
	if (connected == 0 || errnum != ECONNREFUSED)
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS,
				 "%s: somebody listens there already", path);
	return unlink(path) < 0 ? fail(reterr_fault, path, "cannot be removed") : ERR_NONE;
}

/* Only the daemon's own user may connect: what comes by the socket is trusted further than the
 * network. */
static enum err own_path(struct listener *l, const char *path, struct fault *reterr_fault)
{
	struct stat st;

	if (chmod(path, S_IRUSR | S_IWUSR) < 0 || lstat(path, &st) < 0)
		return fail(reterr_fault, path, "cannot be made private");
	memcpy(l->path, path, strlen(path) + 1);
	l->path_device = st.st_dev;
	l->path_inode = st.st_ino;
	return ERR_NONE;
}

static enum err open_listening(struct listener *l, const struct listener_options *o,
			       const struct address *a, struct fault *reterr_fault)
{
	bool local = a->sock.any.sa_family == AF_UNIX;
	enum err err = probe(o, a, reterr_fault);
	if (!err && local)
		err = remove_stale(o->address, a, reterr_fault);
	if (err)
		return err;
	l->fd.fd = open_socket(a);
	if (l->fd.fd < 0 || !set_options(l->fd.fd, a, true) ||
	    bind(l->fd.fd, &a->sock.any, a->len) < 0)
		return fail(reterr_fault, o->address, "cannot be bound");
	if (local) {
		err = own_path(l, o->address, reterr_fault);
		if (err)
			return err;
	}
	if (listen(l->fd.fd, BACKLOG) < 0)
		return fail(reterr_fault, o->address, "cannot be listened on");
	err = loop_add(o->loop, &l->fd, EPOLLIN);
	return err ? fault_set(reterr_fault, err, "%s: cannot be watched", o->address) : ERR_NONE;
}

/* --- accepting ------------------------------------------------------------------------------ */

static void open_reserve(struct listener *l)
{
	if (l->reserve_fd < 0)
		l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void close_reserve(struct listener *l)
{
	if (l->reserve_fd >= 0)
		(void)close(l->reserve_fd);
	l->reserve_fd = -1;
}

static void warn(struct listener *l, const char *reason)
{
	uint64_t now_ns = loop_now_ns(l->host.loop);

	metric_series_add(metric_series(METRIC_isthmus_rejected_total, reason), 1);
	if (l->warned && now_ns - l->warned_ns < WARN_EVERY_NS)
		return;
	l->warned = true;
	l->warned_ns = now_ns;
	log_warn("connections are refused, further ones of this minute unlogged reason=\"%s\"",
		 reason);
}

/* Fails only when memory does; the next turn tries again. */
static void watch(struct listener *l, uint32_t events)
{
	if (loop_change(l->host.loop, &l->fd, events))
		loop_timer_start(l->host.loop, &l->pause, PAUSE_MS);
}

static void pause_accepting(struct listener *l)
{
	watch(l, 0);
	loop_timer_start(l->host.loop, &l->pause, PAUSE_MS);
}

static void on_pause_end(struct loop_timer *t)
{
	struct listener *l = CONTAINER_OF(t, struct listener, pause);

	open_reserve(l);
	watch(l, EPOLLIN);
}

/* Clients of IPv4 on an IPv6 socket are of IPv4. */
static void unmap(struct sockaddr_storage *client)
{
	struct sockaddr_in6 v6;

	if (client->ss_family != AF_INET6)
		return;
	memcpy(&v6, client, sizeof(v6));
	if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return;
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = v6.sin6_port };
	memcpy(&v4.sin_addr, v6.sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
	*client = (struct sockaddr_storage){ 0 };
	memcpy(client, &v4, sizeof(v4));
}

static void take(struct listener *l, int fd, struct sockaddr_storage *client)
{
	struct conn_host *h = &l->host;

	if (atomic_load(&h->shared->connections) >= h->limits->connections_max) {
		warn(l, "connections");
		if (l->tls || h->refusing >= h->limits->refusals_max)
			(void)close(fd);
		else
			conn_refuse(h, fd);
		return;
	}
	unmap(client);
	struct tls_context *context = l->tls ? tls_holder_get(l->tls) : NULL;
	if (conn_open(h, fd, client, context))
		warn(l, "memory");
	tls_context_unref(context);
}

/* Out of descriptors: with the reserve one, the client is told by a close instead of being left
 * waiting. */
static bool refuse_with_reserve(struct listener *l)
{
	warn(l, "descriptors");
	if (l->reserve_fd < 0)
		return false;
	close_reserve(l);
	int fd = accept4(l->fd.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	open_reserve(l);
	return fd >= 0;
}

static void on_event(struct loop_fd *f, uint32_t events UNUSED)
{
	struct listener *l = CONTAINER_OF(f, struct listener, fd);

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage client = { 0 };
		socklen_t len = sizeof(client);
		int fd = accept4(f->fd, (struct sockaddr *)&client, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			take(l, fd, &client);
			continue;
		}
		switch (errno) {
		case EAGAIN:
			return;
		case EMFILE:
		case ENFILE:
			if (refuse_with_reserve(l))
				continue;
			pause_accepting(l);
			return;
		case ENOBUFS:
		case ENOMEM:
			warn(l, "memory");
			pause_accepting(l);
			return;
		default: /* that client's own trouble, such as ECONNABORTED */
			continue;
		}
	}
}

/* --- draining ------------------------------------------------------------------------------- */

static void stop_accepting(struct listener *l)
{
	struct stat st;

	loop_timer_stop(l->host.loop, &l->pause);
	if (l->fd.fd < 0)
		return;
	loop_remove(l->host.loop, &l->fd);
	(void)close(l->fd.fd);
	l->fd.fd = -1;
	close_reserve(l);
	if (l->path[0] && lstat(l->path, &st) == 0 && st.st_dev == l->path_device &&
	    st.st_ino == l->path_inode)
		(void)unlink(l->path); /* one that stays is stale, which the next start sees */
}

static void check_drained(struct listener *l)
{
	void (*on_drained)(void *) = l->on_drained;

	if (!l->draining || l->host.count > 0 || !on_drained)
		return;
	l->on_drained = NULL;
	on_drained(l->drained_ctx); /* may free l */
}

static void on_closed(struct conn_host *h)
{
	check_drained(CONTAINER_OF(h, struct listener, host));
}

static void on_drain_task(struct loop_task *t)
{
	struct listener *l = CONTAINER_OF(t, struct listener, drain_task);

	stop_accepting(l);
	/* Connections that end during the walk must not end the listener under it. */
	conn_drain_all(&l->host, l->drain_ms);
	l->draining = true;
	check_drained(l);
}

void listener_drain(struct listener *l, uint32_t drain_ms, void (*on_drained)(void *ctx), void *ctx)
{
	if (atomic_exchange(&l->drain_asked, true))
		return;
	l->drain_ms = drain_ms;
	l->on_drained = on_drained;
	l->drained_ctx = ctx;
	loop_post(l->host.loop, &l->drain_task);
}

/* --- life ----------------------------------------------------------------------------------- */

enum err listener_new(const struct listener_options *o, struct listener **ret_listener,
		      struct fault *reterr_fault)
{
	struct address address;
	enum err err = parse_address(o->address, &address, reterr_fault);
	if (err)
		return err;
	struct listener *l = calloc(1, sizeof(*l));
	if (!l)
		return ERR_NO_MEMORY;
	l->fd = (struct loop_fd){ .fd = -1, .on_event = on_event };
	l->reserve_fd = -1;
	l->tls = o->tls;
	l->pause.on_fire = on_pause_end;
	l->drain_task.run = on_drain_task;
	err = conn_host_init(&l->host, o->loop, o->limits);
	l->host.shared = o->shared;
	l->host.serve = o->serve;
	l->host.serve_ctx = o->serve_ctx;
	l->host.peer = o->peer;
	l->host.knows_peer = o->knows_peer;
	l->host.knows_peer_ctx = o->knows_peer_ctx;
	l->host.proxies = o->proxies;
	l->host.on_closed = on_closed;
	if (!err)
		err = open_listening(l, o, &address, reterr_fault);
	if (err) {
		listener_free(l);
		return err;
	}
	open_reserve(l);
	*ret_listener = l;
	return ERR_NONE;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	l->host.on_closed = NULL;
	stop_accepting(l);
	close_reserve(l);
	conn_host_release(&l->host);
	free(l);
}

uint16_t listener_port(const struct listener *l)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t len = sizeof(bound);
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (l->fd.fd < 0 || getsockname(l->fd.fd, (struct sockaddr *)&bound, &len) < 0)
		return 0;
	memcpy(&v4, &bound, sizeof(v4));
	memcpy(&v6, &bound, sizeof(v6));
	if (bound.ss_family == AF_INET)
		return ntohs(v4.sin_port);
	return bound.ss_family == AF_INET6 ? ntohs(v6.sin6_port) : 0;
}
