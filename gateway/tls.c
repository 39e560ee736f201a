/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS, mostly on the server's side.
 *
 * Session tickets are sealed by keys of this process: a context makes one every 12 hours and still
 * accepts the two before it, so that a stolen key opens a day and a half of traffic, not the
 * process's life.
 */
#include "gateway/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/panic.h"
#include "gateway/config_file.h"

#define TICKET_KEYS 3
#define TICKET_KEY_MS ((uint64_t)12 * 3600 * 1000)
#define TICKET_NAME_BYTES 16
#define PEER_NAME_MAX 253 /* bytes of a DNS name */
#define WHY_BYTES_MAX 160
#define KEY_TEXT_MAX 64 /* of a key of the configuration */

struct ticket_key {
	uint8_t name[TICKET_NAME_BYTES];
	uint8_t cipher[32];
	uint8_t mac[32];
	uint64_t made_ms;
	bool used;
};

struct tls_context {
	_Atomic uint32_t refs;
	SSL_CTX *ctx;
	bool client;
	uint64_t expires_ms;
	struct clock *clock;
	pthread_mutex_t tickets_lock; /* guards the two below */
	struct ticket_key tickets[TICKET_KEYS];
	uint32_t newest;
};

struct tls_holder {
	pthread_mutex_t lock; /* guards the one below */
	struct tls_context *current;
};

struct tls {
	SSL *ssl;
	bool failed; /* SSL_shutdown must not be called then */
	char peer[PEER_NAME_MAX + 1];
	size_t peer_len;
	char why[WHY_BYTES_MAX];
};

/* What OpenSSL says first; its queue is emptied. */
static const char *why(char *text, size_t size)
{
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, text, size);
	else
		text[0] = '\0';
	ERR_clear_error();
	return code ? text : "unknown error";
}

static enum err fail(struct fault *f, const char *file, const char *what)
{
	char text[256];

	return fault_set(f, ERR_CONFIG, "%s: %s: %s", file, what, why(text, sizeof(text)));
}

/* --- session tickets ------------------------------------------------------------------------- */

/* The key for new tickets; NULL when there are no random bytes. */
static const struct ticket_key *newest_key(struct tls_context *c)
{
	uint64_t now_ms = clock_mono_ns(c->clock) / 1000000;
	struct ticket_key *key = &c->tickets[c->newest];

	if (key->used && now_ms - key->made_ms < TICKET_KEY_MS)
		return key;
	uint32_t next = key->used ? (c->newest + 1) % TICKET_KEYS : c->newest;
	struct ticket_key fresh = { .made_ms = now_ms, .used = true };
	if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 ||
	    RAND_bytes(fresh.cipher, sizeof(fresh.cipher)) != 1 ||
	    RAND_bytes(fresh.mac, sizeof(fresh.mac)) != 1)
		return NULL;
	c->tickets[next] = fresh;
	c->newest = next;
	return &c->tickets[next];
}

/* An old key that nobody replaced, for want of new tickets, does not serve for ever. */
static const struct ticket_key *key_named(const struct tls_context *c, const unsigned char *name)
{
	uint64_t now_ms = clock_mono_ns(c->clock) / 1000000;

	for (size_t i = 0; i < TICKET_KEYS; i++) {
		const struct ticket_key *key = &c->tickets[i];
		if (key->used && memcmp(key->name, name, TICKET_NAME_BYTES) == 0)
			return now_ms - key->made_ms < TICKET_KEYS * TICKET_KEY_MS ? key : NULL;
	}
	return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	char digest[] = "SHA256";
	uint8_t bytes[sizeof(key->mac)];

	memcpy(bytes, key->mac, sizeof(bytes));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, bytes, sizeof(bytes)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal_ticket(struct tls_context *c, unsigned char *name, unsigned char *iv,
		       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct ticket_key *key = newest_key(c);

	if (!key || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
		return -1;
	memcpy(name, key->name, TICKET_NAME_BYTES);
	return EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, NULL) == 1 &&
			       set_mac(mac, key)
		       ? 1
		       : -1;
}

/* 0: unknown, a whole handshake; 1: good; 2: good, and a new ticket is due. */
static int open_ticket(struct tls_context *c, const unsigned char *name, const unsigned char *iv,
		       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct ticket_key *key = key_named(c, name);

	if (!key)
		return 0;
	if (EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, NULL) != 1 ||
	    !set_mac(mac, key))
		return -1;
	return key == &c->tickets[c->newest] ? 1 : 2;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int sealing)
{
	struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	(void)pthread_mutex_lock(&c->tickets_lock);
	int result = sealing ? seal_ticket(c, name, iv, cipher, mac)
			     : open_ticket(c, name, iv, cipher, mac);
	(void)pthread_mutex_unlock(&c->tickets_lock);
	return result;
}

/* --- contexts -------------------------------------------------------------------------------- */

/* h2 before http/1.1, whatever the client prefers. A client that names only others is refused. */
static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned in_len, void *ctx UNUSED)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static enum err set_protocols(SSL_CTX *ctx, struct fault *reterr_fault)
{
	/* Arrays, as the macro of OpenSSL takes no const. */
	char newer[] = "X25519MLKEM768:X25519:P-256";
	char older[] = "X25519:P-256";

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* Tickets only: nothing is kept for clients that do not come back. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set_max_early_data(ctx, 0) != 1)
		return fail(reterr_fault, "TLS", "protocols");
	/* The first is known to OpenSSL 3.5 and later. */
	if (SSL_CTX_set1_groups_list(ctx, newer) != 1 && SSL_CTX_set1_groups_list(ctx, older) != 1)
		return fail(reterr_fault, "TLS", "groups");
	ERR_clear_error();
	return ERR_NONE;
}

/* Milliseconds since 1970 of a certificate's time; 0 when it cannot be read. */
static uint64_t time_of(const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	time_t s = timegm(&tm);
	return s > 0 ? (uint64_t)s * 1000 : 0;
}

/* The key of the configuration that names a file; NULL: nobody asked for it. */
static const char *key_in(const struct tls_options *o, const char *last, char text[KEY_TEXT_MAX])
{
	(void)snprintf(text, KEY_TEXT_MAX, "%s.%s", o->group ? o->group : "", last);
	return o->group ? text : NULL;
}

/* What OpenSSL says first is added; its queue is emptied. */
static enum err fail_file(const struct tls_options *o, const char *last, const char *file, struct fault *f, const char *what)
{
	char text[KEY_TEXT_MAX];
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return config_file_fault(key_in(o, last, text), file, f, "%s%s%s%s", what, reason ? " (" : "", reason ? reason : "",
				 reason ? ")" : "");
}

/* Before OpenSSL looks at it, whose words for a file that is not there are about PEM. */
static enum err check_file(const struct tls_options *o, const char *last, const char *file, struct fault *f)
{
	char text[KEY_TEXT_MAX];

	return config_file_check(key_in(o, last, text), file, f);
}

/* Nobody is there to type it in. */
static int no_passphrase(char *text UNUSED, int size UNUSED, int writing UNUSED, void *ctx)
{
	*(bool *)ctx = true;
	return -1;
}

static enum err load_key(struct tls_context *c, const struct tls_options *o, struct fault *f)
{
	bool encrypted = false;
	enum err err = check_file(o, "key", o->key, f);

	if (err)
		return err;
	SSL_CTX_set_default_passwd_cb(c->ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(c->ctx, &encrypted);
	int loaded = SSL_CTX_use_PrivateKey_file(c->ctx, o->key, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(c->ctx, NULL);
	SSL_CTX_set_default_passwd_cb(c->ctx, NULL);
	/* OpenSSL compares the two when it has both. */
	bool other = loaded != 1 && ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509;
	if (other || (loaded == 1 && SSL_CTX_check_private_key(c->ctx) != 1))
		return fail_file(o, "key", o->key, f, "is not the key of the certificate");
	if (encrypted)
		return fail_file(o, "key", o->key, f, "the private key is encrypted, and nobody is there to type the passphrase");
	return loaded == 1 ? ERR_NONE : fail_file(o, "key", o->key, f, "no private key in PEM form");
}

static enum err load_certificate(struct tls_context *c, const struct tls_options *o,
				 struct fault *reterr_fault)
{
	enum err err = check_file(o, "certificate", o->certificate, reterr_fault);

	if (err)
		return err;
	if (SSL_CTX_use_certificate_chain_file(c->ctx, o->certificate) != 1)
		return fail_file(o, "certificate", o->certificate, reterr_fault, "no certificate in PEM form");
	err = load_key(c, o, reterr_fault);
	if (err)
		return err;
	const X509 *leaf = SSL_CTX_get0_certificate(c->ctx);
	uint64_t now_ms = clock_wall_ms(o->clock);
	c->expires_ms = time_of(X509_get0_notAfter(leaf));
	if (c->expires_ms <= now_ms)
		return fail_file(o, "certificate", o->certificate, reterr_fault, "the certificate has expired");
	if (time_of(X509_get0_notBefore(leaf)) > now_ms)
		return fail_file(o, "certificate", o->certificate, reterr_fault, "the certificate is not valid yet");
	return ERR_NONE;
}

static enum err load_ca(struct tls_context *c, const struct tls_options *o, struct fault *reterr_fault)
{
	enum err err = check_file(o, "ca", o->client_ca, reterr_fault);

	if (!err && SSL_CTX_load_verify_file(c->ctx, o->client_ca) != 1)
		err = fail_file(o, "ca", o->client_ca, reterr_fault, "no certificate in PEM form");
	return err;
}

/* The other regions will judge it so. */
static enum err check_own(struct tls_context *c, const struct tls_options *o, struct fault *reterr_fault)
{
	X509 *leaf = SSL_CTX_get0_certificate(c->ctx);
	STACK_OF(X509) *chain = NULL;
	X509_STORE_CTX *verify = X509_STORE_CTX_new();
	char words[WHY_BYTES_MAX];
	enum err err = verify ? ERR_NONE : ERR_NO_MEMORY;

	if (!o->name || err) {
		X509_STORE_CTX_free(verify);
		return err;
	}
	(void)SSL_CTX_get0_chain_certs(c->ctx, &chain); /* which has nothing to fail by */
	if (X509_STORE_CTX_init(verify, SSL_CTX_get_cert_store(c->ctx), leaf, chain) != 1)
		err = ERR_NO_MEMORY;
	else if (X509_verify_cert(verify) != 1) {
		(void)snprintf(words, sizeof(words), "the authorities in %s.ca do not vouch for it: %s", o->group ? o->group : "",
			       X509_verify_cert_error_string(X509_STORE_CTX_get_error(verify)));
		ERR_clear_error();
		err = fail_file(o, "certificate", o->certificate, reterr_fault, words);
	} else if (X509_check_host(leaf, o->name, 0, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
				   NULL) != 1) {
		(void)snprintf(words, sizeof(words), "the certificate is not for %s, as whom this region speaks", o->name);
		err = fail_file(o, "certificate", o->certificate, reterr_fault, words);
	}
	X509_STORE_CTX_free(verify);
	return err;
}

static enum err load_client_ca(struct tls_context *c, const struct tls_options *o,
			       struct fault *reterr_fault)
{
	if (!o->client_ca)
		return ERR_NONE;
	enum err err = load_ca(c, o, reterr_fault);
	if (err)
		return err;
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->client_ca);
	if (!names)
		return fail_file(o, "ca", o->client_ca, reterr_fault, "no certificate in PEM form");
	SSL_CTX_set_client_CA_list(c->ctx, names);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return check_own(c, o, reterr_fault);
}

/* A server without a certificate of that authority is none of ours; the name is asked for by
 * each connection. */
static enum err load_server_ca(struct tls_context *c, const struct tls_options *o,
			       struct fault *reterr_fault)
{
	static const unsigned char h2[] = "\x02h2";

	if (!o->client_ca)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "a client needs the authority of its servers");
	enum err err = load_ca(c, o, reterr_fault);
	if (err)
		return err;
	/* Unlike its sisters it returns 0 when it succeeds. */
	if (SSL_CTX_set_alpn_protos(c->ctx, h2, sizeof(h2) - 1) != 0)
		return fail(reterr_fault, "TLS", "ALPN");
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	return ERR_NONE;
}

/* Sessions of one context are of no use to another, whose clients may be other ones. */
static enum err set_tickets(struct tls_context *c, struct fault *reterr_fault)
{
	unsigned char id[16];

	if (RAND_bytes(id, sizeof(id)) != 1 ||
	    SSL_CTX_set_session_id_context(c->ctx, id, sizeof(id)) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ctx, on_ticket) != 1)
		return fail(reterr_fault, "TLS", "session tickets");
	return ERR_NONE;
}

static enum err set_server(struct tls_context *c, const struct tls_options *o,
			   struct fault *reterr_fault)
{
	enum err err = load_client_ca(c, o, reterr_fault);

	SSL_CTX_set_alpn_select_cb(c->ctx, on_alpn, NULL);
	return err ? err : set_tickets(c, reterr_fault);
}

enum err tls_context_new(const struct tls_options *o, struct tls_context **ret_context,
			 struct fault *reterr_fault)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NO_MEMORY;
	atomic_init(&c->refs, 1);
	c->clock = o->clock;
	/* A default mutex of glibc takes no resources: initialising it cannot fail. */
	(void)pthread_mutex_init(&c->tickets_lock, NULL);
	ERR_clear_error();
	c->client = o->client;
	c->ctx = SSL_CTX_new(o->client ? TLS_client_method() : TLS_server_method());
	enum err err = c->ctx ? ERR_NONE : fail(reterr_fault, "TLS", "context");
	if (!err) {
		(void)SSL_CTX_set_app_data(c->ctx,
					   c); /* the place for it is there from the start */
		err = set_protocols(c->ctx, reterr_fault);
	}
	if (!err)
		err = load_certificate(c, o, reterr_fault);
	if (!err)
		err = o->client ? load_server_ca(c, o, reterr_fault)
				: set_server(c, o, reterr_fault);
	if (err) {
		tls_context_unref(c);
		return err;
	}
	*ret_context = c;
	return ERR_NONE;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void tls_context_unref(struct tls_context *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	SSL_CTX_free(c->ctx);
	(void)pthread_mutex_destroy(&c->tickets_lock);
	OPENSSL_cleanse(c->tickets, sizeof(c->tickets));
	free(c);
}

uint64_t tls_context_expires_ms(const struct tls_context *c)
{
	return c->expires_ms;
}

enum err tls_holder_new(struct tls_context *c, struct tls_holder **ret_holder)
{
	struct tls_holder *h = calloc(1, sizeof(*h));
	if (!h)
		return ERR_NO_MEMORY;
	(void)pthread_mutex_init(&h->lock, NULL);
	h->current = c;
	*ret_holder = h;
	return ERR_NONE;
}

void tls_holder_free(struct tls_holder *h)
{
	if (!h)
		return;
	tls_context_unref(h->current);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

void tls_holder_swap(struct tls_holder *h, struct tls_context *c)
{
	(void)pthread_mutex_lock(&h->lock);
	struct tls_context *old = h->current;
	h->current = c;
	(void)pthread_mutex_unlock(&h->lock);
	tls_context_unref(old);
}

struct tls_context *tls_holder_get(struct tls_holder *h)
{
	(void)pthread_mutex_lock(&h->lock);
	struct tls_context *c = tls_context_ref(h->current);
	(void)pthread_mutex_unlock(&h->lock);
	return c;
}

/* --- connections ----------------------------------------------------------------------------- */

/* The callback of the tickets finds the context through the SSL_CTX, which an SSL keeps; so the
 * SSL keeps the context too. */
enum err tls_new(struct tls_context *c, int fd, struct tls **ret_tls)
{
	struct tls *t = calloc(1, sizeof(*t));
	if (!t)
		return ERR_NO_MEMORY;
	t->ssl = SSL_new(c->ctx);
	if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1) {
		ERR_clear_error();
		SSL_free(t->ssl);
		free(t);
		return ERR_NO_MEMORY;
	}
	if (c->client)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	(void)SSL_set_app_data(t->ssl,
			       tls_context_ref(c)); /* the place for it is there from the start */
	*ret_tls = t;
	return ERR_NONE;
}

enum err tls_connect(struct tls_context *c, int fd, const char *name, struct tls **ret_tls)
{
	char sni[PEER_NAME_MAX + 1]; /* a copy, as the macro of OpenSSL takes no const */
	struct tls *t;

	ASSERT(c->client && strlen(name) <= PEER_NAME_MAX);
	(void)snprintf(sni, sizeof(sni), "%s", name);
	enum err err = tls_new(c, fd, &t);
	if (err)
		return err;
	SSL_set_hostflags(t->ssl,
			  X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (SSL_set1_host(t->ssl, name) != 1 || SSL_set_tlsext_host_name(t->ssl, sni) != 1) {
		ERR_clear_error();
		tls_free(t);
		return ERR_NO_MEMORY;
	}
	*ret_tls = t;
	return ERR_NONE;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	struct tls_context *c = SSL_get_app_data(t->ssl);
	SSL_free(t->ssl);
	tls_context_unref(c);
	free(t);
}

/* The certificate's fault is named before what OpenSSL makes of it. */
static void save_why(struct tls *t)
{
	long verdict = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (verdict != X509_V_OK)
		(void)snprintf(t->why, sizeof(t->why), "the other side's certificate: %s",
			       X509_verify_cert_error_string(verdict));
	else
		(void)snprintf(t->why, sizeof(t->why), "%s",
			       reason ? reason : "the connection was cut off");
}

static enum tls_io io_of(struct tls *t, int status)
{
	int error = SSL_get_error(t->ssl, status);

	if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
		save_why(t);
	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_NONE:
		return TLS_DONE;
	case SSL_ERROR_WANT_READ:
		return TLS_WANTS_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANTS_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		t->failed = true;
		return TLS_FAILED;
	}
}

/* The certificate is verified by then, or there is none. */
static void save_peer_name(struct tls *t)
{
	X509 *leaf = SSL_get0_peer_certificate(t->ssl);
	if (!leaf)
		return;
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		int len = ASN1_STRING_length(name->d.dNSName);
		const unsigned char *data = ASN1_STRING_get0_data(name->d.dNSName);
		if (len <= 0 || len > PEER_NAME_MAX || memchr(data, '\0', (size_t)len))
			continue;
		memcpy(t->peer, data, (size_t)len);
		t->peer_len = (size_t)len;
		break;
	}
	GENERAL_NAMES_free(names);
}

enum tls_io tls_handshake(struct tls *t)
{
	ERR_clear_error();
	enum tls_io io = io_of(t, SSL_do_handshake(t->ssl));
	if (io == TLS_DONE)
		save_peer_name(t);
	return io;
}

enum tls_io tls_read(struct tls *t, void *data, size_t cap, size_t *ret_n)
{
	size_t n = 0;

	ERR_clear_error();
	int status = SSL_read_ex(t->ssl, data, cap, &n);
	*ret_n = n;
	return status == 1 ? TLS_DONE : io_of(t, status);
}

enum tls_io tls_write(struct tls *t, const void *data, size_t len, size_t *ret_n)
{
	size_t n = 0;

	ERR_clear_error();
	int status = SSL_write_ex(t->ssl, data, len, &n);
	*ret_n = n;
	return status == 1 ? TLS_DONE : io_of(t, status);
}

/* That the client says the same is not waited for: HTTP has ends of its own. */
enum tls_io tls_shutdown(struct tls *t)
{
	if (t->failed || !SSL_is_init_finished(t->ssl))
		return TLS_DONE;
	ERR_clear_error();
	int status = SSL_shutdown(t->ssl);
	return status >= 0 ? TLS_DONE : io_of(t, status);
}

bool tls_pending(const struct tls *t)
{
	return SSL_has_pending(t->ssl) == 1;
}

struct str tls_alpn(const struct tls *t)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return (struct str){ .data = (const char *)name, .len = len };
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}

struct str tls_peer_name(const struct tls *t)
{
	return (struct str){ .data = t->peer, .len = t->peer_len };
}
