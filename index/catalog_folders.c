/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders of collections: HLC-REGION of the incarnation, in it a folder shard-N for each shard.
 */
#include "index/catalog.h"

#include "index/catalog_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void catalog_folder_name(struct incarnation i, char out[CATALOG_FOLDER_BYTES])
{
	snprintf(out, CATALOG_FOLDER_BYTES, "%016" PRIx64 "-%u", i.hlc, i.region);
}

bool catalog_folder_parse(const char *entry, struct incarnation *ret_incarnation)
{
	struct incarnation i = { 0 };
	unsigned region;
	char name[CATALOG_FOLDER_BYTES];

	if (sscanf(entry, "%16" SCNx64 "-%u", &i.hlc, &region) != 2 || region > UINT8_MAX)
		return false;
	i.region = (uint8_t)region;
	catalog_folder_name(i, name);
	*ret_incarnation = i;
	return strcmp(name, entry) == 0;
}

static DIR *open_dir(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		(void)close(fd);
	return dir;
}

static void remove_files(int parent, const char *name)
{
	DIR *dir = open_dir(parent, name);

	if (!dir)
		return;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (entry->d_name[0] == 'v') /* v0.slots, v0.manifest, v0-1.segment */
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

void catalog_folder_remove(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	for (uint32_t i = 0; i < COLLECTION_SHARDS_MAX; i++) {
		char shard[CATALOG_FOLDER_BYTES];

		snprintf(shard, sizeof(shard), "shard-%u", i);
		remove_files(fd, shard);
		(void)unlinkat(fd, shard, AT_REMOVEDIR); /* litter at worst, here and below */
	}
	(void)close(fd);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

bool catalog_has_folders(const char *path)
{
	DIR *dir = opendir(path);
	struct incarnation i;
	bool has = false;

	if (!dir)
		return false;
	for (struct dirent *entry = readdir(dir); entry && !has; entry = readdir(dir))
		has = catalog_folder_parse(entry->d_name, &i);
	closedir(dir);
	return has;
}

enum err catalog_remove_folders(const char *path)
{
	DIR *dir = opendir(path);
	struct incarnation i;

	if (!dir)
		return errno == ENOENT ? ERR_NONE : err_from_errno(errno);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (catalog_folder_parse(entry->d_name, &i))
			catalog_folder_remove(dirfd(dir), entry->d_name);
	enum err e = fsync(dirfd(dir)) ? err_from_errno(errno) : ERR_NONE;

	closedir(dir);
	return !e && catalog_has_folders(path) ? ERR_IO : e;
}

/* An entry that is moved away while the folder is read does not hide another (readdir(3)). */
static enum err move_all(DIR *from, int to)
{
	struct incarnation i;

	for (struct dirent *entry = readdir(from); entry; entry = readdir(from))
		if (catalog_folder_parse(entry->d_name, &i) &&
		    renameat(dirfd(from), entry->d_name, to, entry->d_name))
			return err_from_errno(errno);
	return fsync(dirfd(from)) || fsync(to) ? err_from_errno(errno) : ERR_NONE;
}

enum err catalog_move_folders(const char *from, const char *to)
{
	DIR *source = opendir(from);

	if (!source)
		return err_from_errno(errno);
	int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = fd < 0 ? err_from_errno(errno) : move_all(source, fd);

	if (fd >= 0)
		(void)close(fd);
	closedir(source);
	return e;
}
