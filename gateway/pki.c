/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys are of the curve P-256, which every TLS library takes; certificates are written beside their place and renamed into
 * it, so that a reader sees the old one or the new one.
 */
#include "gateway/pki.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/tls.h"

#define PATH_BYTES_MAX 4096
#define SERIAL_BITS 127
/* Clocks of other machines may be behind. */
#define BACKDATED_S 3600
#define DAY_S 86400

typedef char pki_path[PATH_BYTES_MAX];

static void key_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void certificate_free(X509 **x)
{
	X509_free(*x);
}

static enum err crypto_failed(struct fault *f, const char *what)
{
	char text[256] = "unknown error";
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return fault_set(f, ERR_INTERNAL, "%s: %s", what, text);
}

static enum err file_failed(struct fault *f, const char *path, const char *what)
{
	int errnum = errno;

	if (errnum == EEXIST)
		return fault_set(f, ERR_ALREADY_EXISTS, "%s: is there already and is not written over", path);
	if (errnum == ENOENT)
		return fault_set(f, ERR_NOT_FOUND, "%s: is not there", path);
	return fault_set(f, err_from_errno(errnum), "%s: %s: %s", path, what, strerrordesc_np(errnum));
}

static enum err make_path(pki_path out, const char *dir, const char *name, const char *suffix, struct fault *f)
{
	int n = snprintf(out, PATH_BYTES_MAX, "%s/%s%s", dir, name, suffix);

	if (n < 0 || n >= PATH_BYTES_MAX)
		return fault_set(f, ERR_BAD_INPUT, "%s: the path is too long", dir);
	return ERR_NONE;
}

/* --- files ---------------------------------------------------------------------------------- */

/* A stream on a file that was not there before. */
static FILE *create_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return NULL;
	FILE *file = fdopen(fd, "w");
	if (!file)
		(void)close(fd);
	return file;
}

/* Closes; on disk when true. */
static bool finish_file(FILE *file, bool written)
{
	bool ok = written && fflush(file) == 0 && fsync(fileno(file)) == 0;

	return fclose(file) == 0 && ok;
}

static enum err write_key(const char *path, EVP_PKEY *key, struct fault *f)
{
	FILE *file = create_file(path, 0600);
	if (!file)
		return file_failed(f, path, "cannot be made");
	if (!finish_file(file, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1)) {
		(void)unlink(path);
		return fault_set(f, ERR_IO, "%s: cannot be written", path);
	}
	return ERR_NONE;
}

static enum err write_certificate(const char *path, X509 *x, struct fault *f)
{
	pki_path part;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return fault_set(f, ERR_BAD_INPUT, "%s: the path is too long", path);
	(void)unlink(part); /* of a run that was interrupted */
	FILE *file = create_file(part, 0644);
	if (!file)
		return file_failed(f, part, "cannot be made");
	if (!finish_file(file, PEM_write_X509(file, x) == 1) || rename(part, path) != 0) {
		(void)unlink(part);
		return fault_set(f, ERR_IO, "%s: cannot be written", path);
	}
	return ERR_NONE;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *text UNUSED, int size UNUSED, int writing UNUSED, void *ctx UNUSED)
{
	return -1;
}

static enum err read_key(const char *path, EVP_PKEY **ret_key, struct fault *f)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return file_failed(f, path, "cannot be read");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
	(void)fclose(file);
	if (!key)
		return crypto_failed(f, path);
	*ret_key = key;
	return ERR_NONE;
}

static enum err read_certificate(const char *path, X509 **ret_x, struct fault *f)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return file_failed(f, path, "cannot be read");
	X509 *x = PEM_read_X509(file, NULL, no_passphrase, NULL);
	(void)fclose(file);
	if (!x)
		return crypto_failed(f, path);
	*ret_x = x;
	return ERR_NONE;
}

/* --- certificates --------------------------------------------------------------------------- */

struct extension {
	int nid;
	const char *value;
};

struct plan {
	const char *name;            /* of the subject */
	unsigned days;
	struct clock *clock;
	const struct extension *extensions;
	size_t extension_count;
	EVP_PKEY *key;               /* of the subject */
	X509 *issuer;                /* NULL: itself */
	EVP_PKEY *issuer_key;
};

static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

	BN_free(n);
	return ok;
}

static bool set_times(X509 *x, const struct plan *p)
{
	time_t now = (time_t)(clock_wall_ms(p->clock) / 1000);

	return ASN1_TIME_set(X509_getm_notBefore(x), now - BACKDATED_S) &&
	       ASN1_TIME_set(X509_getm_notAfter(x), now + (time_t)p->days * DAY_S);
}

static bool set_names(X509 *x, const struct plan *p)
{
	X509_NAME *subject = X509_get_subject_name(x);
	const unsigned char *name = (const unsigned char *)p->name;

	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(x, p->issuer ? X509_get_subject_name(p->issuer) : subject) == 1;
}

static bool add_extensions(X509 *x, const struct plan *p)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, p->issuer ? p->issuer : x, x, NULL, NULL, 0);
	for (size_t i = 0; i < p->extension_count; i++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, p->extensions[i].nid, p->extensions[i].value);
		bool ok = e && X509_add_ext(x, e, -1) == 1;
		X509_EXTENSION_free(e);
		if (!ok)
			return false;
	}
	return true;
}

static enum err make_certificate(const struct plan *p, X509 **ret_x, struct fault *f)
{
	CLEANUP(certificate_free) X509 *x = X509_new();

	ERR_clear_error();
	if (!x || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !set_times(x, p) || !set_names(x, p) ||
	    X509_set_pubkey(x, p->key) != 1 || !add_extensions(x, p) ||
	    X509_sign(x, p->issuer ? p->issuer_key : p->key, EVP_sha256()) == 0)
		return crypto_failed(f, p->name);
	*ret_x = TAKE(x);
	return ERR_NONE;
}

/* --- the two commands ----------------------------------------------------------------------- */

enum err pki_init(const char *dir, struct clock *clock, struct fault *reterr_fault)
{
	static const struct extension extensions[] = {
		{ NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
		{ NID_key_usage, "critical,keyCertSign,cRLSign" },
		{ NID_subject_key_identifier, "hash" },
		{ NID_name_constraints, "critical,permitted;DNS:isthmus" },
	};
	CLEANUP(key_free) EVP_PKEY *key = NULL;
	CLEANUP(certificate_free) X509 *x = NULL;
	pki_path key_path, path;
	enum err err = make_path(key_path, dir, "ca", ".key", reterr_fault);

	if (!err)
		err = make_path(path, dir, "ca", ".pem", reterr_fault);
	if (err)
		return err;
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return file_failed(reterr_fault, dir, "cannot be made");
	if (access(path, F_OK) == 0)
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS, "%s: is there already and is not written over", path);
	key = EVP_EC_gen("P-256");
	if (!key)
		return crypto_failed(reterr_fault, "key");
	struct plan p = {
		.name = "Isthmus fleet CA",
		.days = PKI_CA_DAYS,
		.clock = clock,
		.extensions = extensions,
		.extension_count = LEN(extensions),
		.key = key,
	};
	err = make_certificate(&p, &x, reterr_fault);
	if (!err)
		err = write_key(key_path, key, reterr_fault);
	return err ? err : write_certificate(path, x, reterr_fault);
}

/* It becomes a name of DNS, and of files. */
static bool is_region(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > PKI_REGION_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return false;
	return name[0] != '-' && name[len - 1] != '-' && strcmp(name, "ca") != 0;
}

static enum err region_key(const char *path, EVP_PKEY **ret_key, struct fault *f)
{
	if (access(path, F_OK) == 0)
		return read_key(path, ret_key, f);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return crypto_failed(f, "key");
	enum err err = write_key(path, key, f);
	if (err)
		EVP_PKEY_free(key);
	else
		*ret_key = key;
	return err;
}

static enum err read_authority(const char *dir, EVP_PKEY **ret_key, X509 **ret_x, struct fault *f)
{
	pki_path path;
	enum err err = make_path(path, dir, "ca", ".key", f);

	if (!err)
		err = read_key(path, ret_key, f);
	if (!err)
		err = make_path(path, dir, "ca", ".pem", f);
	return err ? err : read_certificate(path, ret_x, f);
}

enum err pki_issue(const char *dir, const char *region, unsigned days, struct clock *clock, struct fault *reterr_fault)
{
	CLEANUP(key_free) EVP_PKEY *ca_key = NULL;
	CLEANUP(key_free) EVP_PKEY *key = NULL;
	CLEANUP(certificate_free) X509 *ca = NULL;
	CLEANUP(certificate_free) X509 *x = NULL;
	char name[PKI_REGION_MAX + sizeof(TLS_REGION_SUFFIX)];
	char alternative[sizeof(name) + 4];
	pki_path key_path, path;

	if (!is_region(region))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "%.64s: is no name of a region: 1 to %d small letters, digits and '-', and not \"ca\"",
				 region, PKI_REGION_MAX);
	if (days == 0 || days > PKI_DAYS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "days: 1 to %d are possible", PKI_DAYS_MAX);
	(void)snprintf(name, sizeof(name), "%s" TLS_REGION_SUFFIX, region);
	(void)snprintf(alternative, sizeof(alternative), "DNS:%s", name);
	enum err err = make_path(key_path, dir, region, ".key", reterr_fault);
	if (!err)
		err = make_path(path, dir, region, ".pem", reterr_fault);
	if (!err)
		err = read_authority(dir, &ca_key, &ca, reterr_fault);
	if (!err)
		err = region_key(key_path, &key, reterr_fault);
	if (err)
		return err;
	const struct extension extensions[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "serverAuth,clientAuth" },
		{ NID_subject_key_identifier, "hash" },
		{ NID_authority_key_identifier, "keyid" },
		{ NID_subject_alt_name, alternative },
	};
	struct plan p = {
		.name = name,
		.days = days,
		.clock = clock,
		.extensions = extensions,
		.extension_count = LEN(extensions),
		.key = key,
		.issuer = ca,
		.issuer_key = ca_key,
	};
	err = make_certificate(&p, &x, reterr_fault);
	return err ? err : write_certificate(path, x, reterr_fault);
}
