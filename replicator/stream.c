/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of streams and subjects, and what a configuration must keep to. Any thread.
 */
#include "replicator/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* A token of a subject and of a file name on the server: letters of one case, as some file systems
 * know but one. */
bool stream_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");
	return n >= 1 && n <= STREAM_NAME_MAX && name[n] == '\0';
}

/* A JetStream domain is a token too, but its case is free. */
static bool domain_valid(const char *domain)
{
	size_t n =
		strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	return n <= STREAM_NAME_MAX && domain[n] == '\0';
}

static enum err region_check(const char *region, const char *domain, bool domains,
			     struct fault *reterr_fault)
{
	if (!region || !stream_name_valid(region))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "region name \"%s\": 1 to %u of a-z, 0-9, - and _ are allowed",
				 region ? region : "", STREAM_NAME_MAX);
	if (!domain || !domain_valid(domain))
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"JetStream domain \"%s\" of region %s: at most %u letters, digits, - and _ are allowed",
			domain ? domain : "", region, STREAM_NAME_MAX);
	if ((domain[0] != '\0') != domains)
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"region %s: either every region has a JetStream domain, or none has",
			region);
	return ERR_NONE;
}

static enum err differ(const char *region, const char *domain, const struct stream_peer *p,
		       struct fault *reterr_fault)
{
	if (strcmp(region, p->region) == 0)
		return fault_set(reterr_fault, ERR_CONFIG, "region %s is named twice", region);
	if (domain[0] != '\0' && strcmp(domain, p->domain) == 0)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "regions %s and %s have the same JetStream domain %s", region,
				 p->region, domain);
	return ERR_NONE;
}

static enum err config_check(const struct stream_config *c, struct fault *reterr_fault)
{
	if (!c->fleet || !stream_name_valid(c->fleet))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "fleet name \"%s\": 1 to %u of a-z, 0-9, - and _ are allowed",
				 c->fleet ? c->fleet : "", STREAM_NAME_MAX);
	if (c->peer_count > STREAM_PEERS_MAX)
		return fault_set(reterr_fault, ERR_CONFIG, "%u peers are too many; the most are %u",
				 c->peer_count, STREAM_PEERS_MAX);
	bool domains = c->domain && c->domain[0] != '\0';
	enum err e = region_check(c->region, c->domain, domains, reterr_fault);
	for (uint32_t i = 0; !e && i < c->peer_count; i++) {
		const struct stream_peer *p = &c->peers[i];
		e = region_check(p->region, p->domain, domains, reterr_fault);
		if (!e)
			e = differ(c->region, c->domain, p, reterr_fault);
		for (uint32_t k = 0; !e && k < i; k++)
			e = differ(p->region, p->domain, &c->peers[k], reterr_fault);
	}
	return e;
}

static enum err urls_split(struct stream_settings *set, const char *urls,
			   struct fault *reterr_fault)
{
	for (const char *at = urls ? urls : ""; *at;) {
		size_t n = strcspn(at, ",");
		if (n == 0 || n >= STREAM_URL_MAX || set->url_count == STREAM_URLS_MAX)
			return fault_set(
				reterr_fault, ERR_CONFIG,
				"nats urls \"%s\": 1 to %d of at most %d bytes, separated by commas, are allowed",
				urls, STREAM_URLS_MAX, STREAM_URL_MAX - 1);
		memcpy(set->urls[set->url_count++], at, n);
		at += n + (at[n] == ',');
	}
	return ERR_NONE;
}

/* *ret stays NULL for NULL. */
static enum err text_copy(const char *text, char **ret, struct fault *reterr_fault)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? fault_set(reterr_fault, ERR_NO_MEMORY,
					 "no memory for the settings of NATS")
			     : ERR_NONE;
}

enum err stream_settings_copy(struct stream_settings *set, const struct stream_config *c,
			      struct fault *reterr_fault)
{
	*set = (struct stream_settings){ .peer_count = c->peer_count, .events = c->events };
	enum err e = config_check(c, reterr_fault);
	if (!e)
		e = urls_split(set, c->urls, reterr_fault);
	if (e)
		return e;
	snprintf(set->fleet, sizeof(set->fleet), "%s", c->fleet);
	snprintf(set->region, sizeof(set->region), "%s", c->region);
	snprintf(set->domain, sizeof(set->domain), "%s", c->domain);
	for (uint32_t i = 0; i < c->peer_count; i++) {
		snprintf(set->peers[i].region, sizeof(set->peers[i].region), "%s",
			 c->peers[i].region);
		snprintf(set->peers[i].domain, sizeof(set->peers[i].domain), "%s",
			 c->peers[i].domain);
	}
	set->clock = c->clock ? c->clock : clock_system();
	set->ack_wait_ms = c->ack_wait_ms ? c->ack_wait_ms : STREAM_ACK_WAIT_MS_DEFAULT;
	e = text_copy(c->user, &set->user, reterr_fault);
	if (!e)
		e = text_copy(c->password_file, &set->password_file, reterr_fault);
	if (!e)
		e = text_copy(c->credentials_file, &set->credentials_file, reterr_fault);
	if (e)
		stream_settings_release(set);
	return e;
}

void stream_settings_release(struct stream_settings *set)
{
	free(TAKE(set->user));
	free(TAKE(set->password_file));
	free(TAKE(set->credentials_file));
}

const char *stream_settings_domain(const struct stream_settings *set, const char *region)
{
	for (uint32_t i = 0; i < set->peer_count; i++)
		if (strcmp(set->peers[i].region, region) == 0)
			return set->peers[i].domain;
	return NULL;
}

enum err stream_secret_read(const char *path, char out[STREAM_SECRET_MAX],
			    struct fault *reterr_fault)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return fault_set(reterr_fault, ERR_CONFIG, "cannot open %s: %s", path,
				 strerror(errno));
	bool got = fgets(out, STREAM_SECRET_MAX, f) != NULL;
	fclose(f);
	if (!got)
		return fault_set(reterr_fault, ERR_CONFIG, "%s is empty", path);
	out[strcspn(out, "\r\n")] = '\0';
	return ERR_NONE;
}

void stream_subject(const char *prefix, const char *region, const char *fleet, uint16_t scope,
		    char out[STREAM_SUBJECT_MAX])
{
	snprintf(out, STREAM_SUBJECT_MAX, "%s.%s.%s.%u", prefix, region, fleet, scope);
}

/* The next token of a subject, without its dot; empty at the end. */
static struct str token_next(const char **rest)
{
	struct str t = { .data = *rest, .len = strcspn(*rest, ".") };
	*rest += t.len;
	if (**rest == '.')
		(*rest)++;
	return t;
}

static bool token_is(struct str token, const char *text)
{
	return token.len == strlen(text) && memcmp(token.data, text, token.len) == 0;
}

bool stream_subject_parse(const char *subject, const char *prefix, const char *fleet,
			  char ret_region[STREAM_NAME_MAX + 1], uint16_t *ret_scope)
{
	const char *rest = subject;

	if (!token_is(token_next(&rest), prefix))
		return false;
	struct str region = token_next(&rest);
	if (region.len == 0 || region.len > STREAM_NAME_MAX || !token_is(token_next(&rest), fleet))
		return false;

	struct str digits = token_next(&rest);
	if (digits.len == 0 || digits.len > 5 || *rest != '\0')
		return false;
	unsigned scope = 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return false;
		scope = scope * 10 + (unsigned)(digits.data[i] - '0');
	}
	if (scope >= SCOPES_MAX)
		return false;
	memcpy(ret_region, region.data, region.len);
	ret_region[region.len] = '\0';
	*ret_scope = (uint16_t)scope;
	return true;
}
