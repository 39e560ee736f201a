/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files and folders that the configuration names, looked at without changing anything. All that is wrong is told, each
 * with the line of its key.
 */
#include "gateway/daemon_inner.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config_file.h"

#define CREDENTIALS_BYTES_MAX 65536

/* --- folders --- */

/* With an empty store the vectors that are there would be taken for litter. */
static enum err check_store_is_there(const char *dir, struct fault *reterr_fault)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/data.mdb", dir) >= (int)sizeof(path))
		return fault_set(reterr_fault, ERR_CONFIG, "storage.dir: too long");
	if ((stat(path, &st) == 0 && st.st_size > 0) || !catalog_has_folders(dir))
		return ERR_NONE;
	return fault_set(
		reterr_fault, ERR_CORRUPT,
		"storage.dir: %s has collections, but their database %s is missing or empty; bring it back, or name another folder",
		dir, path);
}

enum err daemon_check_folder(const char *dir, struct fault *reterr_fault)
{
	struct stat st;

	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "storage.dir: %s is no folder; name another", dir);
	if (access(dir, W_OK | X_OK) < 0)
		return fault_set(
			reterr_fault, err_from_errno(errno),
			"storage.dir: %s cannot be written: %s; give it to the user of the daemon, or name another",
			dir, strerror(errno));
	return check_store_is_there(dir, reterr_fault);
}

/* The folder in which path lies, or would lie. */
static const char *folder_of(const char *path, char text[PATH_MAX])
{
	(void)snprintf(text, PATH_MAX, "%s", path);
	return dirname(text);
}

/* 0, or why nothing can be made in it. */
static int why_closed(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return errno;
	if (!S_ISDIR(st.st_mode))
		return ENOTDIR;
	return access(dir, W_OK | X_OK) < 0 ? errno : 0;
}

static enum err check_storage(const struct config *c, struct fault *reterr_fault)
{
	char text[PATH_MAX];
	struct stat st;

	if (stat(c->storage_dir, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return daemon_check_folder(c->storage_dir, reterr_fault);
	int errnum = why_closed(folder_of(c->storage_dir, text));
	return errnum == 0 ? ERR_NONE
			   : fault_set(reterr_fault, ERR_CONFIG,
				       "storage.dir: %s cannot be made: %s; make it for the user of the daemon, or name another",
				       c->storage_dir, strerror(errnum));
}

/* The folder of the data may have to be made yet. */
static enum err check_ctl(const struct config *c, struct fault *reterr_fault)
{
	char text[PATH_MAX];
	const char *dir = folder_of(c->listen_ctl, text);
	int errnum = strcmp(dir, c->storage_dir) == 0 ? 0 : why_closed(dir);

	return errnum == 0 ? ERR_NONE
			   : fault_set(reterr_fault, ERR_CONFIG, "listen.ctl: no socket can be made in %s: %s", dir,
				       strerror(errnum));
}

/* --- keys --- */

struct auth_files daemon_auth_files(const struct config *c)
{
	return (struct auth_files){
		.api = c->auth_api_key_file,
		.alt = c->auth_alt_api_key_file,
		.read_only = c->auth_read_only_api_key_file,
		.admin = c->auth_admin_key_file,
		.jwt = c->auth_jwt,
	};
}

bool daemon_makes_session_key(const struct config *c)
{
	size_t len = strlen(c->storage_dir);

	return strncmp(c->session_key_file, c->storage_dir, len) == 0 &&
	       strcmp(c->session_key_file + len, "/session.key") == 0;
}

enum err daemon_read_session_key(const char *path, struct crypto_key *ret_key, struct fault *reterr_fault)
{
	uint8_t bytes[CRYPTO_KEY_BYTES_MAX + 1];
	size_t len;
	enum err err = config_file_read("session.key_file", path, bytes, sizeof(bytes), &len, reterr_fault);

	if (err)
		return err;
	/* As a text of 64 digits it may end as texts do. */
	if (len == sizeof(bytes) && bytes[len - 1] == '\n')
		len--;
	err = crypto_key_set(ret_key, (struct bytes){ .data = bytes, .len = len });
	explicit_bzero(bytes, sizeof(bytes));
	return err ? config_file_fault("session.key_file", path, reterr_fault, "has not 16 to %d bytes",
				       CRYPTO_KEY_BYTES_MAX)
		   : ERR_NONE;
}

static enum err check_session(const struct config *c, struct fault *reterr_fault)
{
	struct crypto_key key;

	if (daemon_makes_session_key(c) && access(c->session_key_file, F_OK) < 0)
		return ERR_NONE;
	enum err err = daemon_read_session_key(c->session_key_file, &key, reterr_fault);
	explicit_bzero(&key, sizeof(key));
	return err;
}

static enum err check_auth(struct auth_files files, struct fault *reterr_fault)
{
	struct auth *auth;
	enum err err = auth_new(&auth);

	if (err)
		return err;
	err = auth_load(auth, &files, reterr_fault);
	auth_free(auth);
	return err;
}

static enum err check_api_key(const struct config *c, struct fault *reterr_fault)
{
	/* Either of the two may sign tokens. */
	return check_auth((struct auth_files){ .api = c->auth_api_key_file,
					       .alt = c->auth_jwt ? c->auth_alt_api_key_file : NULL,
					       .jwt = c->auth_jwt },
			  reterr_fault);
}

static enum err check_alt_api_key(const struct config *c, struct fault *reterr_fault)
{
	return check_auth((struct auth_files){ .alt = c->auth_alt_api_key_file }, reterr_fault);
}

static enum err check_read_only_key(const struct config *c, struct fault *reterr_fault)
{
	return check_auth((struct auth_files){ .read_only = c->auth_read_only_api_key_file }, reterr_fault);
}

static enum err check_admin_key(const struct config *c, struct fault *reterr_fault)
{
	return check_auth((struct auth_files){ .admin = c->auth_admin_key_file }, reterr_fault);
}

static enum err check_nats_password(const struct config *c, struct fault *reterr_fault)
{
	char first;
	size_t len;

	if (!*c->nats_password_file)
		return ERR_NONE;
	enum err err =
		config_file_read("nats.password_file", c->nats_password_file, (uint8_t *)&first, 1, &len, reterr_fault);
	if (!err && (first == '\n' || first == '\r'))
		err = config_file_fault("nats.password_file", c->nats_password_file, reterr_fault,
					"the first line is empty, a password is expected");
	return err;
}

/* As nsc writes them; libnats would try for ever with anything else. */
static enum err check_nats_credentials(const struct config *c, struct fault *reterr_fault)
{
	static const char key[] = "nats.credentials_file";
	const char *file = c->nats_credentials_file;
	size_t len;

	if (!*file)
		return ERR_NONE;
	char *text = calloc(1, CREDENTIALS_BYTES_MAX + 1);
	if (!text)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	enum err err = config_file_read(key, file, (uint8_t *)text, CREDENTIALS_BYTES_MAX, &len, reterr_fault);
	if (!err && (!strstr(text, "BEGIN NATS USER JWT") || !strstr(text, "SEED")))
		err = config_file_fault(key, file, reterr_fault, "is no .creds file: a user's JWT and seed are expected");
	explicit_bzero(text, CREDENTIALS_BYTES_MAX);
	free(text);
	return err;
}

/* --- certificates, places --- */

static enum err check_tls(const struct config *c, struct fault *reterr_fault)
{
	struct tls_context *context = NULL;
	enum err err = daemon_load_tls(c, &context, reterr_fault);

	tls_context_unref(context);
	return err;
}

static enum err check_peer_tls(const struct config *c, struct fault *reterr_fault)
{
	struct tls_context *server, *client;
	enum err err = daemon_load_peer_tls(c, &server, &client, reterr_fault);

	if (err)
		return err;
	tls_context_unref(server);
	tls_context_unref(client);
	return ERR_NONE;
}

static enum err check_proxies(const struct config *c, struct fault *reterr_fault)
{
	struct forwarded_nets trusted;
	enum err err = daemon_load_proxies(c, &trusted, reterr_fault);

	if (!err)
		free(trusted.items);
	return err;
}

static enum err check_route(const struct config *c, struct fault *reterr_fault)
{
	struct router_policy *policy;
	struct regions regions;

	regions_init(&regions, c);
	enum err err = router_policy_new(c, &regions, true, &policy, reterr_fault);
	if (!err)
		router_policy_free(policy);
	return err;
}

/* In the order of config.def; what a start does without is last. */
enum err daemon_check(const struct config *c, enum daemon_check_for what, struct buf *errors)
{
	static enum err (*const checks[])(const struct config *, struct fault *) = {
		check_ctl,	   check_tls,	    check_api_key,  check_alt_api_key,	 check_read_only_key,
		check_admin_key,   check_session,   check_peer_tls, check_nats_password, check_nats_credentials,
		check_storage,	   check_proxies,   check_route,
	};
	size_t count = LEN(checks) - (what == DAEMON_CHECK_START);
	bool good = true;

	for (size_t i = 0; i < count; i++) {
		struct fault fault = { 0 };
		enum err err = checks[i](c, &fault);
		if (!err)
			continue;
		if (!fault.err)
			(void)fault_set(&fault, err, "%s", err_sentence(err));
		config_add_fault(c, &fault, errors);
		good = false;
	}
	return good ? ERR_NONE : ERR_CONFIG;
}
