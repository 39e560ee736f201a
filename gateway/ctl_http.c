/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 client: it sends content-length, and reads replies with content-length, in chunks, or up to the
 * end of the connection.
 */
#include "gateway/ctl_http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gateway/message_words.h"

#define HOST_BYTES_MAX 256
#define READ_BYTES ((size_t)64 << 10)
#define PORT_DEFAULT "6333"

struct ctl_http {
	char host[HOST_BYTES_MAX]; /* empty: a UNIX socket */
	char port[8];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char shown[HOST_BYTES_MAX + 64];
	char *key;
	char at[CTL_HTTP_REGION_MAX + 1]; /* the region that requests are for; empty: whoever is asked */
	void (*wait)(uint64_t ms);
	int fd;         /* -1: not connected */
	struct buf out; /* the request */
	struct buf in;  /* bytes of the reply that are not yet passed on */
	struct ctl_http_reply reply;
};

/* --- where to --- */

static bool parse_host_port(const char *text, struct ctl_http *h)
{
	size_t len = strcspn(text, "/?#");
	const char *end = text + len;
	size_t host_len = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":/?#");

	if (strcmp(end, "/") != 0 && *end != '\0')
		return false;
	if (host_len == 0 || host_len > len || host_len >= sizeof(h->host))
		return false;
	const char *colon = text + host_len;
	if (colon < end && *colon != ':')
		return false;
	size_t port_len = colon < end ? (size_t)(end - colon) - 1 : 0;
	if (port_len > 5 || strspn(colon + (colon < end), "0123456789") < port_len)
		return false;
	bool bracketed = text[0] == '[';
	(void)snprintf(h->host, sizeof(h->host), "%.*s", (int)host_len - 2 * bracketed,
		       text + bracketed);
	(void)snprintf(h->port, sizeof(h->port), "%.*s",
		       port_len ? (int)port_len : (int)sizeof(PORT_DEFAULT),
		       port_len ? colon + 1 : PORT_DEFAULT);
	(void)snprintf(h->shown, sizeof(h->shown), "%.*s:%s", (int)host_len, text, h->port);
	return h->host[0] != '\0';
}

static enum err parse_url(const char *url, struct ctl_http *h, struct fault *reterr_fault)
{
	static const char http[] = "http://";
	static const char unix_path[] = "unix:";

	if (strncmp(url, "https://", 8) == 0)
		return fault_set(
			reterr_fault, ERR_BAD_INPUT,
			"%s: TLS is not spoken here; use the daemon's UNIX socket, or http:// over a tunnel",
			url);
	if (strncmp(url, unix_path, strlen(unix_path)) == 0) {
		const char *path = url + strlen(unix_path);
		if (*path == '\0' || strlen(path) >= sizeof(h->path))
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "%s: the path of a socket has 1 to %zu bytes", url,
					 sizeof(h->path) - 1);
		memcpy(h->path, path, strlen(path) + 1);
		(void)snprintf(h->shown, sizeof(h->shown), "%s", path);
		return ERR_NONE;
	}
	if (strncmp(url, http, strlen(http)) != 0 || !parse_host_port(url + strlen(http), h))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "%s: is no address such as http://127.0.0.1:6333", url);
	return ERR_NONE;
}

static void sleep_ms(uint64_t ms)
{
	struct timespec left = { .tv_sec = (time_t)(ms / 1000),
				 .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}

/* A key is one line: what could end the header is refused. */
static enum err set_key(struct ctl_http *h, struct str key, struct fault *reterr_fault)
{
	if (!key.data)
		return ERR_NONE;
	for (size_t i = 0; i < key.len; i++)
		if ((unsigned char)key.data[i] < 0x20 || key.data[i] == 0x7F)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "the API key has control characters");
	h->key = str_dup(key);
	return h->key ? ERR_NONE
		      : fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
}

enum err ctl_http_new(const struct ctl_http_options *o, struct ctl_http **ret_http,
		      struct fault *reterr_fault)
{
	struct ctl_http *h = calloc(1, sizeof(*h));
	if (!h)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	h->fd = -1;
	h->wait = o->wait ? o->wait : sleep_ms;
	buf_init(&h->out, CTL_HTTP_BODY_BYTES_MAX + CTL_HTTP_HEAD_BYTES_MAX);
	buf_init(&h->in, CTL_HTTP_BODY_BYTES_MAX + CTL_HTTP_HEAD_BYTES_MAX);
	buf_init(&h->reply.body, CTL_HTTP_BODY_BYTES_MAX);
	enum err err = parse_url(o->url, h, reterr_fault);
	if (!err)
		err = set_key(h, o->key, reterr_fault);
	if (err) {
		ctl_http_free(h);
		return err;
	}
	*ret_http = h;
	return ERR_NONE;
}

static void disconnect(struct ctl_http *h)
{
	if (h->fd >= 0)
		(void)close(h->fd);
	h->fd = -1;
	buf_reset(&h->in);
}

void ctl_http_free(struct ctl_http *h)
{
	if (!h)
		return;
	disconnect(h);
	if (h->key)
		explicit_bzero(h->key, strlen(h->key));
	free(h->key);
	buf_release(&h->out);
	buf_release(&h->in);
	buf_release(&h->reply.body);
	free(h);
}

enum err ctl_http_again(const struct ctl_http *h, const char *url, struct ctl_http **ret_http, struct fault *reterr_fault)
{
	const struct ctl_http_options o = { .url = url ? url : "http://127.0.0.1",
					    .key = { h->key, h->key ? strlen(h->key) : 0 },
					    .wait = h->wait };
	struct ctl_http *made;
	enum err err = ctl_http_new(&o, &made, reterr_fault);

	if (err)
		return err;
	if (!url) {
		memcpy(made->host, h->host, sizeof(made->host));
		memcpy(made->port, h->port, sizeof(made->port));
		memcpy(made->path, h->path, sizeof(made->path));
		memcpy(made->shown, h->shown, sizeof(made->shown));
	}
	*ret_http = made;
	return ERR_NONE;
}

enum err ctl_http_at(struct ctl_http *h, const char *region, struct fault *reterr_fault)
{
	size_t len = strlen(region);

	/* It becomes a header. */
	if (len > CTL_HTTP_REGION_MAX || region[strcspn(region, "\r\n\t ")] != '\0')
		return fault_set(reterr_fault, ERR_BAD_INPUT, "that is no name of a region");
	memcpy(h->at, region, len + 1);
	return ERR_NONE;
}

/* --- bytes --- */

static enum err nobody(const struct ctl_http *h, const char *why, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_UNAVAILABLE, "%s: %s", h->shown, why);
}

static bool try_connect(struct ctl_http *h, int family, const struct sockaddr *address,
			socklen_t len)
{
	const struct timeval patience = { .tv_sec = CTL_HTTP_WAIT_S };
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, address, len) == 0) {
		if (family != AF_UNIX)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		h->fd = fd;
		return true;
	}
	int errnum = errno;
	(void)close(fd);
	errno = errnum;
	return false;
}

static enum err connect_unix(struct ctl_http *h, struct fault *reterr_fault)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, h->path, sizeof(address.sun_path));
	if (try_connect(h, AF_UNIX, (const struct sockaddr *)&address, sizeof(address)))
		return ERR_NONE;
	return nobody(h,
		      errno == ENOENT || errno == ECONNREFUSED ? "no daemon listens there"
							       : strerror(errno),
		      reterr_fault);
}

static enum err connect_tcp(struct ctl_http *h, struct fault *reterr_fault)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int status = getaddrinfo(h->host, h->port, &hints, &found);

	if (status != 0)
		return nobody(h, gai_strerror(status), reterr_fault);
	for (const struct addrinfo *a = found; a && h->fd < 0; a = a->ai_next)
		(void)try_connect(h, a->ai_family, a->ai_addr, a->ai_addrlen);
	int errnum = errno;
	freeaddrinfo(found);
	if (h->fd >= 0)
		return ERR_NONE;
	return nobody(h, errnum == ECONNREFUSED ? "no daemon listens there" : strerror(errnum),
		      reterr_fault);
}

/* False when the connection is gone; errno says why. */
static bool send_all(struct ctl_http *h)
{
	for (size_t sent = 0; sent < h->out.len;) {
		ssize_t n = send(h->fd, h->out.data + sent, h->out.len - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return false;
		sent += n > 0 ? (size_t)n : 0;
	}
	return true;
}

enum more { MORE_BYTES, MORE_NONE, MORE_FAILED };

static enum more read_more(struct ctl_http *h)
{
	uint8_t *room = buf_reserve(&h->in, READ_BYTES);
	ssize_t n;

	if (!room) {
		errno = EMSGSIZE;
		return MORE_FAILED;
	}
	do
		n = recv(h->fd, room, READ_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return MORE_FAILED;
	buf_commit(&h->in, (size_t)n);
	return n > 0 ? MORE_BYTES : MORE_NONE;
}

static const char *why_failed(enum more more)
{
	if (more == MORE_NONE)
		return "the connection was closed in the middle of a reply";
	return errno == EAGAIN ? "no answer in time" : strerror(errno);
}

/* --- the reply --- */

struct head {
	bool has_length;
	uint64_t length;
	bool chunked;
};

static bool name_is(struct str name, const char *text)
{
	return name.len == strlen(text) && strncasecmp(name.data, text, name.len) == 0;
}

static struct str trim(struct str s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
		s = (struct str){ s.data + 1, s.len - 1 };
	while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Digits of base 10 or 16, not too many. */
static bool parse_number(struct str s, unsigned base, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (s.len == 0 || s.len > 15)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
				 : (c | 32) >= 'a' && (c | 32) <= 'f'
					 ? (unsigned)((c | 32) - 'a') + 10
					 : 16;
		if (digit >= base)
			return false;
		number = number * base + digit;
	}
	*ret_number = number;
	return true;
}

static bool take_field(struct ctl_http_reply *r, struct head *head, struct str line)
{
	const char *colon = memchr(line.data, ':', line.len);
	uint64_t number;

	if (!colon)
		return false;
	struct str name = { .data = line.data, .len = (size_t)(colon - line.data) };
	struct str value = trim((struct str){ .data = colon + 1, .len = line.len - name.len - 1 });
	if (name_is(name, "content-length")) {
		head->has_length = true;
		return parse_number(value, 10, &head->length);
	}
	if (name_is(name, "transfer-encoding"))
		head->chunked = name_is(value, "chunked");
	if (name_is(name, "connection") && name_is(value, "close"))
		r->keep_alive = false;
	if (name_is(name, "retry-after") && parse_number(value, 10, &number))
		r->retry_after_s = (uint32_t)MIN(number, UINT32_MAX);
	return true;
}

/* The line at the beginning of in, without its end; false when there is no whole one. */
static bool peek_line(const struct buf *in, size_t from, struct str *ret_line, size_t *ret_after)
{
	const uint8_t *begin = in->data + from;
	const uint8_t *end = in->len > from ? memchr(begin, '\n', in->len - from) : NULL;

	if (!end)
		return false;
	*ret_after = (size_t)(end - in->data) + 1;
	size_t len = (size_t)(end - begin);
	if (len > 0 && begin[len - 1] == '\r')
		len--;
	*ret_line = (struct str){ .data = (const char *)begin, .len = len };
	return true;
}

static bool parse_status(struct str line, struct ctl_http_reply *r)
{
	uint64_t status;

	if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[8] != ' ' ||
	    !parse_number((struct str){ line.data + 9, 3 }, 10, &status))
		return false;
	r->status = (int)status;
	r->keep_alive = line.data[7] == '1';
	return true;
}

enum parsed { PARSED, PARSED_PART, PARSED_BAD };

/* A whole head at the beginning of in is taken from it. */
static enum parsed parse_head(struct ctl_http *h, struct head *head)
{
	struct ctl_http_reply *r = &h->reply;
	struct str line;
	size_t at = 0;

	*head = (struct head){ 0 };
	r->retry_after_s = 0;
	if (!peek_line(&h->in, 0, &line, &at))
		return h->in.len > CTL_HTTP_HEAD_BYTES_MAX ? PARSED_BAD : PARSED_PART;
	if (!parse_status(line, r))
		return PARSED_BAD;
	while (peek_line(&h->in, at, &line, &at)) {
		if (line.len == 0) {
			buf_consume(&h->in, at);
			return PARSED;
		}
		if (!take_field(r, head, line))
			return PARSED_BAD;
	}
	return h->in.len > CTL_HTTP_HEAD_BYTES_MAX ? PARSED_BAD : PARSED_PART;
}

static enum err read_exactly(struct ctl_http *h, uint64_t length, struct fault *reterr_fault)
{
	while (h->in.len < length) {
		enum more more = read_more(h);
		if (more != MORE_BYTES)
			return nobody(h, why_failed(more), reterr_fault);
	}
	enum err err = buf_append(&h->reply.body, h->in.data, length);
	if (err)
		return nobody(h, "the reply is too large", reterr_fault);
	buf_consume(&h->in, length);
	return ERR_NONE;
}

static enum err read_line(struct ctl_http *h, struct str *ret_line, size_t *ret_after,
			  struct fault *reterr_fault)
{
	while (!peek_line(&h->in, 0, ret_line, ret_after)) {
		enum more more = h->in.len > CTL_HTTP_HEAD_BYTES_MAX ? MORE_FAILED : read_more(h);
		if (more != MORE_BYTES)
			return nobody(h, why_failed(more), reterr_fault);
	}
	return ERR_NONE;
}

/* RFC 9112, 7.1; extensions and trailers are passed over. */
static enum err read_chunks(struct ctl_http *h, struct fault *reterr_fault)
{
	for (uint64_t size = 1; size > 0;) {
		struct str line;
		size_t after;
		enum err err = read_line(h, &line, &after, reterr_fault);
		if (err)
			return err;
		const char *extension = memchr(line.data, ';', line.len);
		if (extension)
			line.len = (size_t)(extension - line.data);
		if (!parse_number(trim(line), 16, &size))
			return nobody(h, "a chunk of the reply is malformed", reterr_fault);
		buf_consume(&h->in, after);
		if (size > 0)
			err = read_exactly(h, size, reterr_fault);
		/* The end of the chunk's line; after the last chunk, of the trailers. */
		do {
			if (!err)
				err = read_line(h, &line, &after, reterr_fault);
			if (err)
				return err;
			buf_consume(&h->in, after);
		} while (size == 0 && line.len > 0);
	}
	return ERR_NONE;
}

static enum err read_to_end(struct ctl_http *h, struct fault *reterr_fault)
{
	enum more more;

	h->reply.keep_alive = false;
	do
		more = read_more(h);
	while (more == MORE_BYTES);
	if (more == MORE_FAILED)
		return nobody(h, why_failed(more), reterr_fault);
	return read_exactly(h, h->in.len, reterr_fault);
}

/* *ret_stale: the connection ended before it gave anything. */
static enum err read_reply(struct ctl_http *h, bool *ret_stale, struct fault *reterr_fault)
{
	struct head head;
	enum parsed parsed = PARSED_PART;

	buf_reset(&h->reply.body);
	while (parsed == PARSED_PART) {
		enum more more = read_more(h);
		if (more != MORE_BYTES) {
			*ret_stale = h->in.len == 0 && (more == MORE_NONE || errno == ECONNRESET);
			return nobody(h, why_failed(more), reterr_fault);
		}
		parsed = parse_head(h, &head);
		/* 100 Continue and its like announce the reply. */
		while (parsed == PARSED && h->reply.status < 200)
			parsed = parse_head(h, &head);
	}
	if (parsed == PARSED_BAD)
		return nobody(h, "the answer is not HTTP/1.1", reterr_fault);
	if (head.chunked)
		return read_chunks(h, reterr_fault);
	if (head.has_length)
		return read_exactly(h, head.length, reterr_fault);
	return h->reply.status == 204 ? ERR_NONE : read_to_end(h, reterr_fault);
}

/* --- requests --- */

static enum err write_request(struct ctl_http *h, const char *verb, const char *target,
			      struct str body, struct fault *reterr_fault)
{
	bool local = h->host[0] == '\0';

	buf_reset(&h->out);
	(void)buf_printf(&h->out, "%s %s HTTP/1.1\r\nhost: %s\r\nuser-agent: isthmusctl\r\n", verb,
			 target, local ? "localhost" : h->shown);
	if (h->key)
		(void)buf_printf(&h->out, "api-key: %s\r\n", h->key);
	if (h->at[0])
		(void)buf_printf(&h->out, "isthmus-at: %s\r\n", h->at);
	if (body.data)
		(void)buf_printf(&h->out,
				 "content-type: application/json\r\ncontent-length: %zu\r\n",
				 body.len);
	(void)buf_append_cstr(&h->out, "\r\n");
	if (body.data)
		(void)buf_append_str(&h->out, body);
	enum err err = buf_err(&h->out);
	return err ? fault_set(reterr_fault, err, "the request: %s", err_sentence(err)) : ERR_NONE;
}

/* One request on the connection that there is, or a fresh one. A connection that was kept and has been closed
 * meanwhile is no failure: then once more on a fresh one. */
static enum err exchange(struct ctl_http *h, struct fault *reterr_fault)
{
	for (;;) {
		bool kept = h->fd >= 0;
		bool stale = false;
		enum err err = kept         ? ERR_NONE
			       : h->host[0] ? connect_tcp(h, reterr_fault)
					    : connect_unix(h, reterr_fault);
		if (err)
			return err;
		/* Who refuses a request early may have said why before it closed. */
		bool sent = send_all(h);
		int send_errnum = errno;
		err = read_reply(h, &stale, reterr_fault);
		if (err && !sent)
			err = nobody(h, strerror(send_errnum), reterr_fault);
		if (err || !sent || !h->reply.keep_alive)
			disconnect(h);
		if (!err || !kept || !stale)
			return err;
	}
}

enum err ctl_http_call(struct ctl_http *h, const char *verb, const char *target, struct str body,
		       const struct ctl_http_reply **ret_reply, struct fault *reterr_fault)
{
	enum err err = write_request(h, verb, target, body, reterr_fault);

	for (unsigned tries = 0; !err; tries++) {
		err = exchange(h, reterr_fault);
		if (err || h->reply.status != 429 || tries == CTL_HTTP_RETRIES_MAX)
			break;
		h->wait((uint64_t)MAX(MIN(h->reply.retry_after_s, CTL_HTTP_RETRY_S_MAX), 1) * 1000);
	}
	if (err)
		return err;
	*ret_reply = &h->reply;
	return ERR_NONE;
}

void ctl_http_error(const struct ctl_http_reply *r, char out[FAULT_TEXT_MAX])
{
	struct arena arena;

	arena_init(&arena, CTL_HTTP_BODY_BYTES_MAX);
	struct str error = message_words_of_reply(buf_str(&r->body), &arena);
	(void)snprintf(out, FAULT_TEXT_MAX, "%d%s%.*s", r->status, error.len ? ": " : "",
		       (int)MIN(error.len, (size_t)FAULT_TEXT_MAX), error.len ? error.data : "");
	arena_release(&arena);
}

void ctl_http_put_segment(struct buf *target, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
		(void)buf_printf(target, plain ? "%c" : "%%%02X", c);
	}
}
