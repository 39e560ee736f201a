/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What h1 and h2 do alike when a request arrives.
 */
#include "gateway/protocol.h"

#include <string.h>

#define FIELDS_FIRST 16 /* room that the first field makes */

enum err protocol_request_new(const struct protocol_host *host, struct request_sink *sink,
			      struct request **ret_request)
{
	struct request *r;
	enum err err = request_new(host->loop, host->limits->body_bytes_max, &r);
	if (err)
		return err;
	r->budget = host->budget;
	r->sink = sink;
	r->tls = host->tls;
	r->peer = host->peer;
	r->client = host->client;
	/* A copy: the request may outlive its connection. */
	if (host->peer_region.len > 0) {
		r->peer_region = arena_str(&r->arena, host->peer_region);
		if (!r->peer_region.data) {
			request_free(r);
			return ERR_NO_MEMORY;
		}
	}
	*ret_request = r;
	return ERR_NONE;
}

bool protocol_count_field(const struct protocol_host *host, struct protocol_head *head,
			  size_t name_len, size_t value_len)
{
	const struct conn_limits *l = host->limits;

	head->fields++;
	head->bytes += name_len + value_len + l->header_overhead_bytes;
	return head->fields <= l->headers_max && head->bytes <= l->header_bytes_max &&
	       name_len + value_len <= l->header_field_bytes_max;
}

static enum err make_room(struct request *r, struct protocol_head *head)
{
	if (r->header_count < head->cap)
		return ERR_NONE;
	uint32_t cap = MAX(head->cap * 2, (uint32_t)FIELDS_FIRST);
	struct header *grown = arena_array(&r->arena, cap, sizeof(*grown));
	if (!grown)
		return ERR_NO_MEMORY;
	if (r->header_count > 0)
		memcpy(grown, r->headers, r->header_count * sizeof(*grown));
	r->headers = grown;
	head->cap = cap;
	return ERR_NONE;
}

enum err protocol_add_field(struct request *r, struct protocol_head *head, struct str name,
			    struct str value)
{
	if (memchr(name.data, '_', name.len))
		return ERR_NONE;
	enum err err = make_room(r, head);
	if (err)
		return err;
	/* Both in one piece: most fields are short, and every piece is rounded up. */
	char *copy = arena_alloc(&r->arena, name.len + value.len + 2);
	if (!copy)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		copy[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	char *value_copy = copy + name.len + 1;
	if (value.len > 0)
		memcpy(value_copy, value.data, value.len);
	r->headers[r->header_count++] = (struct header){
		.name = { .data = copy, .len = name.len },
		.value = { .data = value_copy, .len = value.len },
	};
	return ERR_NONE;
}

bool protocol_parse_length(struct str text, uint64_t *ret_length)
{
	uint64_t length = 0;

	if (text.len == 0 || text.len > 18)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret_length = length;
	return true;
}

bool protocol_too_slow(const struct protocol_host *host, uint64_t began_ns, uint64_t bytes,
		       uint64_t now_ns)
{
	uint64_t grace_ns = protocol_ns(host->limits->body_idle_ms);
	uint64_t ns = now_ns - began_ns;

	if (ns <= grace_ns)
		return false;
	return bytes < (ns - grace_ns) / 1000000 * host->limits->body_rate_bytes / 1000;
}

bool protocol_is_grpc(struct str type)
{
	const struct str grpc = STR("application/grpc");

	if (type.len < grpc.len || memcmp(type.data, grpc.data, grpc.len) != 0)
		return false;
	return type.len == grpc.len || type.data[grpc.len] == '+' || type.data[grpc.len] == ';';
}

struct str protocol_percent_encode(struct arena *a, struct str s)
{
	char *out = arena_array(a, s.len, 3);
	size_t len = 0;

	if (!out)
		return STR("");
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c >= 0x20 && c < 0x7f && c != '%') {
			out[len++] = (char)c;
		} else {
			out[len++] = '%';
			out[len++] = "0123456789ABCDEF"[c >> 4];
			out[len++] = "0123456789ABCDEF"[c & 15];
		}
	}
	return (struct str){ .data = out, .len = len };
}
