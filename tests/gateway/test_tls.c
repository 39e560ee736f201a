/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS: what the files must be, what the handshake chooses, and that a reload leaves connections alone.
 */
#include "gateway/tls.h"

#include <signal.h>
#include <sys/socket.h>

#include "tests/gateway/tls_bed.h"

static const char *const files[] = { "ca.pem",  "a.pem",     "a.key",     "b.pem",
				     "b.key",   "old.pem",   "old.key",   "new.pem",
				     "new.key", "empty.pem", "other.pem", "other-ca.pem",
				     "locked.key" };
static struct tls_bed tls;
static struct clock_manual hand;

static void setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	clock_manual_init(&hand, clock_wall_ms(clock_system()));
	tls_bed_make(&tls);
	tls_bed_issue(&tls, "a", -100, 1000);
	tls_bed_issue(&tls, "b", -100, 2000);
	tls_bed_issue(&tls, "old", -100, -10);
	tls_bed_issue(&tls, "new", 100, 1000);
	tls_bed_write(&tls, "empty.pem", "");
}

static void teardown(void)
{
	tls_bed_remove(&tls, files, LEN(files));
}

static enum err load(const char *certificate, const char *key, const char *ca,
		     struct tls_context **ret, struct fault *f)
{
	const struct tls_options o = {
		.certificate = tls_bed_path(&tls, certificate),
		.key = tls_bed_path(&tls, key),
		.client_ca = ca ? tls_bed_path(&tls, ca) : NULL,
		.clock = &hand.clock,
	};
	return tls_context_new(&o, ret, f);
}

static struct tls_context *context(const char *certificate, const char *key, const char *ca)
{
	struct tls_context *c;
	struct fault f = { .text = "" };
	enum err err = load(certificate, key, ca, &c, &f);
	ck_assert_msg(err == ERR_NONE, "%s", f.text);
	return c;
}

START_TEST(files_that_do_not_fit_are_refused_in_words)
{
	static const struct {
		const char *certificate;
		const char *key;
		const char *ca;
		const char *words;
	} rows[] = {
		{ "absent.pem", "a.key", NULL, "absent.pem: cannot be read: No such file" },
		{ "empty.pem", "a.key", NULL, "empty.pem: is empty" },
		{ "a.key", "a.key", NULL, "a.key: no certificate in PEM form" },
		{ "a.pem", "absent.key", NULL, "absent.key: cannot be read: No such file" },
		{ "a.pem", "a.pem", NULL, "a.pem: no private key in PEM form" },
		{ "a.pem", "b.key", NULL, "b.key: is not the key of the certificate" },
		{ "old.pem", "old.key", NULL, "old.pem: the certificate has expired" },
		{ "new.pem", "new.key", NULL, "new.pem: the certificate is not valid yet" },
		{ "a.pem", "a.key", "absent.pem", "absent.pem: cannot be read: No such file" },
		{ "a.pem", "a.key", "empty.pem", "empty.pem: is empty" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct tls_context *c = NULL;
		struct fault f = { .text = "" };
		ck_assert_msg(load(rows[i].certificate, rows[i].key, rows[i].ca, &c, &f) ==
				      ERR_CONFIG,
			      "row %zu", i);
		ck_assert_msg(strstr(f.text, rows[i].words) != NULL, "row %zu: %s", i, f.text);
	}
}
END_TEST

START_TEST(faults_begin_with_the_key_that_names_the_file)
{
	static const struct {
		const char *certificate, *key, *ca, *name, *words;
	} rows[] = {
		{ "absent.pem", "a.key", "ca.pem", "a", "peer.certificate: " },
		{ "a.pem", "absent.key", "ca.pem", "a", "peer.key: " },
		{ "a.pem", "b.key", "ca.pem", "a", "peer.key: " },
		{ "a.pem", "a.key", "absent.pem", "a", "peer.ca: " },
		{ "a.pem", "a.key", "a.key", "a", "peer.ca: " },
		{ "old.pem", "old.key", "ca.pem", "old", "peer.certificate: " },
		{ "a.pem", "a.key", "b.pem", "a", "the authorities in peer.ca do not vouch for it" },
		{ "a.pem", "a.key", "ca.pem", "b", "the certificate is not for b" },
		{ "a.pem", "a.key", "ca.pem", "a", NULL },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct tls_context *c = NULL;
		struct fault f = { .text = "" };
		const struct tls_options o = {
			.certificate = tls_bed_path(&tls, rows[i].certificate),
			.key = tls_bed_path(&tls, rows[i].key),
			.client_ca = tls_bed_path(&tls, rows[i].ca),
			.name = rows[i].name,
			.group = "peer",
			.clock = &hand.clock,
		};
		enum err err = tls_context_new(&o, &c, &f);
		ck_assert_msg(err == (rows[i].words ? ERR_CONFIG : ERR_NONE), "row %zu: %s", i, f.text);
		if (rows[i].words)
			ck_assert_msg(strncmp(f.text, "peer.", 5) == 0 && strstr(f.text, rows[i].words), "row %zu: %s", i, f.text);
		tls_context_unref(c);
	}
}
END_TEST

/* OpenSSL would ask for the passphrase on the terminal, and wait. */
START_TEST(an_encrypted_key_is_refused_unasked)
{
	static const unsigned char passphrase[] = "secret";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = tls_bed_open(&tls, "locked.key");
	ck_assert_int_eq(PEM_write_PrivateKey(file, key, EVP_aes_256_cbc(), passphrase, 6, NULL, NULL), 1);
	ck_assert_int_eq(fclose(file), 0);
	EVP_PKEY_free(key);
	struct tls_context *c = NULL;
	struct fault f = { .text = "" };
	ck_assert_int_eq(load("a.pem", "locked.key", NULL, &c, &f), ERR_CONFIG);
	ck_assert_msg(strstr(f.text, "locked.key: the private key is encrypted") != NULL, "%s", f.text);
}
END_TEST

/* Both ends of a connection. */
struct pair {
	int fds[2];
	SSL_CTX *client_ctx;
	SSL *client;
	struct tls *server;
	enum tls_io io; /* the server's last */
	int client_error;
};

static void pair_open(struct pair *p, struct tls_context *c, const char *alpn, int version)
{
	*p = (struct pair){ .client_error = SSL_ERROR_NONE };
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds),
			 0);
	p->client_ctx = SSL_CTX_new(TLS_client_method());
	ck_assert_int_eq(SSL_CTX_load_verify_file(p->client_ctx, tls_bed_path(&tls, "ca.pem")), 1);
	SSL_CTX_set_verify(p->client_ctx, SSL_VERIFY_PEER, NULL);
	/* So that TLS 1.1 can be offered at all. */
	ck_assert_int_eq(SSL_CTX_set_cipher_list(p->client_ctx, "DEFAULT@SECLEVEL=0"), 1);
	if (version)
		ck_assert_int_eq(SSL_CTX_set_max_proto_version(p->client_ctx, version), 1);
	p->client = tls_bed_client(p->client_ctx, p->fds[0], alpn);
	ck_assert_int_eq(tls_new(c, p->fds[1], &p->server), ERR_NONE);
}

static void pair_shake(struct pair *p)
{
	bool client_done = false;
	bool server_done = false;

	for (int i = 0; i < 20 && !(client_done && server_done); i++) {
		int n = SSL_do_handshake(p->client);
		p->client_error = SSL_get_error(p->client, n);
		client_done = p->client_error != SSL_ERROR_WANT_READ &&
			      p->client_error != SSL_ERROR_WANT_WRITE;
		if (!server_done) {
			p->io = tls_handshake(p->server);
			server_done = p->io != TLS_WANTS_READ && p->io != TLS_WANTS_WRITE;
		}
	}
}

static void pair_close(struct pair *p)
{
	SSL_free(p->client);
	SSL_CTX_free(p->client_ctx);
	tls_free(p->server);
	(void)close(p->fds[0]);
	(void)close(p->fds[1]);
}

START_TEST(handshake_chooses_h2_before_http_1)
{
	static const struct {
		const char *alpn;
		const char *chosen;
		enum tls_io io;
	} rows[] = {
		{ NULL, "", TLS_DONE },
		{ "\x02h2", "h2", TLS_DONE },
		{ "\x08http/1.1", "http/1.1", TLS_DONE },
		{ "\x08http/1.1\x02h2", "h2", TLS_DONE },
		{ "\x03"
		  "foo\x08http/1.1",
		  "http/1.1", TLS_DONE },
		{ "\x03"
		  "foo",
		  "", TLS_FAILED },
	};
	struct tls_context *c = context("a.pem", "a.key", NULL);
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pair p;
		pair_open(&p, c, rows[i].alpn, 0);
		pair_shake(&p);
		ck_assert_msg(p.io == rows[i].io, "row %zu: %d", i, (int)p.io);
		struct str chosen = tls_alpn(p.server);
		ck_assert_uint_eq(chosen.len, strlen(rows[i].chosen));
		if (chosen.len)
			ck_assert_mem_eq(chosen.data, rows[i].chosen, chosen.len);
		pair_close(&p);
	}
	tls_context_unref(c);
}
END_TEST

START_TEST(only_tls_1_2_and_1_3_are_spoken)
{
	struct tls_context *c = context("a.pem", "a.key", NULL);
	static const struct {
		int version;
		enum tls_io io;
	} rows[] = {
		{ TLS1_VERSION, TLS_FAILED },
		{ TLS1_1_VERSION, TLS_FAILED },
		{ TLS1_2_VERSION, TLS_DONE },
		{ TLS1_3_VERSION, TLS_DONE },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pair p;
		pair_open(&p, c, NULL, rows[i].version);
		pair_shake(&p);
		ck_assert_msg(p.io == rows[i].io, "row %zu: %d", i, (int)p.io);
		if (p.io == TLS_DONE)
			ck_assert_int_eq(SSL_version(p.client), rows[i].version);
		pair_close(&p);
	}
	tls_context_unref(c);
}
END_TEST

START_TEST(old_ciphers_are_refused)
{
	static const char *const ciphers[] = { "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
					       "ECDHE-ECDSA-AES256-SHA384" };
	struct tls_context *c = context("a.pem", "a.key", NULL);
	for (size_t i = 0; i < LEN(ciphers); i++) {
		struct pair p;
		pair_open(&p, c, NULL, TLS1_2_VERSION);
		ck_assert_int_eq(SSL_set_cipher_list(p.client, ciphers[i]), 1);
		pair_shake(&p);
		ck_assert_msg(p.io == TLS_FAILED, "%s", ciphers[i]);
		pair_close(&p);
	}
	tls_context_unref(c);
}
END_TEST

static void check_echo(struct pair *p)
{
	char text[16] = "";
	size_t n;

	ck_assert_int_eq(tls_read(p->server, text, sizeof(text), &n), TLS_WANTS_READ);
	ck_assert_int_eq(SSL_write(p->client, "hello", 5), 5);
	ck_assert_int_eq(tls_read(p->server, text, sizeof(text), &n), TLS_DONE);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq(tls_write(p->server, "world", 5, &n), TLS_DONE);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq(SSL_read(p->client, text, sizeof(text)), 5);
	ck_assert_mem_eq(text, "world", 5);
}

START_TEST(bytes_and_ends_pass_both_ways)
{
	struct tls_context *c = context("a.pem", "a.key", NULL);
	char text[16];
	size_t n;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair p;
		pair_open(&p, c, NULL, version);
		pair_shake(&p);
		check_echo(&p);
		ck_assert_int_eq(tls_shutdown(p.server), TLS_DONE);
		ck_assert_int_le(SSL_read(p.client, text, sizeof(text)), 0);
		ck_assert_int_eq(SSL_get_shutdown(p.client) & SSL_RECEIVED_SHUTDOWN,
				 SSL_RECEIVED_SHUTDOWN);
		(void)SSL_shutdown(p.client);
		ck_assert_int_eq(tls_read(p.server, text, sizeof(text), &n), TLS_CLOSED);
		pair_close(&p);
	}
	tls_context_unref(c);
}
END_TEST

START_TEST(full_socket_takes_a_part_and_then_the_rest)
{
	static char bytes[2000000];
	static char got[2000000];
	struct tls_context *c = context("a.pem", "a.key", NULL);
	struct pair p;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	pair_open(&p, c, NULL, 0);
	pair_shake(&p);
	size_t sent = 0;
	size_t received = 0;
	bool was_full = false;
	while (received < sizeof(bytes)) {
		size_t n = 0;
		if (sent < sizeof(bytes)) {
			enum tls_io io =
				tls_write(p.server, bytes + sent, sizeof(bytes) - sent, &n);
			ck_assert(io == TLS_DONE || io == TLS_WANTS_WRITE);
			was_full |= io == TLS_WANTS_WRITE;
			sent += n;
			if (io == TLS_DONE)
				continue;
		}
		while (SSL_read_ex(p.client, got + received, sizeof(got) - received, &n) == 1)
			received += n;
	}
	ck_assert(was_full);
	ck_assert_mem_eq(bytes, got, sizeof(bytes));
	pair_close(&p);
	tls_context_unref(c);
}
END_TEST

static struct str name_in(SSL *client, char *text, size_t size)
{
	X509 *x = SSL_get1_peer_certificate(client);
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, text,
					  (int)size);
	X509_free(x);
	return (struct str){ .data = text, .len = (size_t)n };
}

START_TEST(reload_is_for_new_connections_only)
{
	char text[64];
	struct tls_holder *h;
	ck_assert_int_eq(tls_holder_new(context("a.pem", "a.key", NULL), &h), ERR_NONE);
	struct tls_context *c = tls_holder_get(h);
	uint64_t expires_ms = tls_context_expires_ms(c);
	ck_assert_uint_ge(expires_ms, hand.wall_ms + 990000);
	ck_assert_uint_le(expires_ms, hand.wall_ms + 1010000);
	struct pair before;
	pair_open(&before, c, NULL, 0);
	tls_context_unref(c);
	pair_shake(&before);

	tls_holder_swap(h, context("b.pem", "b.key", NULL));
	c = tls_holder_get(h);
	struct pair after;
	pair_open(&after, c, NULL, 0);
	tls_context_unref(c);
	pair_shake(&after);

	check_echo(&before);
	check_echo(&after);
	ck_assert_uint_eq(name_in(before.client, text, sizeof(text)).data[0], 'a');
	ck_assert_uint_eq(name_in(after.client, text, sizeof(text)).data[0], 'b');
	tls_holder_free(h);
	check_echo(&before);
	pair_close(&before);
	pair_close(&after);
}
END_TEST

/* Makes the client show NAME's certificate. */
static void show(struct pair *p, const char *name)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "%s.pem", name);
	ck_assert_int_eq(
		SSL_use_certificate_file(p->client, tls_bed_path(&tls, file), SSL_FILETYPE_PEM), 1);
	(void)snprintf(file, sizeof(file), "%s.key", name);
	ck_assert_int_eq(
		SSL_use_PrivateKey_file(p->client, tls_bed_path(&tls, file), SSL_FILETYPE_PEM), 1);
}

START_TEST(peers_are_known_by_their_certificates)
{
	struct tls_context *c = context("a.pem", "a.key", "ca.pem");
	struct pair p;
	pair_open(&p, c, NULL, 0); /* none */
	pair_shake(&p);
	ck_assert_int_eq(p.io, TLS_FAILED);
	pair_close(&p);

	pair_open(&p, c, NULL, 0);
	show(&p, "old"); /* expired */
	pair_shake(&p);
	ck_assert_int_eq(p.io, TLS_FAILED);
	pair_close(&p);

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		pair_open(&p, c, NULL, version);
		show(&p, "b");
		pair_shake(&p);
		ck_assert_int_eq(p.io, TLS_DONE);
		struct str name = tls_peer_name(p.server);
		ck_assert_uint_eq(name.len, 1);
		ck_assert_uint_eq(name.data[0], 'b');
		pair_close(&p);
	}
	tls_context_unref(c);

	/* A certificate of another authority. */
	struct tls_bed other = { .serial = 100 };
	memcpy(other.dir, tls.dir, sizeof(other.dir));
	other.ca_key = EVP_EC_gen("P-256");
	other.ca = tls_bed_certificate(&other, other.ca_key, "other", -10, 1000);
	tls_bed_save_certificate(&other, "other-ca.pem", other.ca);
	c = context("a.pem", "a.key", "other-ca.pem");
	pair_open(&p, c, NULL, 0);
	show(&p, "b");
	pair_shake(&p);
	ck_assert_int_eq(p.io, TLS_FAILED);
	pair_close(&p);
	tls_context_unref(c);
	X509_free(other.ca);
	EVP_PKEY_free(other.ca_key);
}
END_TEST

/* Shakes hands with that session, or none; *ret_session is the next one. */
static bool resumes(struct tls_context *c, int version, SSL_SESSION *session,
		    SSL_SESSION **ret_session)
{
	struct pair p;
	pair_open(&p, c, NULL, version);
	if (session)
		ck_assert_int_eq(SSL_set_session(p.client, session), 1);
	pair_shake(&p);
	ck_assert_int_eq(p.io, TLS_DONE);
	check_echo(&p); /* which also reads the ticket of TLS 1.3 */
	bool resumed = SSL_session_reused(p.client);
	*ret_session = SSL_get1_session(p.client);
	/* OpenSSL does not resume what was not ended. */
	(void)SSL_shutdown(p.client);
	pair_close(&p);
	return resumed;
}

START_TEST(tickets_live_for_a_day_and_a_half)
{
	const uint64_t hour_ns = 3600ull * 1000000000;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_context *c = context("a.pem", "a.key", NULL);
		SSL_SESSION *first;
		SSL_SESSION *next;
		ck_assert(!resumes(c, version, NULL, &first));
		ck_assert(resumes(c, version, first, &next));
		SSL_SESSION_free(next);
		/* Two keys later it is still good. */
		for (int i = 0; i < 2; i++) {
			hand.mono_ns += 12 * hour_ns;
			ck_assert(!resumes(c, version, NULL, &next));
			SSL_SESSION_free(next);
		}
		ck_assert(resumes(c, version, first, &next));
		SSL_SESSION_free(next);
		hand.mono_ns += 12 * hour_ns;
		ck_assert(!resumes(c, version, first, &next));
		SSL_SESSION_free(next);
		/* Another context does not know it at all. */
		struct tls_context *other = context("a.pem", "a.key", NULL);
		ck_assert(!resumes(other, version, first, &next));
		SSL_SESSION_free(next);
		SSL_SESSION_free(first);
		tls_context_unref(other);
		tls_context_unref(c);
	}
}
END_TEST

START_TEST(what_is_no_tls_fails)
{
	struct tls_context *c = context("a.pem", "a.key", NULL);
	struct pair p;
	pair_open(&p, c, NULL, 0);
	ck_assert_int_eq(write(p.fds[0], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	ck_assert_int_eq(tls_handshake(p.server), TLS_FAILED);
	ck_assert_int_eq(tls_shutdown(p.server), TLS_DONE);
	pair_close(&p);
	pair_open(&p, c, NULL, 0);
	(void)close(p.fds[0]);
	enum tls_io io = tls_handshake(p.server);
	ck_assert(io == TLS_FAILED || io == TLS_CLOSED);
	pair_close(&p);
	tls_context_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls");
	TCase *t = tcase_create("tls");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, files_that_do_not_fit_are_refused_in_words);
	tcase_add_test(t, faults_begin_with_the_key_that_names_the_file);
	tcase_add_test(t, an_encrypted_key_is_refused_unasked);
	tcase_add_test(t, only_tls_1_2_and_1_3_are_spoken);
	tcase_add_test(t, old_ciphers_are_refused);
	tcase_add_test(t, what_is_no_tls_fails);
	tcase_add_test(t, peers_are_known_by_their_certificates);
	tcase_add_test(t, handshake_chooses_h2_before_http_1);
	tcase_add_test(t, bytes_and_ends_pass_both_ways);
	tcase_add_test(t, full_socket_takes_a_part_and_then_the_rest);
	tcase_add_test(t, reload_is_for_new_connections_only);
	tcase_add_test(t, tickets_live_for_a_day_and_a_half);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
