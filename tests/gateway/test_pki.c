/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/pki.h"

#include <check.h>
#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name)
{
	static char paths[4][384];
	static unsigned at;
	char *path = paths[at++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/pki/%s", folder, name);
	return path;
}

static const char *pki_dir(void)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/pki", folder);
	return path;
}

static void setup(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/isthmus-pki-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
	DIR *dir = opendir(pki_dir());

	for (const struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.')
			(void)unlink(in_folder(e->d_name));
	if (dir)
		(void)closedir(dir);
	(void)rmdir(pki_dir());
	ck_assert_int_eq(rmdir(folder), 0);
}

static void init(void)
{
	struct fault f = { 0 };

	ck_assert_msg(pki_init(pki_dir(), clock_system(), &f) == ERR_NONE, "%s", f.text);
}

static void issue(const char *region, unsigned days, struct clock *clock)
{
	struct fault f = { 0 };

	ck_assert_msg(pki_issue(pki_dir(), region, days, clock, &f) == ERR_NONE, "%s", f.text);
}

static X509 *certificate(const char *name)
{
	FILE *f = fopen(in_folder(name), "r");
	ck_assert_ptr_nonnull(f);
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	ck_assert_ptr_nonnull(x);
	return x;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(in_folder(name), &st), 0);
	return st.st_mode & 0777;
}

/* X509_V_OK, or why the certificate is not good for that purpose. */
static int verdict(X509 *x, X509 *ca, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();

	ck_assert_int_eq(X509_STORE_add_cert(store, ca), 1);
	ck_assert_int_eq(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
	ck_assert_int_eq(X509_STORE_CTX_set_purpose(ctx, purpose), 1);
	(void)X509_verify_cert(ctx);
	int error = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return error;
}

START_TEST(names_that_are_no_region_are_refused)
{
	static const char *const names[] = { "", "-eu", "eu-", "EU", "eu/../x", "eu.west", "eu west", "ca", "*",
					     "abcdefghijklmnopqrstuvwxyz0123456" };
	struct fault f = { 0 };

	init();
	for (size_t i = 0; i < LEN(names); i++)
		ck_assert_msg(pki_issue(pki_dir(), names[i], 30, clock_system(), &f) == ERR_BAD_INPUT, "\"%s\"", names[i]);
}
END_TEST

START_TEST(days_beyond_the_bounds_are_refused)
{
	init();
	ck_assert_int_eq(pki_issue(pki_dir(), "eu", 0, clock_system(), NULL), ERR_BAD_INPUT);
	ck_assert_int_eq(pki_issue(pki_dir(), "eu", PKI_DAYS_MAX + 1, clock_system(), NULL), ERR_BAD_INPUT);
}
END_TEST

START_TEST(without_an_authority_nothing_is_issued)
{
	struct fault f = { 0 };

	ck_assert_int_eq(pki_issue(pki_dir(), "eu", 30, clock_system(), &f), ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(f.text, "ca.key"));
}
END_TEST

START_TEST(an_authority_is_never_written_over)
{
	struct fault f = { 0 };

	init();
	ck_assert_int_eq(pki_init(pki_dir(), clock_system(), &f), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(unlink(in_folder("ca.pem")), 0);
	ck_assert_int_eq(pki_init(pki_dir(), clock_system(), &f), ERR_ALREADY_EXISTS);
}
END_TEST

START_TEST(keys_are_for_their_owner_only)
{
	init();
	issue("eu", 30, clock_system());
	ck_assert_uint_eq(mode_of("ca.key"), 0600);
	ck_assert_uint_eq(mode_of("eu.key"), 0600);
}
END_TEST

START_TEST(a_certificate_serves_both_ends_and_names_its_region)
{
	init();
	issue("eu", 30, clock_system());
	X509 *ca = certificate("ca.pem"), *x = certificate("eu.pem");
	ck_assert_int_eq(verdict(x, ca, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	ck_assert_int_eq(verdict(x, ca, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	ck_assert_int_eq(X509_check_host(x, "eu.isthmus", 0, 0, NULL), 1);
	ck_assert_int_eq(X509_check_host(x, "us.isthmus", 0, 0, NULL), 0);
	ck_assert_int_eq(X509_check_ca(x), 0);
	X509_free(x);
	X509_free(ca);
}
END_TEST

START_TEST(certificates_of_another_authority_do_not_count)
{
	init();
	issue("eu", 30, clock_system());
	X509 *x = certificate("eu.pem");
	ck_assert_int_eq(unlink(in_folder("ca.pem")), 0);
	ck_assert_int_eq(unlink(in_folder("ca.key")), 0);
	init();
	X509 *other = certificate("ca.pem");
	ck_assert_int_ne(verdict(x, other, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	X509_free(x);
	X509_free(other);
}
END_TEST

START_TEST(a_certificate_ends_after_its_days)
{
	struct clock_manual then;

	init();
	clock_manual_init(&then, clock_wall_ms(clock_system()) - UINT64_C(31) * 86400 * 1000);
	issue("eu", 30, &then.clock);
	X509 *ca = certificate("ca.pem"), *x = certificate("eu.pem");
	ck_assert_int_eq(verdict(x, ca, X509_PURPOSE_SSL_SERVER), X509_V_ERR_CERT_HAS_EXPIRED);
	X509_free(x);
	X509_free(ca);
}
END_TEST

START_TEST(a_region_keeps_its_key_when_its_certificate_is_renewed)
{
	init();
	issue("eu", 30, clock_system());
	X509 *before = certificate("eu.pem");
	issue("eu", 60, clock_system());
	X509 *after = certificate("eu.pem"), *ca = certificate("ca.pem");
	ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)), 1);
	ck_assert_int_ne(ASN1_INTEGER_cmp(X509_get0_serialNumber(before), X509_get0_serialNumber(after)), 0);
	ck_assert_int_eq(verdict(after, ca, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	X509_free(before);
	X509_free(after);
	X509_free(ca);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pki");
	TCase *t = tcase_create("pki");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, names_that_are_no_region_are_refused);
	tcase_add_test(t, days_beyond_the_bounds_are_refused);
	tcase_add_test(t, without_an_authority_nothing_is_issued);
	tcase_add_test(t, an_authority_is_never_written_over);
	tcase_add_test(t, keys_are_for_their_owner_only);
	tcase_add_test(t, a_certificate_serves_both_ends_and_names_its_region);
	tcase_add_test(t, certificates_of_another_authority_do_not_count);
	tcase_add_test(t, a_certificate_ends_after_its_days);
	tcase_add_test(t, a_region_keeps_its_key_when_its_certificate_is_renewed);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
