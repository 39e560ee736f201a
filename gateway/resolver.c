/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread goes over all names that are not numeric: those that were found every FOUND_MS, the others more often.
 */
#include "gateway/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define HOST_BYTES_MAX 256
#define PORT_BYTES_MAX 8
#define FOUND_MS 30000
#define MISSING_MS 1000

struct resolver_name {
	char host[HOST_BYTES_MAX];
	char port[PORT_BYTES_MAX];
	bool numeric;
	/* guarded by the resolver's lock */
	struct sockaddr_storage found[RESOLVER_ADDRESSES_MAX];
	socklen_t found_len[RESOLVER_ADDRESSES_MAX];
	uint32_t found_count;
	int error;               /* of getaddrinfo, while nothing was found */
};

struct resolver {
	struct resolver_name *names;
	uint32_t count;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;    /* guards stop and what struct resolver_name says */
	pthread_cond_t wake;
	bool stop;
};

static bool parse(const char *text, struct resolver_name *p)
{
	const char *colon = strrchr(text, ':');

	if (!colon)
		return false;
	size_t len = (size_t)(colon - text);
	size_t digits = strspn(colon + 1, "0123456789");
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(p->host) || digits == 0 || digits > 5 || colon[1 + digits])
		return false;
	unsigned long port = strtoul(colon + 1, NULL, 10);
	if (port == 0 || port > UINT16_MAX)
		return false;
	memcpy(p->host, text, len);
	memcpy(p->port, colon + 1, digits);
	return true;
}

static void look_up(struct resolver *r, struct resolver_name *p, int flags)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	int error = getaddrinfo(p->host, p->port, &hints, &list);

	(void)pthread_mutex_lock(&r->lock);
	p->error = flags & AI_NUMERICHOST ? 0 : error;
	/* What was found once is kept when the name server fails. */
	if (!error)
		p->found_count = 0;
	for (const struct addrinfo *a = list; a && p->found_count < RESOLVER_ADDRESSES_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(p->found[0]))
			continue;
		memcpy(&p->found[p->found_count], a->ai_addr, a->ai_addrlen);
		p->found_len[p->found_count++] = a->ai_addrlen;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (list)
		freeaddrinfo(list);
}

static void *resolver_main(void *arg)
{
	struct resolver *r = arg;

	(void)pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		bool missing = false;

		for (uint32_t i = 0; i < r->count && !r->stop; i++) {
			struct resolver_name *p = &r->names[i];
			if (p->numeric)
				continue;
			(void)pthread_mutex_unlock(&r->lock);
			look_up(r, p, 0);
			(void)pthread_mutex_lock(&r->lock);
			missing |= p->found_count == 0;
		}
		struct timespec until;
		clock_wait_deadline(missing ? MISSING_MS : FOUND_MS, &until);
		while (!r->stop && pthread_cond_timedwait(&r->wake, &r->lock, &until) == 0)
			;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return NULL;
}

static enum err start(struct resolver *r)
{
	int errnum = pthread_create(&r->thread, NULL, resolver_main, r);

	if (errnum != 0)
		return err_from_errno(errnum);
	(void)pthread_setname_np(r->thread, "resolver");
	r->started = true;
	return ERR_NONE;
}

static void init_lock(struct resolver *r)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum err resolver_new(const char *const *addresses, uint32_t count, struct resolver **ret_resolver,
		      struct fault *reterr_fault)
{
	struct resolver *r = calloc(1, sizeof(*r));
	bool names = false;
	enum err err = ERR_NONE;

	if (!r)
		return ERR_NO_MEMORY;
	init_lock(r);
	r->count = count;
	r->names = calloc(MAX(count, 1u), sizeof(*r->names));
	if (!r->names)
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++) {
		struct resolver_name *p = &r->names[i];
		if (!parse(addresses[i], p))
			err = fault_set(reterr_fault, ERR_CONFIG, "%s: is no address such as host:6335 or [::1]:6335",
					addresses[i]);
		else
			look_up(r, p, AI_NUMERICHOST);
		p->numeric = p->found_count > 0;
		names |= !p->numeric;
	}
	if (!err && names)
		err = start(r);
	if (err) {
		resolver_free(r);
		return err;
	}
	*ret_resolver = r;
	return ERR_NONE;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->stop = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
	if (r->started)
		(void)pthread_join(r->thread, NULL);
	(void)pthread_cond_destroy(&r->wake);
	(void)pthread_mutex_destroy(&r->lock);
	free(r->names);
	free(r);
}

enum err resolver_get(struct resolver *r, uint32_t i, uint32_t attempt, struct sockaddr_storage *ret_address,
		      socklen_t *ret_len, struct fault *reterr_fault)
{
	struct resolver_name *p = &r->names[i];
	enum err err = ERR_NONE;

	(void)pthread_mutex_lock(&r->lock);
	if (p->found_count == 0) {
		err = fault_set(reterr_fault, ERR_UNAVAILABLE, "%s: %s", p->host,
				p->error ? gai_strerror(p->error) : "is being looked up");
	} else {
		uint32_t at = attempt % p->found_count;
		*ret_address = p->found[at];
		*ret_len = p->found_len[at];
	}
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}
