/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.2 and 1.3 by OpenSSL, for servers and, between regions, for clients: contexts made from
 * files, a holder that swaps them while connections live on, and one connection on a non-blocking
 * descriptor. SIGPIPE must be ignored by the process: OpenSSL writes by itself.
 * Thread: a tls_context and a tls_holder any; a struct tls its connection's.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

/* A certificate names its region as <region>.isthmus. */
#define TLS_REGION_SUFFIX ".isthmus"

struct tls_options {
	const char *certificate;   /* PEM file: the certificate, then its chain */
	const char *key;           /* PEM file */
	const char *client_ca;     /* PEM file; NULL: clients show no certificate */
	const char *name;          /* DNS name that the certificate must have, and client_ca vouch for; NULL: any */
	const char *group;         /* of the keys that name these files: faults begin with them; NULL: with the file */
	bool client;               /* for tls_connect(): client_ca is then whose certificates servers must have */
	struct clock *clock;       /* of the session tickets' keys, and of what has expired */
};

struct tls_context;
/* Reads and checks everything: the key is the certificate's, nothing is expired. */
MUST_USE enum err tls_context_new(const struct tls_options *o, struct tls_context **ret_context,
				  struct fault *reterr_fault);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);
/* When its certificate ends to be valid, milliseconds since 1970. */
uint64_t tls_context_expires_ms(const struct tls_context *c);

/* The context of connections to come. */
struct tls_holder;
/* Takes the reference to c. */
MUST_USE enum err tls_holder_new(struct tls_context *c, struct tls_holder **ret_holder);
void tls_holder_free(struct tls_holder *h);
/* Takes the reference to c; connections that are open keep what they have. */
void tls_holder_swap(struct tls_holder *h, struct tls_context *c);
/* With a reference of the caller's. */
struct tls_context *tls_holder_get(struct tls_holder *h);

enum tls_io { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_CLOSED, TLS_FAILED };

struct tls;
/* The server's side on fd, which stays the caller's. */
MUST_USE enum err tls_new(struct tls_context *c, int fd, struct tls **ret_tls);
/* The client's side, of a context made for it: speaks h2, and only with a server whose
 * certificate has the DNS name. */
MUST_USE enum err tls_connect(struct tls_context *c, int fd, const char *name, struct tls **ret_tls);
void tls_free(struct tls *t);
enum tls_io tls_handshake(struct tls *t);
enum tls_io tls_read(struct tls *t, void *data, size_t cap, size_t *ret_n);
/* After TLS_WANTS_…, the same bytes, or more that begin with them, are to be offered again. */
enum tls_io tls_write(struct tls *t, const void *data, size_t len, size_t *ret_n);
/* Says that nothing more comes. */
enum tls_io tls_shutdown(struct tls *t);
/* Whether bytes that have been read from the descriptor wait inside. */
bool tls_pending(const struct tls *t);
/* "h2", "http/1.1", or empty when the client named none. */
struct str tls_alpn(const struct tls *t);
/* Why the last call was TLS_FAILED. */
const char *tls_why(const struct tls *t);
/* First DNS name of the other side's verified certificate, or empty; valid as long as t. */
struct str tls_peer_name(const struct tls *t);
