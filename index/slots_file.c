/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot file: a header page, then records padded to 64 bytes.
 *
 * Header, 4,096 bytes, zeroes behind what follows
 *   magic         8 bytes, "ISTHSLOT"
 *   u32           format version, 1
 *   u32           bytes of a record, without padding
 *   u64           hash64 of the 16 bytes before
 * Record n lies at 4096 + n * (record bytes rounded up to 64).
 *
 * The header repeats what the catalogue knows. When it is damaged and the file is as long as one can be, the file is
 * opened without it (header_lost); whoever opens it compares the records that rows refer to with the rows' hashes before
 * anything is trusted, and then has the header written anew (slots_file_rebuild). A record has no checksum here: its hash
 * is in the row, and is compared whenever its values leave the process one by one (a point that is read, a row for an
 * audit or a repair); an op of the log is proved as a whole by the running hash before it is sent. Searches do not check.
 *
 * The file is made with its first record. A descriptor is held only from a write to the sync that follows: there may be
 * more files than descriptors, and the mapping needs none.
 *
 * Records are written with pwrite and read through a mapping. The file grows in steps and every
 * step is allocated at once, so a full disk shows as an error of the growing write; it cannot show
 * as SIGBUS in a reader, as the mapping ends where the file does. It is mapped in chunks: a chunk's
 * address space is reserved when the file reaches it and the file is mapped over that as it grows, so
 * records never move and a file takes hardly more addresses than bytes; there may be thousands of files.
 * The file is as long as it was allocated; what a crash leaves unreferred to in it is free after
 * slots_mark_done().
 */
#include "index/slots.h"

#include "base/hash.h"
#include "base/panic.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 4096
#define HEADER_USED 24
#define HEADER_HASHED 16
#define FORMAT_VERSION 1
#define RECORD_ALIGN 64
#define GROW_MIN ((uint64_t)64 << 10)
#define GROW_MAX ((uint64_t)256 << 20)
#define CHUNK_MAX ((uint64_t)256 << 20)

static const char magic[8] = { 'I', 'S', 'T', 'H', 'S', 'L', 'O', 'T' };

struct slots_file {
	struct slots slots;
	char *path;
	int fd;          /* -1 but between a write and its sync */
	bool exists;     /* the file; it has no record yet otherwise */
	uint64_t stride; /* bytes from one record to the next */
	uint64_t size;   /* of the file */
	uint64_t mapped; /* bytes of the file, whole pages */
	uint64_t page;   /* bytes */
	unsigned shift;  /* a chunk has 1 << shift records */
	uint8_t **
		chunks; /* where the file is mapped from each multiple of chunk_bytes(); one for every record */
	bool dirty;       /* written since the last sync */
	bool sync_failed; /* a later sync would not tell what was lost */
};

/* By the address as a number, as CONTAINER_OF would cast const away. at() keeps the result const.
 * */
static struct slots_file *file_of(const struct slots *s)
{
	return CONTAINER_OF((uintptr_t)s, struct slots_file, slots);
}

static uint64_t round_up(uint64_t n, uint64_t step)
{
	return (n + step - 1) / step * step;
}

static uint64_t offset_of(const struct slots_file *f, uint32_t slot)
{
	return HEADER_BYTES + slot * f->stride;
}

/* EFBIG: beyond what the process or the file system lets a file be. ENOENT: somebody has taken the file, or its folder,
 * away. */
static enum err err_from_write(int errnum)
{
	if (errnum == ENOENT)
		return ERR_IO;
	return errnum == EFBIG ? ERR_NO_SPACE : err_from_errno(errnum);
}

static enum err fault_errno(struct fault *reterr_fault, int errnum, const char *doing,
			    const char *path)
{
	const char *cure = errnum == EMFILE || errnum == ENFILE
				   ? "; raise the limit of open files (LimitNOFILE, ulimit -n)"
				   : "";

	return fault_set(reterr_fault, err_from_write(errnum), "%s %s: %s%s", doing, path,
			 strerror(errnum), cure);
}

static enum err write_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_from_write(errno) : ERR_IO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return ERR_NONE;
}

/* --- mapping and growth --- */

static uint64_t chunk_bytes(const struct slots_file *f)
{
	return f->stride << f->shift;
}

/* A chunk's records stand behind the header's length, so each reaches into where the next begins. */
static uint64_t window_bytes(const struct slots_file *f)
{
	return round_up(chunk_bytes(f) + HEADER_BYTES, f->page);
}

static size_t chunk_count(const struct slots_file *f)
{
	return (size_t)(UINT32_MAX >> f->shift) + 1;
}

static uint64_t size_max(const struct slots_file *f)
{
	return HEADER_BYTES + chunk_count(f) * chunk_bytes(f);
}

static void *reserve(uint64_t bytes, int access)
{
	void *p = mmap(NULL, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* From where the file was mapped to `end`, as far as both lie in chunk k. */
static enum err map_chunk(struct slots_file *f, size_t k, uint64_t end)
{
	uint64_t start = k * chunk_bytes(f);
	uint64_t from = MAX(start, f->mapped);
	uint64_t to = MIN(start + window_bytes(f), end);

	if (!f->chunks[k])
		f->chunks[k] = reserve(window_bytes(f), PROT_NONE);
	if (!f->chunks[k])
		return err_from_errno(errno);
	if (from < to && mmap(f->chunks[k] + (from - start), to - from, PROT_READ,
			      MAP_SHARED | MAP_FIXED, f->fd, (off_t)from) == MAP_FAILED)
		return err_from_errno(errno);
	return ERR_NONE;
}

/* Maps the file up to size; what is mapped already stays untouched. */
static enum err map_up_to(struct slots_file *f, uint64_t size)
{
	uint64_t end = round_up(size, f->page);
	/* The chunk before may have a page to go in which the next one has begun. */
	size_t first = (size_t)(f->mapped / chunk_bytes(f));

	for (size_t k = first ? first - 1 : 0; k < chunk_count(f) && k * chunk_bytes(f) < end;
	     k++) {
		enum err e = map_chunk(f, k, end);
		if (e)
			return e;
	}
	f->mapped = MAX(f->mapped, end);
	return ERR_NONE;
}

static enum err grow(struct slots_file *f, uint64_t needed)
{
	uint64_t step = MIN(MAX(f->size, GROW_MIN), GROW_MAX);
	uint64_t size = MIN(round_up(MAX(f->size + step, needed), HEADER_BYTES), size_max(f));

	int rc;
	do
		rc = posix_fallocate(f->fd, (off_t)f->size, (off_t)(size - f->size));
	while (rc == EINTR);
	enum err e = rc ? err_from_write(rc) : map_up_to(f, size);
	if (e) {
		/* Part of the step may have been allocated. Failing to give it back only wastes it.
		 * */
		(void)!ftruncate(f->fd, (off_t)f->size);
		return e;
	}
	f->size = size;
	return ERR_NONE;
}

/* Chunks of whole pages, whatever the stride: they have 1024 records and more. */
static enum err layout(struct slots_file *f)
{
	f->shift = 31;
	while (f->shift > 10 && chunk_bytes(f) > CHUNK_MAX)
		f->shift--;
	f->chunks = reserve(chunk_count(f) * sizeof(*f->chunks), PROT_READ | PROT_WRITE);
	return f->chunks ? ERR_NONE : err_from_errno(errno);
}

/* --- making a file --- */

static enum err sync_folder(const char *path, struct fault *reterr_fault)
{
	char *copy = strdup(path);
	if (!copy)
		return ERR_NO_MEMORY;
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = ERR_NONE;
	if (fd < 0 || fsync(fd) < 0)
		e = fault_errno(reterr_fault, errno, "syncing the folder of", path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return e;
}

static enum err write_header(int fd, uint32_t record_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(HEADER_BYTES);
	static const uint8_t zeroes[HEADER_BYTES - HEADER_USED];

	buf_append(&b, magic, sizeof(magic));
	wire_put_u32(&b, FORMAT_VERSION);
	wire_put_u32(&b, record_bytes);
	if (!buf_err(&b))
		wire_put_u64(&b, hash64(b.data, HEADER_HASHED, 0));
	buf_append(&b, zeroes, sizeof(zeroes));
	if (buf_err(&b))
		return buf_err(&b);
	return write_all(fd, b.data, b.len, 0);
}

static void close_fd(struct slots_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Under another name first, so that the file is never there without its header. */
static enum err create(struct slots_file *f, struct fault *reterr_fault)
{
	char *temporary;
	if (asprintf(&temporary, "%s.new", f->path) < 0)
		return ERR_NO_MEMORY;
	f->fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	enum err e = ERR_NONE;
	if (f->fd < 0)
		e = fault_errno(reterr_fault, errno, "creating", temporary);
	if (!e) {
		e = write_header(f->fd, f->slots.record_bytes);
		if (e)
			fault_set(reterr_fault, e, "writing %s: %s", temporary, err_sentence(e));
	}
	if (!e && fsync(f->fd) < 0)
		e = fault_errno(reterr_fault, errno, "syncing", temporary);
	if (!e && rename(temporary, f->path) < 0)
		e = fault_errno(reterr_fault, errno, "naming", f->path);
	if (e && f->fd >= 0)
		(void)unlink(temporary);
	free(temporary);
	return e ? e : sync_folder(f->path, reterr_fault);
}

static enum err open_to_write(struct slots_file *f, struct fault *reterr_fault)
{
	if (f->fd >= 0)
		return ERR_NONE;
	if (f->exists) {
		f->fd = open(f->path, O_RDWR | O_CLOEXEC);
		return f->fd < 0 ? fault_errno(reterr_fault, errno, "opening", f->path) : ERR_NONE;
	}
	enum err e = create(f, reterr_fault);
	if (!e) {
		e = map_up_to(f, f->size);
		if (e)
			fault_set(reterr_fault, e, "mapping %s: %s", f->path, err_sentence(e));
	}
	if (e) {
		close_fd(f);
		return e;
	}
	f->exists = true;
	return ERR_NONE;
}

/* --- operations --- */

static enum err file_write(struct slots *s, uint32_t slot, const void *record,
			   struct fault *reterr_fault)
{
	struct slots_file *f = file_of(s);
	uint64_t offset = offset_of(f, slot);

	if (f->sync_failed)
		return fault_set(reterr_fault, ERR_IO, "%s: an earlier sync failed", f->path);
	enum err e = open_to_write(f, reterr_fault);
	if (e)
		return e;
	if (offset + f->stride > f->size)
		e = grow(f, offset + f->stride);
	if (!e) {
		f->dirty = true;
		e = write_all(f->fd, record, s->record_bytes, offset);
	}
	return e ? fault_set(reterr_fault, e, "writing %s: %s", f->path, err_sentence(e))
		 : ERR_NONE;
}

static enum err file_sync(struct slots *s, struct fault *reterr_fault)
{
	struct slots_file *f = file_of(s);

	if (f->sync_failed)
		return fault_set(reterr_fault, ERR_IO, "%s: an earlier sync failed", f->path);
	if (!f->dirty)
		return ERR_NONE;
	if (fdatasync(f->fd) < 0) {
		f->sync_failed = true;
		return fault_errno(reterr_fault, errno, "syncing", f->path);
	}
	f->dirty = false;
	close_fd(f);
	return ERR_NONE;
}

static const void *file_at(const struct slots *s, uint32_t slot)
{
	const struct slots_file *f = file_of(s);

	return f->chunks[slot >> f->shift] + HEADER_BYTES +
	       (slot & (((uint32_t)1 << f->shift) - 1)) * f->stride;
}

static void file_close(struct slots *s, bool remove)
{
	struct slots_file *f = file_of(s);

	/* They were reserved in order. */
	for (size_t k = 0; f->chunks && k < chunk_count(f) && f->chunks[k]; k++)
		munmap(f->chunks[k], window_bytes(f));
	if (f->chunks)
		munmap(f->chunks, chunk_count(f) * sizeof(*f->chunks));
	close_fd(f);
	/* Nothing refers to its records any more; a file that stays behind is only litter. */
	if (remove)
		(void)unlink(f->path);
	free(f->path);
	free(s->free_list);
	free(s->used);
	free(f);
}

static const struct slots_ops file_ops = {
	.write = file_write,
	.sync = file_sync,
	.at = file_at,
	.close = file_close,
};

/* --- opening --- */

/* Files grow by whole pages of this size. */
static bool length_fits(const struct slots_file *f)
{
	return f->size >= HEADER_BYTES && f->size % HEADER_BYTES == 0;
}

static enum err check_header(struct slots_file *f, const uint8_t *header,
			     struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(header, HEADER_USED);
	struct bytes found = wire_take(&r, sizeof(magic));
	uint32_t version = wire_u32(&r);
	uint32_t record_bytes = wire_u32(&r);
	uint64_t hash = wire_u64(&r);

	if (hash != hash64(header, HEADER_HASHED, 0)) {
		f->slots.header_lost = length_fits(f);
		return f->slots.header_lost
			       ? ERR_NONE
			       : fault_set(
					 reterr_fault, ERR_CORRUPT,
					 "%s: its header is damaged, and its length is none of a slot file",
					 f->path);
	}
	if (memcmp(found.data, magic, sizeof(magic)) != 0)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s is not a slot file", f->path);
	if (version != FORMAT_VERSION)
		return fault_set(reterr_fault, ERR_VERSION,
				 "%s has format version %u; this program knows version %d", f->path,
				 version, FORMAT_VERSION);
	if (record_bytes != f->slots.record_bytes)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s has records of %u bytes, not of %u",
				 f->path, record_bytes, f->slots.record_bytes);
	return ERR_NONE;
}

static enum err read_existing(struct slots_file *f, struct fault *reterr_fault)
{
	uint8_t header[HEADER_USED];
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return fault_errno(reterr_fault, errno, "reading", f->path);
	f->size = (uint64_t)st.st_size;
	if (f->size < HEADER_BYTES)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s is too short for a slot file",
				 f->path);
	ssize_t n = pread(f->fd, header, sizeof(header), 0);
	if (n != (ssize_t)sizeof(header))
		return fault_errno(reterr_fault, n < 0 ? errno : EIO, "reading", f->path);
	return check_header(f, header, reterr_fault);
}

/* Every slot there is has to be told used or free before one is taken. */
static enum err begin_marking(struct slots_file *f)
{
	uint64_t count = (f->size - HEADER_BYTES) / f->stride;

	f->slots.high = (uint32_t)MIN(count, SLOT_NONE);
	f->slots.used = calloc((size_t)f->slots.high / 64 + 1, sizeof(*f->slots.used));
	return f->slots.used ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err open_existing(struct slots_file *f, struct fault *reterr_fault)
{
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0 && errno != ENOENT)
		return fault_errno(reterr_fault, errno, "opening", f->path);
	f->exists = f->fd >= 0;
	f->size = HEADER_BYTES;
	return f->exists ? read_existing(f, reterr_fault) : ERR_NONE;
}

static enum err open_file(struct slots_file *f, struct fault *reterr_fault)
{
	enum err e = open_existing(f, reterr_fault);
	if (!e) {
		e = layout(f);
		if (!e && f->exists)
			e = map_up_to(f, f->size);
		if (!e)
			e = begin_marking(f);
		if (e)
			fault_set(reterr_fault, e, "opening %s: %s", f->path, err_sentence(e));
	}
	close_fd(f);
	return e;
}

enum err slots_file_rebuild(struct slots *s, struct fault *reterr_fault)
{
	struct slots_file *f = file_of(s);
	enum err e = open_to_write(f, reterr_fault);

	if (e)
		return e;
	e = write_header(f->fd, s->record_bytes);
	if (e)
		fault_set(reterr_fault, e, "writing %s: %s", f->path, err_sentence(e));
	f->dirty = true;
	return e ? e : file_sync(s, reterr_fault);
}

enum err slots_file_open(const char *path, uint32_t record_bytes, struct slots **ret_slots,
			 struct fault *reterr_fault)
{
	ASSERT(record_bytes > 0);
	struct slots_file *f = calloc(1, sizeof(*f));
	if (!f)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "opening %s: out of memory", path);
	f->slots.ops = &file_ops;
	f->slots.record_bytes = record_bytes;
	f->stride = round_up(record_bytes, RECORD_ALIGN);
	f->page = (uint64_t)sysconf(_SC_PAGESIZE);
	f->fd = -1;
	f->path = strdup(path);
	enum err e =
		f->path ? open_file(f, reterr_fault)
			: fault_set(reterr_fault, ERR_NO_MEMORY, "opening %s: out of memory", path);
	if (e) {
		file_close(&f->slots, false);
		return e;
	}
	*ret_slots = &f->slots;
	return ERR_NONE;
}
