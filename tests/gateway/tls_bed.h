/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates that are made on the spot, and TLS clients, for the tests of connections.
 */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/tls.h"

struct tls_bed {
	char dir[64];
	EVP_PKEY *ca_key;
	X509 *ca;
	long serial;
};

/* A path in the bed's folder; the last few stay valid. */
static inline const char *tls_bed_path(const struct tls_bed *b, const char *name)
{
	static char paths[8][128];
	static unsigned at;
	char *path = paths[at++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", b->dir, name);
	return path;
}

static inline FILE *tls_bed_open(const struct tls_bed *b, const char *name)
{
	FILE *f = fopen(tls_bed_path(b, name), "w");
	ck_assert_ptr_nonnull(f);
	return f;
}

static inline void tls_bed_write(const struct tls_bed *b, const char *name, const char *text)
{
	FILE *f = tls_bed_open(b, name);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void tls_bed_save_certificate(const struct tls_bed *b, const char *name, X509 *x)
{
	FILE *f = tls_bed_open(b, name);
	ck_assert_int_eq(PEM_write_X509(f, x), 1);
	ck_assert_int_eq(fclose(f), 0);
}

static inline void tls_bed_save_key(const struct tls_bed *b, const char *name, EVP_PKEY *key)
{
	FILE *f = tls_bed_open(b, name);
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	ck_assert_int_eq(fclose(f), 0);
}

static inline X509 *tls_bed_certificate(struct tls_bed *b, EVP_PKEY *key, const char *name,
					long from_s, long to_s)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	char san[128];

	ck_assert_int_eq(X509_set_version(x, 2), 1);
	ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(x), ++b->serial), 1);
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(x), from_s));
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(x), to_s));
	ck_assert_int_eq(X509_set_pubkey(x, key), 1);
	ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	ck_assert_int_eq(X509_set_issuer_name(x, b->ca ? X509_get_subject_name(b->ca) : subject),
			 1);
	(void)snprintf(san, sizeof(san), b->ca ? "DNS:%s" : "CA:TRUE", name);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(
		NULL, NULL, b->ca ? NID_subject_alt_name : NID_basic_constraints, san);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
	ck_assert_int_ne(X509_sign(x, b->ca ? b->ca_key : key, EVP_sha256()), 0);
	return x;
}

/* Writes NAME.pem and NAME.key, signed by the bed's authority, valid between these seconds from this moment. */
static inline void tls_bed_issue(struct tls_bed *b, const char *name, long from_s, long to_s)
{
	char file[64];
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = tls_bed_certificate(b, key, name, from_s, to_s);

	(void)snprintf(file, sizeof(file), "%s.pem", name);
	tls_bed_save_certificate(b, file, x);
	(void)snprintf(file, sizeof(file), "%s.key", name);
	tls_bed_save_key(b, file, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline void tls_bed_make(struct tls_bed *b)
{
	*b = (struct tls_bed){ .dir = "/tmp/isthmus-tls-XXXXXX" };
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	b->ca_key = EVP_EC_gen("P-256");
	X509 *ca = tls_bed_certificate(b, b->ca_key, "authority", -10, 100000);
	b->ca = ca;
	tls_bed_save_certificate(b, "ca.pem", ca);
}

static inline void tls_bed_remove(struct tls_bed *b, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)unlink(tls_bed_path(b, names[i]));
	ck_assert_int_eq(rmdir(b->dir), 0);
	X509_free(b->ca);
	EVP_PKEY_free(b->ca_key);
}

/* A client on fd that offers these protocols, in the wire form of ALPN (NULL: none). */
static inline SSL *tls_bed_client(SSL_CTX *ctx, int fd, const char *alpn)
{
	SSL *ssl = SSL_new(ctx);

	ck_assert_ptr_nonnull(ssl);
	ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	if (alpn)
		ck_assert_int_eq(SSL_set_alpn_protos(ssl, (const unsigned char *)alpn,
						     (unsigned)strlen(alpn)),
				 0);
	SSL_set_connect_state(ssl);
	return ssl;
}
