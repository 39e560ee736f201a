/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwarded has a grammar with quotes (RFC 7239, section 4), so it is read from the left into a list of hops;
 * X-Forwarded-For has none, and is the same list separated by commas. The list is then walked from the right.
 */
#include "gateway/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define V4_BITS 96
#define PROXY_V1_BYTES_MAX 107
#define PROXY_V2_HEAD_BYTES 16

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* --- addresses --- */

static bool terminate(struct str text, char *out, size_t cap)
{
	if (text.len == 0 || text.len >= cap || memchr(text.data, '\0', text.len))
		return false;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

static struct sockaddr_storage storage_v4(const void *address)
{
	struct sockaddr_storage out = { 0 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	memcpy(&v4.sin_addr, address, sizeof(v4.sin_addr));
	memcpy(&out, &v4, sizeof(v4));
	return out;
}

static struct sockaddr_storage storage_v6(const void *address)
{
	struct sockaddr_storage out = { 0 };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (memcmp(address, v4_prefix, sizeof(v4_prefix)) == 0)
		return storage_v4((const uint8_t *)address + sizeof(v4_prefix));
	memcpy(&v6.sin6_addr, address, sizeof(v6.sin6_addr));
	memcpy(&out, &v6, sizeof(v6));
	return out;
}

static bool parse_v4(struct str text, struct sockaddr_storage *ret_address)
{
	char copy[INET_ADDRSTRLEN];
	struct in_addr v4;

	if (!terminate(text, copy, sizeof(copy)) || inet_pton(AF_INET, copy, &v4) != 1)
		return false;
	*ret_address = storage_v4(&v4);
	return true;
}

static bool parse_v6(struct str text, struct sockaddr_storage *ret_address)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (!terminate(text, copy, sizeof(copy)) || inet_pton(AF_INET6, copy, &v6) != 1)
		return false;
	*ret_address = storage_v6(&v6);
	return true;
}

static bool is_digits(struct str text, size_t max)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return text.len > 0 && text.len <= max;
}

static struct str from(struct str text, size_t at)
{
	return (struct str){ text.data + at, text.len - at };
}

static struct str until(struct str text, size_t end)
{
	return (struct str){ text.data, end };
}

static size_t find_byte(struct str text, char c)
{
	const char *p = text.len > 0 ? memchr(text.data, c, text.len) : NULL;

	return p ? (size_t)(p - text.data) : text.len;
}

bool forwarded_parse_address(struct str text, struct sockaddr_storage *ret_address)
{
	size_t colon = find_byte(text, ':');

	if (text.len > 0 && text.data[0] == '[') {
		size_t end = find_byte(text, ']');
		if (end == text.len)
			return false;
		struct str rest = from(text, end + 1);
		if (rest.len > 0 && (rest.data[0] != ':' || !is_digits(from(rest, 1), 5)))
			return false;
		return parse_v6(from(until(text, end), 1), ret_address);
	}
	if (colon == text.len)
		return parse_v4(text, ret_address);
	if (find_byte(from(text, colon + 1), ':') == text.len - colon - 1)
		return is_digits(from(text, colon + 1), 5) && parse_v4(until(text, colon), ret_address);
	return parse_v6(text, ret_address);
}

/* IPv4 as ::ffff:a.b.c.d. False: another family. */
static bool take_bytes(const struct sockaddr *address, uint8_t out[16])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		memcpy(out, v4_prefix, sizeof(v4_prefix));
		memcpy(out + sizeof(v4_prefix), &v4.sin_addr, sizeof(v4.sin_addr));
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	memcpy(&v6, address, sizeof(v6));
	memcpy(out, &v6.sin6_addr, sizeof(v6.sin6_addr));
	return true;
}

void forwarded_write_address(const struct sockaddr *address, char out[static FORWARDED_ADDRESS_TEXT])
{
	uint8_t bytes[16];

	out[0] = '\0';
	if (!take_bytes(address, bytes))
		return;
	if (memcmp(bytes, v4_prefix, sizeof(v4_prefix)) == 0)
		(void)inet_ntop(AF_INET, bytes + sizeof(v4_prefix), out, FORWARDED_ADDRESS_TEXT);
	else
		(void)inet_ntop(AF_INET6, bytes, out, FORWARDED_ADDRESS_TEXT);
}

/* --- trust --- */

static bool parse_prefix(struct str text, unsigned max, unsigned *ret_prefix)
{
	unsigned v = 0;

	if (!is_digits(text, 3) || (text.len > 1 && text.data[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++)
		v = v * 10 + (unsigned)(text.data[i] - '0');
	*ret_prefix = v;
	return v <= max;
}

static bool has_bits_from(const uint8_t address[16], unsigned prefix)
{
	for (unsigned i = prefix; i < 128; i++)
		if (address[i / 8] >> (7 - i % 8) & 1)
			return true;
	return false;
}

enum err forwarded_parse_net(struct str text, struct forwarded_net *ret_net, struct fault *reterr_fault)
{
	size_t slash = find_byte(text, '/');
	struct str host = until(text, slash);
	struct sockaddr_storage address;
	struct forwarded_net net;
	bool v6 = find_byte(host, ':') < host.len;

	if (!(v6 ? parse_v6(host, &address) : parse_v4(host, &address)) ||
	    !take_bytes((const struct sockaddr *)&address, net.address))
		return fault_set(reterr_fault, ERR_CONFIG, "\"%.*s\" is no network such as 10.0.0.0/8 or fd00::/8",
				 STR_FMT(text));
	net.prefix = 128;
	if (slash < text.len && !parse_prefix(from(text, slash + 1), v6 ? 128 : 32, &net.prefix))
		return fault_set(reterr_fault, ERR_CONFIG, "\"%.*s\": a prefix from 0 to %d is expected behind the /",
				 STR_FMT(text), v6 ? 128 : 32);
	if (slash < text.len && !v6)
		net.prefix += V4_BITS;
	if (has_bits_from(net.address, net.prefix))
		return fault_set(reterr_fault, ERR_CONFIG, "\"%.*s\": the address has bits behind its prefix",
				 STR_FMT(text));
	*ret_net = net;
	return ERR_NONE;
}

static bool is_within(const struct forwarded_net *net, const uint8_t address[16])
{
	unsigned whole = net->prefix / 8;
	unsigned rest = net->prefix % 8;

	return memcmp(net->address, address, whole) == 0 &&
	       (rest == 0 || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0);
}

bool forwarded_is_trusted(const struct forwarded_nets *nets, const struct sockaddr *address)
{
	uint8_t bytes[16];

	if (nets->count == 0 || !take_bytes(address, bytes))
		return false;
	for (uint32_t i = 0; i < nets->count; i++)
		if (is_within(&nets->items[i], bytes))
			return true;
	return false;
}

/* --- hops --- */

struct hops {
	struct {
		bool known;            /* else "unknown" or a name that hides it */
		struct sockaddr_storage address;
	} items[FORWARDED_HOPS_MAX];   /* a ring: only the last ones are kept */
	uint64_t all;
};

static void add_hop(struct hops *h, bool known, const struct sockaddr_storage *address)
{
	uint32_t at = (uint32_t)(h->all++ % FORWARDED_HOPS_MAX);

	h->items[at].known = known;
	if (known)
		h->items[at].address = *address;
}

static struct str trim(struct str text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = from(text, 1);
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool is_word(struct str text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

/* An address, "unknown", or "_hidden". */
static bool add_node(struct hops *h, struct str text)
{
	struct sockaddr_storage address;
	bool known = forwarded_parse_address(text, &address);

	if (!known && !is_word(text, "unknown") && !(text.len > 1 && text.data[0] == '_'))
		return false;
	add_hop(h, known, &address);
	return true;
}

static bool read_x_forwarded_for(struct str text, struct hops *h)
{
	for (;;) {
		size_t comma = find_byte(text, ',');
		if (!add_node(h, trim(until(text, comma))))
			return false;
		if (comma == text.len)
			return true;
		text = from(text, comma + 1);
	}
}

static bool is_token_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static struct str take_token(struct str *text)
{
	size_t len = 0;

	while (len < text->len && is_token_byte(text->data[len]))
		len++;
	struct str token = until(*text, len);
	*text = from(*text, len);
	return token;
}

/* A token, or text in quotes; no address needs a backslash, so that with one is malformed. */
static bool take_value(struct str *text, struct str *ret_value)
{
	if (text->len == 0 || text->data[0] != '"') {
		*ret_value = take_token(text);
		return ret_value->len > 0;
	}
	struct str inside = from(*text, 1);
	size_t end = find_byte(inside, '"');
	if (end == inside.len || find_byte(until(inside, end), '\\') < end)
		return false;
	*ret_value = until(inside, end);
	*text = from(inside, end + 1);
	return true;
}

static bool take_byte(struct str *text, char c)
{
	if (text->len == 0 || text->data[0] != c)
		return false;
	*text = from(*text, 1);
	return true;
}

/* One element: for=…;by=…;proto=…. One without "for" is a hop that tells nothing. */
static bool read_element(struct str *text, struct hops *h)
{
	struct str node = { 0 };

	do {
		*text = trim(*text);
		struct str name = take_token(text);
		struct str value;
		if (name.len == 0 || !take_byte(text, '=') || !take_value(text, &value))
			return false;
		if (is_word(name, "for")) {
			if (node.data)
				return false;
			node = value;
		}
		*text = trim(*text);
	} while (take_byte(text, ';'));
	return add_node(h, node.data ? node : STR("unknown"));
}

static bool read_forwarded(struct str text, struct hops *h)
{
	do
		if (!read_element(&text, h))
			return false;
	while (take_byte(&text, ','));
	return text.len == 0;
}

/* --- the client --- */

typedef bool (*read_fn)(struct str text, struct hops *h);

/* All lines of the header, as if they were one. False: there is none, or *ret_bad. */
static bool collect(const struct request *r, const char *name, read_fn read, struct hops *h, bool *ret_bad)
{
	size_t len = strlen(name);

	h->all = 0;
	for (uint32_t i = 0; i < r->header_count; i++) {
		const struct header *line = &r->headers[i];
		if (line->name.len != len || memcmp(line->name.data, name, len) != 0)
			continue;
		if (!read(line->value, h)) {
			*ret_bad = true;
			return false;
		}
	}
	return h->all > 0;
}

/* From the right: the first that is not a proxy of ours; what the last one that is known says, when one hides. */
static void walk(const struct hops *h, const struct forwarded_nets *nets, struct sockaddr_storage *address)
{
	uint64_t kept = MIN(h->all, (uint64_t)FORWARDED_HOPS_MAX);

	for (uint64_t i = h->all; i > h->all - kept; i--) {
		uint32_t at = (uint32_t)((i - 1) % FORWARDED_HOPS_MAX);
		if (!h->items[at].known)
			return;
		*address = h->items[at].address;
		if (!forwarded_is_trusted(nets, (const struct sockaddr *)address))
			return;
	}
}

static void find_of_peer(const struct request *r, struct forwarded_client *c)
{
	struct str text = request_header(r, "isthmus-client");

	/* "local" is a client on the other region's own machine, by its UNIX socket. */
	if (!text.data || is_word(text, "local"))
		return;
	if (forwarded_parse_address(text, &c->address))
		c->source = CLIENT_PEER;
	else
		c->dropped = "isthmus-client";
}

static void find_of_proxy(const struct request *r, const struct forwarded_nets *nets, struct forwarded_client *c)
{
	static const struct {
		const char *name;
		read_fn read;
		enum forwarded_source source;
	} kinds[] = {
		{ "forwarded", read_forwarded, CLIENT_FORWARDED },
		{ "x-forwarded-for", read_x_forwarded_for, CLIENT_X_FORWARDED_FOR },
	};
	struct hops h;

	for (size_t i = 0; i < LEN(kinds); i++) {
		bool bad = false;
		if (collect(r, kinds[i].name, kinds[i].read, &h, &bad)) {
			walk(&h, nets, &c->address);
			c->source = kinds[i].source;
			return;
		}
		if (bad && !c->dropped)
			c->dropped = kinds[i].name;
	}
}

void forwarded_find(const struct request *r, const struct forwarded_nets *nets, struct forwarded_client *ret_client)
{
	struct forwarded_client c = { .address = r->client };

	if (r->peer)
		find_of_peer(r, &c);
	else if (forwarded_is_trusted(nets, (const struct sockaddr *)&r->client))
		find_of_proxy(r, nets, &c);
	*ret_client = c;
}

/* --- the PROXY protocol --- */

/* Decimal, below 65536, without leading zeros. */
static bool is_port(struct str text)
{
	unsigned v = 0;

	if (!is_digits(text, 5) || (text.len > 1 && text.data[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++)
		v = v * 10 + (unsigned)(text.data[i] - '0');
	return v <= UINT16_MAX;
}

static struct str take_field(struct str *line)
{
	size_t space = find_byte(*line, ' ');
	struct str field = until(*line, space);

	*line = from(*line, MIN(space + 1, line->len));
	return field;
}

/* "TCP4 192.0.2.1 198.51.100.1 56324 443" */
static bool read_line(struct str line, struct sockaddr_storage *ret_client)
{
	struct str protocol = take_field(&line);
	struct sockaddr_storage client, server;
	bool v4 = protocol.len == 4 && memcmp(protocol.data, "TCP4", 4) == 0;
	bool v6 = protocol.len == 4 && memcmp(protocol.data, "TCP6", 4) == 0;
	bool (*parse)(struct str, struct sockaddr_storage *) = v4 ? parse_v4 : parse_v6;

	if (protocol.len == 7 && memcmp(protocol.data, "UNKNOWN", 7) == 0)
		return true;
	if ((!v4 && !v6) || !parse(take_field(&line), &client) || !parse(take_field(&line), &server) ||
	    !is_port(take_field(&line)) || !is_port(line))
		return false;
	*ret_client = client;
	return true;
}

static enum forwarded_proxy read_v1(struct bytes in, size_t *ret_len, struct sockaddr_storage *ret_client)
{
	static const char begin[] = "PROXY ";
	const size_t begin_len = sizeof(begin) - 1;
	struct str text = { (const char *)in.data, MIN(in.len, (size_t)PROXY_V1_BYTES_MAX) };
	size_t cr = find_byte(text, '\r');

	if (memcmp(text.data, begin, MIN(text.len, begin_len)) != 0)
		return PROXY_BAD;
	if (cr + 1 >= text.len)
		return text.len == PROXY_V1_BYTES_MAX ? PROXY_BAD : PROXY_MORE;
	if (cr < begin_len || text.data[cr + 1] != '\n' || !read_line(from(until(text, cr), begin_len), ret_client))
		return PROXY_BAD;
	*ret_len = cr + 2;
	return PROXY_DONE;
}

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static enum forwarded_proxy read_v2(struct bytes in, size_t *ret_len, struct sockaddr_storage *ret_client)
{
	if (in.len < PROXY_V2_HEAD_BYTES)
		return PROXY_MORE;
	unsigned command = in.data[12];
	unsigned family = in.data[13];
	size_t len = (size_t)in.data[14] << 8 | in.data[15];
	const uint8_t *addresses = in.data + PROXY_V2_HEAD_BYTES;

	if ((command != V2_LOCAL && command != V2_PROXY) || PROXY_V2_HEAD_BYTES + len > FORWARDED_PROXY_BYTES_MAX)
		return PROXY_BAD;
	if (command == V2_PROXY && ((family == V2_TCP4 && len < 12) || (family == V2_TCP6 && len < 36)))
		return PROXY_BAD;
	if (in.len < PROXY_V2_HEAD_BYTES + len)
		return PROXY_MORE;
	if (command == V2_PROXY && family == V2_TCP4)
		*ret_client = storage_v4(addresses);
	else if (command == V2_PROXY && family == V2_TCP6)
		*ret_client = storage_v6(addresses);
	*ret_len = PROXY_V2_HEAD_BYTES + len;
	return PROXY_DONE;
}

enum forwarded_proxy forwarded_read_proxy(struct bytes in, size_t *ret_len, struct sockaddr_storage *ret_client)
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

	if (in.len == 0)
		return PROXY_MORE;
	if (memcmp(in.data, signature, MIN(in.len, sizeof(signature))) == 0)
		return read_v2(in, ret_len, ret_client);
	return read_v1(in, ret_len, ret_client);
}
