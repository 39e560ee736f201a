/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format: "ISTHMNFT", u32 version, u32 count, u64 next number, count * u64 numbers, u64 hash64 of all before.
 */
#include "index/manifest.h"

#include "base/hash.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "ISTHMNFT"
#define MAGIC_BYTES 8
#define FORMAT_VERSION 1
#define BYTES_MAX (MAGIC_BYTES + 4 + 4 + 8 + MANIFEST_SEGMENTS_MAX * 8 + 8)

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* what had to be durable was synced */
}

static enum err decode(const uint8_t *data, size_t len, struct manifest *ret_manifest)
{
	struct wire_reader r = wire_reader_of(data, len);
	struct bytes magic = wire_take(&r, MAGIC_BYTES);
	uint32_t version = wire_u32(&r);
	struct manifest m = { 0 };

	m.count = wire_u32(&r);
	m.next = wire_u64(&r);
	if (r.err || memcmp(magic.data, MAGIC, MAGIC_BYTES) != 0 || m.count > MANIFEST_SEGMENTS_MAX)
		return ERR_CORRUPT;
	for (uint32_t i = 0; i < m.count; i++)
		m.numbers[i] = wire_u64(&r);
	size_t hashed = (size_t)(r.p - data);
	uint64_t hash = wire_u64(&r);
	enum err e = wire_done(&r);

	if (e)
		return e;
	if (hash != hash64(data, hashed, 0))
		return ERR_CORRUPT;
	if (version != FORMAT_VERSION)
		return ERR_VERSION;
	*ret_manifest = m;
	return ERR_NONE;
}

enum err manifest_load(const char *path, struct manifest *ret_manifest)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t data[BYTES_MAX + 1];
	size_t len = 0;

	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : err_from_errno(errno);
	while (len < sizeof(data)) {
		ssize_t n = read(fd, data + len, sizeof(data) - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return decode(data, len, ret_manifest);
}

static enum err failed(struct fault *reterr_fault, const char *doing, const char *path)
{
	int errnum = errno;

	return fault_set(reterr_fault, err_from_errno(errnum), "%s %s: %s", doing, path,
			 strerror(errnum));
}

static enum err write_synced(const char *path, const struct buf *b, struct fault *reterr_fault)
{
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t done = 0;

	if (fd < 0)
		return failed(reterr_fault, "creating", path);
	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(reterr_fault, "writing", path);
		done += (size_t)n;
	}
	if (fsync(fd) < 0)
		return failed(reterr_fault, "syncing", path);
	return ERR_NONE;
}

static enum err sync_folder_of(const char *path, struct fault *reterr_fault)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	CLEANUP(close_fd) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return failed(reterr_fault, "syncing the folder of", path);
	return ERR_NONE;
}

enum err manifest_save(const char *path, const struct manifest *m, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(BYTES_MAX);
	char temporary[PATH_MAX];

	buf_append(&b, MAGIC, MAGIC_BYTES);
	wire_put_u32(&b, FORMAT_VERSION);
	wire_put_u32(&b, m->count);
	wire_put_u64(&b, m->next);
	for (uint32_t i = 0; i < m->count; i++)
		wire_put_u64(&b, m->numbers[i]);
	if (!buf_err(&b))
		wire_put_u64(&b, hash64(b.data, b.len, 0));
	if (buf_err(&b))
		return fault_set(reterr_fault, buf_err(&b), "writing %s: %s", path,
				 err_sentence(buf_err(&b)));
	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return fault_set(reterr_fault, ERR_TOO_LARGE, "%s: the path is too long", path);
	enum err e = write_synced(temporary, &b, reterr_fault);

	if (!e && rename(temporary, path) < 0)
		e = failed(reterr_fault, "naming", path);
	if (e) {
		(void)unlink(temporary); /* litter at worst */
		return e;
	}
	return sync_folder_of(path, reterr_fault);
}
