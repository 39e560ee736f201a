/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/h2_exchange.h"

#include <string.h>

void h2_exchange_release(struct h2_exchange *x)
{
	buf_release(&x->reply);
	arena_release(&x->arena);
	x->reply_headers = NULL;
	x->reply_header_count = 0;
}

struct str h2_exchange_header(const struct h2_exchange *x, const char *name)
{
	size_t len = strlen(name);

	for (uint32_t i = 0; i < x->reply_header_count; i++)
		if (x->reply_headers[i].name.len == len && memcmp(x->reply_headers[i].name.data, name, len) == 0)
			return x->reply_headers[i].value;
	return (struct str){ 0 };
}

enum err h2_exchange_keep_header(struct h2_exchange *x, struct str name, struct str value)
{
	x->reply_header_bytes += name.len + value.len;
	if (x->reply_header_count >= H2_EXCHANGE_HEADERS_MAX ||
	    x->reply_header_bytes > H2_EXCHANGE_HEADER_BYTES_MAX)
		return ERR_TOO_LARGE;
	if (!x->reply_headers) {
		x->reply_headers = arena_array(&x->arena, H2_EXCHANGE_HEADERS_MAX, sizeof(*x->reply_headers));
		if (!x->reply_headers)
			return ERR_NO_MEMORY;
	}
	struct header h = { .name = arena_str(&x->arena, name), .value = arena_str(&x->arena, value) };
	if (!h.name.data || !h.value.data)
		return ERR_NO_MEMORY;
	x->reply_headers[x->reply_header_count++] = h;
	return ERR_NONE;
}

void h2_exchange_list_append(struct h2_exchange_list *l, struct h2_exchange *x)
{
	x->next = NULL;
	x->prev = l->last;
	if (l->last)
		l->last->next = x;
	else
		l->first = x;
	l->last = x;
	l->count++;
}

void h2_exchange_list_remove(struct h2_exchange_list *l, struct h2_exchange *x)
{
	if (x->prev)
		x->prev->next = x->next;
	else
		l->first = x->next;
	if (x->next)
		x->next->prev = x->prev;
	else
		l->last = x->prev;
	x->next = x->prev = NULL;
	l->count--;
}
