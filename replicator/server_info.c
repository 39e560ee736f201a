/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INFO line of a nats-server. Thread: whoever may block for as long as it is allowed to take.
 * https://docs.nats.io/reference/reference-protocols/nats-protocol#info
 */
#include "replicator/server_info.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#define INFO_BYTES_MAX 8192
#define ARENA_BYTES_MAX 4096
#define DEFAULT_PORT "4222"
#define NS_PER_MS 1000000u

enum err server_address(const char *url, char out[SERVER_ADDRESS_MAX])
{
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	size_t len = strcspn(host, "/?");
	const char *at = memrchr(host, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	const char *bracket = memrchr(host, ']', len);
	const char *after_host = bracket ? bracket : host;
	bool has_port = memchr(after_host, ':', len - (size_t)(after_host - host)) != NULL;
	if (len == 0 || len + sizeof(":" DEFAULT_PORT) > SERVER_ADDRESS_MAX)
		return ERR_BAD_INPUT;
	snprintf(out, SERVER_ADDRESS_MAX, "%.*s%s", (int)len, host,
		 has_port ? "" : ":" DEFAULT_PORT);
	return ERR_NONE;
}

enum err server_version_parse(struct str line, char out[SERVER_VERSION_MAX])
{
	if (line.len < 5 || memcmp(line.data, "INFO ", 5) != 0)
		return ERR_BAD_REQUEST;
	struct str json = { .data = line.data + 5, .len = line.len - 5 };
	CLEANUP(arena_release) struct arena arena;
	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	struct str key, version = { 0 };

	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (key.len == 7 && memcmp(key.data, "version", 7) == 0)
				version = json_string(&r);
			else
				json_skip(&r);
		}
	if (json_end(&r, NULL) || version.len == 0 || version.len >= SERVER_VERSION_MAX)
		return ERR_BAD_REQUEST;
	memcpy(out, version.data, version.len);
	out[version.len] = '\0';
	return ERR_NONE;
}

/* Waits until fd is ready or the deadline has passed. */
static enum err wait_for(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = clock_mono_ns(clock_system());
		if (now >= deadline_ns)
			return ERR_TIMEOUT;
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
		if (n > 0)
			return ERR_NONE;
		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
	}
}

static enum err connect_to(int fd, const struct addrinfo *a, uint64_t deadline_ns)
{
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return ERR_NONE;
	if (errno != EINPROGRESS)
		return ERR_UNAVAILABLE;
	enum err e = wait_for(fd, POLLOUT, deadline_ns);
	if (e)
		return e;
	int problem = 0;
	socklen_t len = sizeof(problem);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) != 0 || problem != 0)
		return ERR_UNAVAILABLE;
	return ERR_NONE;
}

/* Reads up to the end of the first line, which is not part of it. */
static enum err read_line(int fd, uint64_t deadline_ns, char *line, size_t *ret_len)
{
	size_t len = 0;

	for (;;) {
		enum err e = wait_for(fd, POLLIN, deadline_ns);
		if (e)
			return e;
		ssize_t n = read(fd, line + len, INFO_BYTES_MAX - len);
		if (n <= 0 && !(n < 0 && (errno == EINTR || errno == EAGAIN)))
			return ERR_UNAVAILABLE;
		len += n > 0 ? (size_t)n : 0;
		const char *end = memchr(line, '\r', len);
		if (end) {
			*ret_len = (size_t)(end - line);
			return ERR_NONE;
		}
		if (len == INFO_BYTES_MAX)
			return ERR_TOO_LARGE;
	}
}

static enum err ask(const struct addrinfo *a, uint64_t deadline_ns, char out[SERVER_VERSION_MAX])
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_errno(errno);
	char line[INFO_BYTES_MAX];
	size_t len = 0;
	enum err e = connect_to(fd, a, deadline_ns);
	if (!e)
		e = read_line(fd, deadline_ns, line, &len);
	close(fd);
	return e ? e : server_version_parse((struct str){ .data = line, .len = len }, out);
}

enum err server_version(const char *address, uint64_t timeout_ms, char out[SERVER_VERSION_MAX])
{
	char host[SERVER_ADDRESS_MAX];
	const char *colon = strrchr(address, ':');
	if (!colon || strlen(address) >= SERVER_ADDRESS_MAX)
		return ERR_BAD_INPUT;
	const char *start = address;
	size_t len = (size_t)(colon - address);
	if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
		start++;
		len -= 2;
	}
	memcpy(host, start, len);
	host[len] = '\0';

	uint64_t deadline_ns = clock_mono_ns(clock_system()) + timeout_ms * NS_PER_MS;
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return ERR_UNAVAILABLE;
	enum err e = ERR_UNAVAILABLE;
	for (const struct addrinfo *a = found; e && a; a = a->ai_next)
		e = ask(a, deadline_ns, out);
	freeaddrinfo(found);
	return e;
}
