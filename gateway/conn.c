/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection. What is read goes through the host's scratch to the protocol; what the protocol
 * has to say since the last time goes out in one write; only what the socket does not take is kept.
 * Thread: the loop's.
 *
 * The protocol's timers are asked for at most CHECK_MS after something was read, and then when they
 * say, so that a busy connection costs one timer a second.
 */
#include "gateway/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "gateway/h1.h"
#include "gateway/h2.h"

#define CHECK_MS 1000
#define READS_PER_TURN 4 /* of PROTOCOL_READ_BYTES_MAX each; others want their turn */
#define WRITES_PER_TURN 8
#define PEER_WARN_NS ((uint64_t)1000000000)
#define OUT_SLACK                                                                                  \
	((size_t)64 << 10) /* what a protocol may put beyond the bytes asked for: one frame */
#define AGE_SPREAD 10      /* percent of age_ms, either way */

enum conn_state {
	CONN_PROXY, /* the header of the PROXY protocol */
	CONN_HANDSHAKE,
	CONN_DETECT, /* which protocol? */
	CONN_OPEN,
	CONN_LINGER, /* all is said; waits for the client to close */
	CONN_DEAD,   /* to be freed at the end of the call */
};

struct conn {
	struct loop_fd fd;
	struct loop_timer timer;
	struct loop_timer flush_timer; /* something to send came up outside on_event() */
	struct conn_host *host;
	struct conn *next;
	struct conn *prev;
	enum conn_state state;
	uint32_t events; /* that the loop watches */
	bool counted;    /* in shared->connections */
	bool client_ended;
	bool told;            /* the client has been told that nothing more comes */
	bool tls_wants_write; /* to go on reading */
	bool more;            /* the turn's share is used up */
	bool paused;          /* reading stopped although there may be more inside TLS */
	bool in_call;         /* settle() will come */
	bool refusing;        /* one of host->refusing */

	struct tls *tls;
	struct protocol *protocol;
	struct protocol_host ph;

	struct buf pending; /* what the socket has not taken */
	size_t pending_at;
	uint8_t *proxy;     /* FORWARDED_PROXY_BYTES_MAX, while its header arrives */
	size_t proxy_len;
	uint8_t first_bytes[sizeof(H2_PREFACE) - 1];
	size_t first_bytes_len;

	uint64_t phase_ns;    /* the end of the handshake, the detection or the lingering */
	uint64_t protocol_ns; /* when the protocol wants to be asked */
	uint64_t write_ns;    /* last time the socket took something */
	uint64_t age_ns;
	uint64_t drain_ns; /* the end of the draining */
	size_t lingered;   /* bytes discarded */
};

static uint64_t now(const struct conn *c)
{
	return loop_now_ns(c->host->loop);
}

static uint64_t after(const struct conn *c, uint32_t ms)
{
	return now(c) + protocol_ns(ms);
}

static void conn_free(struct conn *c)
{
	struct conn_host *h = c->host;

	loop_timer_stop(h->loop, &c->timer);
	loop_timer_stop(h->loop, &c->flush_timer);
	protocol_free(c->protocol);
	tls_free(c->tls);
	if (c->fd.fd >= 0) {
		loop_remove(h->loop, &c->fd);
		(void)close(c->fd.fd);
	}
	buf_release(&c->pending);
	free(c->proxy);
	if (c->prev)
		c->prev->next = c->next;
	else
		h->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	h->count--;
	if (c->counted) {
		atomic_fetch_sub(&h->shared->connections, 1);
		metric_add(METRIC_isthmus_connections, -1);
	}
	if (c->refusing)
		h->refusing--;
	free(c);
}

static void die(struct conn *c)
{
	c->state = CONN_DEAD;
}

static void count_refused(const char *reason)
{
	metric_series_add(metric_series(METRIC_isthmus_rejected_total, reason), 1);
}

/* --- bytes out ------------------------------------------------------------------------------ */

/* How many bytes went; 0 when the socket is full, or the connection died. */
static size_t write_some(struct conn *c, const uint8_t *data, size_t len)
{
	size_t n = 0;

	if (c->tls) {
		enum tls_io io = tls_write(c->tls, data, len, &n);
		if (io == TLS_CLOSED || io == TLS_FAILED)
			die(c);
	} else {
		ssize_t sent;
		do
			sent = send(c->fd.fd, data, len, MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN)
			die(c);
		n = sent > 0 ? (size_t)sent : 0;
	}
	if (n > 0)
		c->write_ns = now(c);
	return n;
}

/* A record of TLS is at most 16 KiB, so one call may take a part though the socket has room. */
static size_t write_all(struct conn *c, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && c->state != CONN_DEAD) {
		size_t n = write_some(c, data + done, len - done);
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static bool is_pending(const struct conn *c)
{
	return c->pending.len > c->pending_at;
}

/* True when nothing is left of what was kept. */
static bool write_pending(struct conn *c)
{
	if (!is_pending(c))
		return true;
	c->pending_at +=
		write_all(c, c->pending.data + c->pending_at, c->pending.len - c->pending_at);
	if (is_pending(c))
		return false;
	buf_release(&c->pending);
	c->pending_at = 0;
	return c->state != CONN_DEAD;
}

/* Sends what the protocol has, while the socket takes it. */
static void flush(struct conn *c)
{
	struct buf *out = &c->host->out;

	for (int i = 0; i < WRITES_PER_TURN; i++) {
		if (!write_pending(c) || !c->protocol)
			return;
		buf_reset(out);
		protocol_fill(c->protocol, out, c->host->limits->write_bytes_max);
		if (buf_err(out)) {
			die(c);
			return;
		}
		if (out->len == 0)
			return;
		c->write_ns = now(c);
		size_t n = write_all(c, out->data, out->len);
		if (n < out->len && c->state != CONN_DEAD &&
		    buf_append(&c->pending, out->data + n, out->len - n))
			die(c);
		if (c->state == CONN_DEAD)
			return;
	}
	c->more = true;
}

/* --- bytes in ------------------------------------------------------------------------------- */

enum read_result { READ_SOME, READ_NOTHING, READ_END };

static enum read_result read_some(struct conn *c, size_t *ret_n)
{
	uint8_t *to = c->host->scratch;

	*ret_n = 0;
	if (c->tls) {
		enum tls_io io = tls_read(c->tls, to, PROTOCOL_READ_BYTES_MAX, ret_n);
		c->tls_wants_write = io == TLS_WANTS_WRITE;
		if (io == TLS_FAILED)
			die(c);
		if (io == TLS_CLOSED)
			return READ_END;
		return io == TLS_DONE ? READ_SOME : READ_NOTHING;
	}
	ssize_t n;
	do
		n = recv(c->fd.fd, to, PROTOCOL_READ_BYTES_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return READ_END;
	if (n < 0) {
		if (errno != EAGAIN)
			die(c);
		return READ_NOTHING;
	}
	*ret_n = (size_t)n;
	return READ_SOME;
}

static void start_protocol(struct conn *c, bool http2)
{
	enum err err = http2 ? h2_new(&c->ph, &c->protocol) : h1_new(&c->ph, &c->protocol);
	if (err) {
		die(c);
		return;
	}
	c->state = CONN_OPEN;
	c->phase_ns = PROTOCOL_NEVER;
}

/* The first byte that differs from the preface of HTTP/2 decides. Over TLS, ALPN has decided. */
static void detect(struct conn *c, struct bytes in)
{
	const size_t before = c->first_bytes_len;
	const size_t n = MIN(in.len, sizeof(c->first_bytes) - before);

	memcpy(c->first_bytes + before, in.data, n);
	c->first_bytes_len += n;
	bool same = memcmp(c->first_bytes, H2_PREFACE, c->first_bytes_len) == 0;
	if (same && c->first_bytes_len < sizeof(c->first_bytes))
		return;
	start_protocol(c, same);
	if (c->state != CONN_OPEN)
		return;
	/* What was kept is a part of the preface, so no request of HTTP/1.1 ends in it. */
	if (before > 0)
		protocol_receive(c->protocol,
				 (struct bytes){ .data = c->first_bytes, .len = before });
	protocol_receive(c->protocol, in);
}

static void receive(struct conn *c, struct bytes in)
{
	switch (c->state) {
	case CONN_DETECT:
		detect(c, in);
		break;
	case CONN_OPEN:
		protocol_receive(c->protocol, in);
		break;
	case CONN_LINGER:
		c->lingered += in.len;
		if (c->lingered > c->host->limits->linger_bytes_max)
			die(c);
		break;
	case CONN_PROXY:
	case CONN_HANDSHAKE:
	case CONN_DEAD:
		break;
	}
}

static bool wants_read(const struct conn *c)
{
	if (c->client_ended || c->state == CONN_DEAD)
		return false;
	return c->state != CONN_OPEN || protocol_wants_read(c->protocol);
}

/* The client sends no more: it has gone, unless a reply to it is under way. */
static void on_client_end(struct conn *c)
{
	c->client_ended = true;
	if (c->state != CONN_OPEN || !protocol_end(c->protocol))
		if (!is_pending(c) || c->state != CONN_OPEN)
			die(c);
}

static void read_all(struct conn *c)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		size_t n;
		if (!wants_read(c)) {
			c->paused = true;
			return;
		}
		enum read_result result = read_some(c, &n);
		if (result == READ_END) {
			on_client_end(c);
			return;
		}
		if (result == READ_NOTHING || c->state == CONN_DEAD)
			return;
		receive(c, (struct bytes){ .data = c->host->scratch, .len = n });
		/* A short read has emptied the socket; TLS says so by itself. */
		if (!c->tls && n < PROTOCOL_READ_BYTES_MAX)
			return;
	}
	c->more = true;
}

/* --- states --------------------------------------------------------------------------------- */

static void begin(struct conn *c)
{
	const struct conn_limits *l = c->host->limits;

	c->state = c->tls ? CONN_HANDSHAKE : CONN_DETECT;
	c->phase_ns = after(c, c->tls ? l->handshake_ms : l->preface_ms);
}

static void refuse_proxy(struct conn *c)
{
	count_refused("proxy_protocol");
	die(c);
}

/* Takes so many bytes, which are there. */
static bool take_bytes(struct conn *c, size_t n)
{
	ssize_t taken;

	do
		taken = recv(c->fd.fd, c->proxy + c->proxy_len, n, 0);
	while (taken < 0 && errno == EINTR);
	c->proxy_len += n;
	return taken == (ssize_t)n;
}

/* What comes behind the header is TLS's, so it is looked at first and only what belongs to the header is taken. */
static void read_proxy(struct conn *c)
{
	const size_t before = c->proxy_len;
	size_t len = 0;
	ssize_t n;

	do
		n = recv(c->fd.fd, c->proxy + before, FORWARDED_PROXY_BYTES_MAX - before, MSG_PEEK);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		die(c);
		return;
	}
	const struct bytes in = { .data = c->proxy, .len = before + (size_t)n };
	switch (forwarded_read_proxy(in, &len, &c->ph.client)) {
	case PROXY_MORE:
		/* All of it belongs to the header, which is complete when the buffer is full, or bad. */
		if (!take_bytes(c, (size_t)n))
			die(c);
		return;
	case PROXY_DONE:
		break;
	case PROXY_BAD:
		refuse_proxy(c);
		return;
	}
	if (!take_bytes(c, len - before)) {
		die(c);
		return;
	}
	free(TAKE(c->proxy));
	begin(c);
}

/* Who knocks at the peers' door and is none is told to the operator, but not more often than the
 * log can bear. */
static void refuse_peer(struct conn *c, struct str name, const char *reason)
{
	struct conn_host *h = c->host;
	char address[INET6_ADDRSTRLEN] = "unknown";

	count_refused("peer");
	die(c);
	if (h->warned_ns != 0 && now(c) - h->warned_ns < PEER_WARN_NS)
		return;
	h->warned_ns = now(c);
	if (getnameinfo((const struct sockaddr *)&c->ph.client, sizeof(c->ph.client), address,
			sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
		address[0] = '\0';
	log_warn("peer connection refused name=\"%.*s\" address=%s reason=\"%s\"", STR_FMT(name),
		 address, reason);
}

/* Between regions only HTTP/2 is spoken, and only with regions of the fleet. */
static bool check_peer(struct conn *c, bool http2)
{
	const struct conn_host *h = c->host;
	struct str name = tls_peer_name(c->tls);

	if (!http2)
		refuse_peer(c, name, "it does not speak HTTP/2");
	else if (h->knows_peer && !h->knows_peer(h->knows_peer_ctx, name))
		refuse_peer(c, name, "its certificate names no region of this fleet");
	return c->state != CONN_DEAD;
}

static void handshake(struct conn *c)
{
	enum tls_io io = tls_handshake(c->tls);

	c->tls_wants_write = io == TLS_WANTS_WRITE;
	if (io == TLS_CLOSED || io == TLS_FAILED) {
		if (c->host->peer && io == TLS_FAILED)
			refuse_peer(c, (struct str){ .data = "" }, tls_why(c->tls));
		else
			count_refused("handshake");
		die(c);
	}
	if (io != TLS_DONE)
		return;
	struct str alpn = tls_alpn(c->tls);
	c->ph.peer_region = c->host->peer ? tls_peer_name(c->tls) : (struct str){ 0 };
	/* HTTP/2 needs ALPN (RFC 9113, section 3.2); without it the bytes are HTTP/1.1 or nothing. */
	bool http2 = alpn.len == 2 && memcmp(alpn.data, "h2", 2) == 0;
	if (!c->host->peer || check_peer(c, http2))
		start_protocol(c, http2);
}

/* All is said. The client may still be sending: were the socket closed now, the kernel would
 * answer that with a reset, and the last reply could be lost with it. */
static void linger(struct conn *c)
{
	const struct conn_limits *l = c->host->limits;
	bool drained = c->drain_ns != PROTOCOL_NEVER;

	c->state = CONN_LINGER;
	c->phase_ns = after(c, drained ? l->drain_linger_ms : l->linger_ms);
	protocol_free(c->protocol);
	c->protocol = NULL;
}

static void tell_end(struct conn *c)
{
	if (c->told || is_pending(c))
		return;
	c->told = true;
	if (c->tls && tls_shutdown(c->tls) == TLS_FAILED) {
		die(c);
		return;
	}
	(void)shutdown(c->fd.fd,
		       SHUT_WR); /* fails only when the client has gone, which the next read says */
	if (c->client_ended)
		die(c);
}

static void watch(struct conn *c)
{
	uint32_t events = 0;

	if (wants_read(c) || c->state == CONN_HANDSHAKE || c->state == CONN_PROXY)
		events |= EPOLLIN;
	if (is_pending(c) || c->tls_wants_write)
		events |= EPOLLOUT;
	if (events == c->events)
		return;
	c->events = events;
	if (loop_change(c->host->loop, &c->fd, events))
		die(c);
}

/* Starts the timer unless it fires before that anyway; whoever fires early looks again. */
static void arm(struct conn *c, uint64_t due_ns)
{
	if (due_ns == PROTOCOL_NEVER || (c->timer.heap_index && c->timer.due_ns <= due_ns))
		return;
	uint64_t now_ns = now(c);
	uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	loop_timer_start(c->host->loop, &c->timer, (left_ns + 999999) / 1000000);
}

static uint64_t due(const struct conn *c)
{
	uint64_t due_ns = MIN(c->phase_ns, c->drain_ns);

	if (c->state == CONN_OPEN)
		due_ns = MIN(due_ns, MIN(c->protocol_ns, c->age_ns));
	if (is_pending(c))
		due_ns = MIN(due_ns, c->write_ns + protocol_ns(c->host->limits->reply_stall_ms));
	return due_ns;
}

/* What every entry ends with: output, interest, timers, and the end. */
static void settle(struct conn *c)
{
	if (c->state == CONN_OPEN || is_pending(c))
		flush(c);
	if (c->state == CONN_OPEN && protocol_finished(c->protocol) && !is_pending(c))
		linger(c);
	if (c->state == CONN_LINGER)
		tell_end(c);
	if (c->state != CONN_DEAD && c->client_ended && !is_pending(c) &&
	    (c->state != CONN_OPEN || !protocol_end(c->protocol)))
		die(c);
	if (c->state != CONN_DEAD)
		watch(c);
	if (c->state == CONN_DEAD) {
		struct conn_host *h = c->host;
		conn_free(c);
		if (h->on_closed)
			h->on_closed(h);
		return;
	}
	/* The loop sees the socket, not what TLS has read ahead. */
	if (c->paused && wants_read(c)) {
		c->paused = false;
		c->more |= c->tls != NULL;
	}
	if (c->more && !c->flush_timer.heap_index)
		loop_timer_start(c->host->loop, &c->flush_timer, 0);
	arm(c, due(c));
	c->in_call = false;
}

static void advance(struct conn *c)
{
	c->more = false;
	c->in_call = true;
	if (c->state == CONN_PROXY)
		read_proxy(c);
	if (c->state == CONN_HANDSHAKE)
		handshake(c);
	if (c->state != CONN_DEAD && c->state != CONN_HANDSHAKE && c->state != CONN_PROXY)
		read_all(c);
	if (c->state == CONN_OPEN)
		c->protocol_ns = MIN(c->protocol_ns, after(c, CHECK_MS));
	settle(c);
}

static void on_event(struct loop_fd *f, uint32_t events)
{
	struct conn *c = CONTAINER_OF(f, struct conn, fd);

	/* Both directions are closed, or broken: nobody is left. */
	if (events & (EPOLLERR | EPOLLHUP)) {
		die(c);
		settle(c);
		return;
	}
	advance(c);
}

static void on_flush(struct loop_timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, flush_timer);

	if (c->more) {
		advance(c);
		return;
	}
	if (c->state == CONN_OPEN)
		c->protocol_ns = MIN(c->protocol_ns, after(c, CHECK_MS));
	settle(c);
}

static void on_output(struct protocol_host *ph)
{
	struct conn *c = CONTAINER_OF(ph, struct conn, ph);

	if (!c->in_call && !c->flush_timer.heap_index)
		loop_timer_start(c->host->loop, &c->flush_timer, 0);
}

static void start_drain(struct conn *c, uint32_t drain_ms)
{
	if (c->drain_ns != PROTOCOL_NEVER)
		return;
	c->drain_ns = after(c, drain_ms);
	c->age_ns = PROTOCOL_NEVER;
	if (c->state == CONN_OPEN) {
		protocol_drain(c->protocol);
		c->protocol_ns = now(c);
	} else if (c->state != CONN_LINGER) {
		die(c);
	}
}

/* Nothing moves out, though there is something: the client does not read. */
static bool is_stalled(const struct conn *c)
{
	return is_pending(c) &&
	       now(c) >= c->write_ns + protocol_ns(c->host->limits->reply_stall_ms);
}

static void on_timer(struct loop_timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);
	uint64_t now_ns = now(c);

	c->in_call = true;
	if (now_ns >= c->phase_ns || now_ns >= c->drain_ns || is_stalled(c)) {
		if (c->state != CONN_LINGER)
			count_refused(c->state == CONN_HANDSHAKE ? "handshake" : "slow");
		die(c);
	}
	if (c->state == CONN_OPEN && now_ns >= c->age_ns)
		start_drain(c, c->host->limits->drain_ms);
	if (c->state == CONN_OPEN && now_ns >= c->protocol_ns)
		c->protocol_ns = protocol_check_time(c->protocol, now_ns);
	settle(c);
}

/* --- opening -------------------------------------------------------------------------------- */

static struct conn *conn_new(struct conn_host *h, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		(void)close(fd);
		return NULL;
	}
	c->host = h;
	c->fd = (struct loop_fd){ .fd = fd, .on_event = on_event };
	c->timer.on_fire = on_timer;
	c->flush_timer.on_fire = on_flush;
	buf_init(&c->pending, h->out.max);
	c->phase_ns = c->protocol_ns = c->age_ns = c->drain_ns = PROTOCOL_NEVER;
	c->write_ns = now(c);
	c->next = h->first;
	if (h->first)
		h->first->prev = c;
	h->first = c;
	h->count++;
	c->events = EPOLLIN;
	if (loop_add(h->loop, &c->fd, c->events)) {
		conn_free(c);
		return NULL;
	}
	return c;
}

/* age_ms, ten percent more or less. Without randomness all may go at once, which is no error. */
static uint64_t age(const struct conn *c)
{
	uint64_t age_ms = c->host->limits->age_ms;
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = 0;
	uint64_t spread_ms = age_ms * AGE_SPREAD / 100;
	age_ms += spread_ms > 0 ? random % (2 * spread_ms) : 0;
	return now(c) + (age_ms - spread_ms) * 1000000;
}

/* Fails harmlessly on UNIX sockets. Replies are written whole, so there is nothing to wait for;
 * and a client that vanished without a word should not be kept for the kernel's quarter of an
 * hour. */
static void set_socket_options(const struct conn *c)
{
	int one = 1;
	unsigned timeout_ms = c->host->limits->reply_stall_ms;

	(void)setsockopt(c->fd.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(c->fd.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

enum err conn_open(struct conn_host *h, int fd, const struct sockaddr_storage *client,
		   struct tls_context *tls)
{
	if (h->proxies && !forwarded_is_trusted(h->proxies, (const struct sockaddr *)client)) {
		count_refused("proxy_protocol");
		(void)close(fd);
		return ERR_NONE;
	}
	struct conn *c = conn_new(h, fd);
	if (!c)
		return ERR_NO_MEMORY;
	c->proxy = h->proxies ? malloc(FORWARDED_PROXY_BYTES_MAX) : NULL;
	if ((h->proxies && !c->proxy) || (tls && tls_new(tls, fd, &c->tls))) {
		conn_free(c);
		return ERR_NO_MEMORY;
	}
	set_socket_options(c);
	c->counted = true;
	atomic_fetch_add(&h->shared->connections, 1);
	metric_add(METRIC_isthmus_connections, 1);
	metric_add(METRIC_isthmus_connections_total, 1);
	c->ph = (struct protocol_host){
		.loop = h->loop,
		.limits = h->limits,
		.budget = &h->shared->budget,
		.serve = h->serve,
		.serve_ctx = h->serve_ctx,
		.tls = tls != NULL,
		.peer = tls && h->peer,
		.client = *client,
		.on_output = on_output,
	};
	begin(c);
	if (h->proxies) {
		c->state = CONN_PROXY;
		c->phase_ns = after(c, h->limits->proxy_ms);
	}
	c->age_ns = age(c);
	arm(c, due(c));
	return ERR_NONE;
}

void conn_refuse(struct conn_host *h, int fd)
{
	struct conn *c = conn_new(h, fd);
	if (!c)
		return;
	c->refusing = true;
	h->refusing++;
	h1_write_refusal(REFUSAL_CONNECTIONS, &c->pending);
	linger(c);
	settle(c);
}

void conn_drain_all(struct conn_host *h, uint32_t drain_ms)
{
	for (struct conn *c = h->first, *next; c; c = next) {
		next = c->next;
		start_drain(c, drain_ms);
		settle(c);
	}
}

/* --- the host ------------------------------------------------------------------------------- */

void conn_shared_init(struct conn_shared *s, const struct conn_limits *limits)
{
	*s = (struct conn_shared){ .budget.max = limits->total_body_bytes_max };
}

enum err conn_host_init(struct conn_host *h, struct loop *loop, const struct conn_limits *limits)
{
	*h = (struct conn_host){ .loop = loop, .limits = limits };
	buf_init(&h->out, limits->write_bytes_max + OUT_SLACK);
	h->scratch = malloc(PROTOCOL_READ_BYTES_MAX);
	return h->scratch ? ERR_NONE : ERR_NO_MEMORY;
}

void conn_host_release(struct conn_host *h)
{
	while (h->first)
		conn_free(h->first);
	buf_release(&h->out);
	free(h->scratch);
	h->scratch = NULL;
}
