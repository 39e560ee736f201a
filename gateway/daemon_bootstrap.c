/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of another region's state: where they are made, and how one takes the place of what this region has.
 *
 * A copy is made in the folder bootstrap/ of storage.dir, which looks as storage.dir does. When it is complete the daemon drains
 * and ends all its parts; the copy takes over identity and promises, and the file bootstrap/install says so. Then all parts start
 * again, and first of all, with nothing open:
 *
 *     install   the folders of collections in storage.dir are deleted; the database that refers to them stays
 *     move      install is renamed to it; folders and database are moved out of bootstrap/, the database replaces the old one;
 *               what is left of bootstrap/ is deleted, with this file
 *
 * Each step may be done again, so that a crash at any moment is gone on from. Until `install` is there, a copy is nothing but a
 * folder that may be deleted.
 */
#include "gateway/daemon_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "replicator/bootstrap.h"

#define PATH_BYTES_MAX 4096

struct copy_path {
	char text[PATH_BYTES_MAX];
};

/* name: a file in the folder of copies; "": the folder. */
static enum err path_of(const char *dir, const char *name, struct copy_path *ret_path)
{
	int len = snprintf(ret_path->text, sizeof(ret_path->text), "%s/bootstrap%s%s", dir, *name ? "/" : "", name);

	return len < 0 || (size_t)len >= sizeof(ret_path->text) ? ERR_CONFIG : ERR_NONE;
}

static bool is_there(const char *dir, const char *name)
{
	struct copy_path p;

	return !path_of(dir, name, &p) && access(p.text, F_OK) == 0;
}

static enum err sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_from_errno(errno);
	enum err err = fsync(fd) < 0 ? err_from_errno(errno) : ERR_NONE;
	(void)close(fd);
	return err;
}

/* --- where copies are made --- */

static void remove_copy(const char *dir)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "isthmus.lock", "install", "move" };
	struct copy_path p;

	if (path_of(dir, "", &p))
		return;
	if (catalog_remove_folders(p.text))
		log_warn("what is left of a copy cannot be removed path=%s", p.text);
	for (size_t i = 0; i < LEN(files); i++)
		if (!path_of(dir, files[i], &p))
			(void)unlink(p.text);
	if (!path_of(dir, "", &p))
		(void)rmdir(p.text);
}

static enum err open_store(void *ctx, bool make, struct store **ret_store, const char **ret_dir, struct fault *f)
{
	struct daemon *d = ctx;
	struct copy_path p;
	enum err err = path_of(d->config->storage_dir, "", &p);

	if (err)
		return fault_set(f, err, "storage.dir: the name is too long");
	if (!make && !is_there(d->config->storage_dir, "data.mdb"))
		return ERR_NOT_FOUND;
	if (mkdir(p.text, 0700) < 0 && errno != EEXIST)
		return fault_set(f, err_from_errno(errno), "%s cannot be made: %s", p.text, strerror(errno));
	if (!d->copy_dir)
		d->copy_dir = strdup(p.text);
	if (!d->copy_dir)
		return fault_set(f, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	*ret_dir = d->copy_dir;
	return store_lmdb_open(d->copy_dir, d->config->storage_map_bytes, ret_store, f);
}

static void close_store(void *ctx, struct store *s, bool discard)
{
	struct daemon *d = ctx;

	if (s)
		s->ops->close(s);
	if (discard)
		remove_copy(d->config->storage_dir);
}

/* --- taking the place --- */

static enum err write_marker(const char *dir, struct fault *f)
{
	struct copy_path p;
	enum err err = path_of(dir, "install", &p);

	if (err)
		return err;
	int fd = open(p.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(fd) < 0)
		err = fault_set(f, err_from_errno(errno), "%s cannot be written: %s", p.text, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	if (!err)
		err = path_of(dir, "", &p);
	return err ? err : sync_folder(p.text);
}

void daemon_bootstrap_adopt(struct daemon *d)
{
	struct fault f = { 0 };

	if (!d->restarting || !d->bootstrap)
		return;
	enum err err = bootstrap_adopt(d->bootstrap, &f);
	if (!err)
		err = write_marker(d->config->storage_dir, &f);
	if (err)
		log_error("a copy could not take this region's place, it is tried again reason=\"%s\"",
			  f.err ? fault_text(&f) : err_sentence(err));
}

static enum err move_database(const char *dir)
{
	char to[PATH_BYTES_MAX];
	struct copy_path from;
	enum err err = path_of(dir, "data.mdb", &from);
	int len = snprintf(to, sizeof(to), "%s/data.mdb", dir);

	if (err || len < 0 || (size_t)len >= sizeof(to))
		return ERR_CONFIG;
	/* Not there: it was moved already. */
	if (rename(from.text, to) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	return sync_folder(dir);
}

static enum err remove_old(const char *dir)
{
	struct copy_path install, move, folder;
	enum err err = catalog_remove_folders(dir);

	if (!err)
		err = path_of(dir, "install", &install);
	if (!err)
		err = path_of(dir, "move", &move);
	if (!err)
		err = path_of(dir, "", &folder);
	if (err)
		return err;
	return rename(install.text, move.text) < 0 ? err_from_errno(errno) : sync_folder(folder.text);
}

static enum err move_new(const char *dir)
{
	struct copy_path folder;
	enum err err = path_of(dir, "", &folder);

	if (!err)
		err = catalog_move_folders(folder.text, dir);
	if (!err)
		err = move_database(dir);
	if (!err)
		remove_copy(dir);
	return err;
}

enum err daemon_bootstrap_swap(const char *dir, struct fault *reterr_fault)
{
	enum err err = is_there(dir, "install") ? remove_old(dir) : ERR_NONE;

	if (!err && is_there(dir, "move")) {
		err = move_new(dir);
		if (!err)
			log_info("a copy of another region's state has taken the place of what was in %s", dir);
	}
	return err ? fault_set(reterr_fault, err,
			       "storage.dir: what is in %s/bootstrap cannot take its place: %s; see that the folder can be "
			       "written, and start again",
			       dir, err_sentence(err))
		   : ERR_NONE;
}

/* --- the part --- */

static struct position confirmed(void *ctx)
{
	const struct daemon *d = ctx;
	struct replicator_state s;

	replicator_state(d->replicator, &s);
	return s.confirmed;
}

static void complete(void *ctx)
{
	daemon_restart(ctx);
}

static void proving(void *ctx, bool on)
{
	const struct daemon *d = ctx;

	replicator_set_unproved(d->replicator, on);
}

static bool lacks(void *ctx, struct fault *ret_why)
{
	const struct daemon *d = ctx;
	struct replicator_state s;

	replicator_state(d->replicator, &s);
	enum err err = s.applier.stopped ? s.applier.trouble.err : ERR_NONE;
	/* Aside: what it would have to take back has no undo record any more. */
	if (err != ERR_GAP && !(s.applier.aside && err == ERR_NOT_FOUND))
		return false;
	*ret_why = s.applier.trouble;
	return true;
}

static uint64_t rtt_us(void *ctx, uint8_t region)
{
	const struct daemon *d = ctx;
	struct peer_reach reach;

	return peer_pool_reach(d->peer_pool, region, &reach) && reach.open ? reach.rtt_us : 0;
}

static bool is_source(void *ctx, struct buf *why)
{
	return daemon_is_ready(ctx, why);
}

enum err daemon_bootstrap_start(struct daemon *d, struct fault *reterr_fault)
{
	const struct bootstrap_options o = {
		.clock = d->clock,
		.store = d->store,
		.catalog = d->catalog,
		.committer = d->committer,
		.peers = replicator_peers(d->replicator),
		.audit = d->audit,
		.log_bytes_max = d->config->storage_log_bytes,
		.bytes_per_s = d->config->bootstrap_bytes_per_s,
		.open = open_store,
		.close = close_store,
		.complete = complete,
		.proving = proving,
		.lacks = lacks,
		.rtt_us = rtt_us,
		.ctx = d,
	};

	if (d->regions.count == 0 || !d->audit)
		return ERR_NONE;
	d->snapshot = (struct snapshot_source){ .store = d->store,
						.catalog = d->catalog,
						.committer = d->committer,
						.peers = o.peers,
						.confirmed = confirmed,
						.ready = is_source,
						.ctx = d };
	return bootstrap_new(&o, &d->bootstrap, reterr_fault);
}

void daemon_bootstrap_stop(struct daemon *d)
{
	bootstrap_free(d->bootstrap);
	d->bootstrap = NULL;
	free(d->copy_dir);
	d->copy_dir = NULL;
}
