/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a client is behind proxies. Its address is the socket's, unless whoever is at the socket is a trusted proxy:
 * then PROXY protocol (where it is required), Forwarded (RFC 7239), or else X-Forwarded-For say it, read from right to
 * left: what trusted proxies wrote counts, and the first address that is none of theirs is the client. A region of ours
 * says it by isthmus-client. What is malformed is as if it were not there. For routing and logs only: nobody is
 * allowed anything for an address.
 * Thread: any.
 */
#pragma once

#include <sys/socket.h>

#include "gateway/request.h"

#define FORWARDED_NETS_MAX 256
#define FORWARDED_HOPS_MAX 32
/* The longest PROXY header that is read: version 2 with 520 bytes behind its first 16. */
#define FORWARDED_PROXY_BYTES_MAX 536

/* A network: IPv4 as ::ffff:0:0/96. */
struct forwarded_net {
	uint8_t address[16];
	unsigned prefix;
};
struct forwarded_nets {
	struct forwarded_net *items;
	uint32_t count;
};

/* "10.0.0.0/8", "fd00::/8", "192.0.2.7". ERR_CONFIG with words; bits behind the prefix must be 0. */
MUST_USE enum err forwarded_parse_net(struct str text, struct forwarded_net *ret_net, struct fault *reterr_fault);
bool forwarded_is_trusted(const struct forwarded_nets *nets, const struct sockaddr *address);

/* "192.0.2.7", "192.0.2.7:80", "2001:db8::1", "[2001:db8::1]:80". False: none of them. */
bool forwarded_parse_address(struct str text, struct sockaddr_storage *ret_address);
/* Without the port; "" for other families. At most 45 characters. */
#define FORWARDED_ADDRESS_TEXT 46
void forwarded_write_address(const struct sockaddr *address, char out[static FORWARDED_ADDRESS_TEXT]);

enum forwarded_source { CLIENT_SOCKET, CLIENT_FORWARDED, CLIENT_X_FORWARDED_FOR, CLIENT_PEER };

struct forwarded_client {
	struct sockaddr_storage address;
	enum forwarded_source source;
	const char *dropped;       /* name of a header that was malformed; NULL: none */
};
/* Where the client of the request is. nets may be empty: nobody is trusted. */
void forwarded_find(const struct request *r, const struct forwarded_nets *nets,
		    struct forwarded_client *ret_client);

enum forwarded_proxy { PROXY_MORE, PROXY_DONE, PROXY_BAD };
/*
 * The PROXY header, version 1 or 2, that a connection begins with. PROXY_DONE: it has *ret_len bytes, and
 * *ret_client is written if it names an address (not for LOCAL and UNKNOWN). PROXY_MORE: it is not complete, and no longer than
 * FORWARDED_PROXY_BYTES_MAX.
 */
enum forwarded_proxy forwarded_read_proxy(struct bytes in, size_t *ret_len, struct sockaddr_storage *ret_client);
