/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind store.h, with its default durability: a commit is two synced writes, data then meta
 * page. MDB_NOSYNC and MDB_NOMETASYNC lose acknowledged commits at a power cut, and MDB_WRITEMAP
 * would turn a full disk into SIGBUS, so none of them is used. MDB_NOTLS lets a thread hold several
 * read transactions.
 *
 * Files in the folder
 *   data.mdb      LMDB's; one named database for each table of store.h
 *   lock.mdb      LMDB's reader table
 *   isthmus.lock  held with flock() while the store is open; the process id of the holder, as text
 *
 * Record "format" of STORE_META, written in the transaction that makes the tables
 *   magic         8 bytes, "ISTHMUS" and a zero
 *   u32           format version, 1
 * A data.mdb that has anything in it but not this record belongs to another program.
 */
#include "index/store.h"

#include "base/panic.h"
#include "base/wire.h"

#include <lmdb.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_VERSION 1
#define FORMAT_KEY "format"
#define FORMAT_MAGIC_BYTES 8
#define LOCK_FILE "isthmus.lock"
#define FREE_DBI 0 /* LMDB's own list of free pages */
#define PROBE_BYTES ((off_t)1 << 20)

static const char format_magic[FORMAT_MAGIC_BYTES] = "ISTHMUS";

static const char *const table_names[STORE_TABLE_COUNT] = {
	[STORE_META] = "meta",           [STORE_CATALOG] = "catalog", [STORE_LOG] = "log",
	[STORE_HISTORY] = "history",     [STORE_ROWS] = "rows",       [STORE_UNDO] = "undo",
	[STORE_ORPHANS] = "orphans",     [STORE_MERKLE] = "merkle",   [STORE_VOTERS] = "voters",
	[STORE_CONFLICTS] = "conflicts",
};

struct store_lmdb {
	struct store store;
	MDB_env *env;
	MDB_dbi tables[STORE_TABLE_COUNT];
	char *dir;
	int dir_fd;
	int lock_fd;
	/* A commit failed on the disk. The kernel may have dropped what it could not write, and a
	 * later sync would say that all is well: nothing is written until the store is opened anew.
	 * */
	atomic_bool disk_failed;
};

struct store_txn {
	struct store_lmdb *store;
	MDB_txn *txn;
	bool write;
	enum err failed; /* of the first write that failed */
	uint64_t writes;
	unsigned cursors; /* open */
};

enum cursor_where { CURSOR_START, CURSOR_AT, CURSOR_END };

struct store_cursor {
	struct store_txn *txn;
	MDB_cursor *cursor;
	MDB_dbi table;
	enum cursor_where where;
	/* In write transactions: the key it stands at, and txn->writes when it came there. */
	uint64_t writes;
	size_t key_len;
	uint8_t key[STORE_KEY_MAX];
};

static struct store_lmdb *lmdb_of(struct store *s)
{
	return CONTAINER_OF(s, struct store_lmdb, store);
}

static enum err err_from_lmdb(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return ERR_NONE;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_MAP_FULL:
		return ERR_STORE_FULL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NO_SPACE;
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
		return ERR_CORRUPT;
	case MDB_VERSION_MISMATCH:
		return ERR_VERSION;
	case MDB_READERS_FULL:
		return ERR_UNAVAILABLE;
	case MDB_TXN_FULL:
		return ERR_TOO_LARGE;
	case MDB_BAD_VALSIZE:
		return ERR_BAD_INPUT;
	case MDB_PANIC:
	case EIO:
		return ERR_IO;
	default:
		return rc < 0 ? ERR_INTERNAL : err_from_errno(rc);
	}
}

static enum err fault_lmdb(struct fault *reterr_fault, int rc, const char *dir, const char *doing)
{
	enum err e = err_from_lmdb(rc);

	if (e == ERR_STORE_FULL)
		return fault_set(reterr_fault, e, "%s %s/data.mdb: %s", doing, dir,
				 err_sentence(e));
	if (e == ERR_CORRUPT)
		return fault_set(reterr_fault, e,
				 "%s %s/data.mdb: damaged, or not a store of Isthmus (%s)", doing,
				 dir, mdb_strerror(rc));
	return fault_set(reterr_fault, e, "%s %s/data.mdb: %s", doing, dir, mdb_strerror(rc));
}

static MDB_val val_of(struct bytes b)
{
	/* LMDB does not write through it; its type has no const. */
	return (MDB_val){ .mv_size = b.len, .mv_data = (void *)(uintptr_t)b.data };
}

static struct bytes bytes_of(MDB_val v)
{
	return (struct bytes){ .data = v.mv_data, .len = v.mv_size };
}

static bool key_fits(struct bytes key)
{
	return key.len > 0 && key.len <= STORE_KEY_MAX;
}

/* --- transactions --- */

static enum err lmdb_begin(struct store *s, bool write, struct store_txn **ret_txn)
{
	struct store_lmdb *m = lmdb_of(s);

	if (write && atomic_load(&m->disk_failed))
		return ERR_IO;
	struct store_txn *t = calloc(1, sizeof(*t));
	if (!t)
		return ERR_NO_MEMORY;
	t->store = m;
	t->write = write;
	int rc = mdb_txn_begin(m->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
	if (rc) {
		free(t);
		return err_from_lmdb(rc);
	}
	*ret_txn = t;
	return ERR_NONE;
}

static void lmdb_abort(struct store_txn *t)
{
	if (!t)
		return;
	ASSERT(t->cursors == 0);
	mdb_txn_abort(t->txn);
	free(t);
}

/* Can the file not grow? Tried, and taken back; pages behind those in use mean nothing to LMDB. */
static bool disk_is_full(struct store_lmdb *m)
{
	mdb_filehandle_t fd;
	struct stat st;

	if (mdb_env_get_fd(m->env, &fd) || fstat(fd, &st) < 0)
		return false;
	int rc = posix_fallocate(fd, st.st_size, PROBE_BYTES);
	(void)!ftruncate(fd, st.st_size);
	return rc != 0 && err_from_lmdb(rc) == ERR_NO_SPACE;
}

static enum err lmdb_commit(struct store_txn *t, struct fault *reterr_fault)
{
	struct store_lmdb *m = t->store;

	if (t->failed) {
		enum err failed = t->failed;
		lmdb_abort(t);
		return fault_set(reterr_fault, failed, "writing %s/data.mdb: %s", m->dir,
				 err_sentence(failed));
	}
	ASSERT(t->cursors == 0);
	int rc = mdb_txn_commit(t->txn);
	free(t);
	/* A write that the disk took only half of is EIO to LMDB; the reason shows at the next one.
	 * */
	if (rc == EIO && disk_is_full(m))
		rc = ENOSPC;
	enum err e = err_from_lmdb(rc);
	if (!e)
		return ERR_NONE;
	if (e != ERR_NO_SPACE && e != ERR_STORE_FULL && e != ERR_NO_MEMORY)
		atomic_store(&m->disk_failed, true);
	return fault_lmdb(reterr_fault, rc, m->dir, "committing to");
}

static enum err lmdb_get(struct store_txn *t, enum store_table table, struct bytes key,
			 struct bytes *ret_value)
{
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	MDB_val k = val_of(key), v;
	int rc = mdb_get(t->txn, t->store->tables[table], &k, &v);
	if (rc)
		return err_from_lmdb(rc);
	*ret_value = bytes_of(v);
	return ERR_NONE;
}

/* What a write came to; anything but "not there" loses the transaction. */
static enum err written(struct store_txn *t, int rc)
{
	enum err e = err_from_lmdb(rc);

	t->writes++;
	if (e && e != ERR_NOT_FOUND)
		t->failed = e;
	return e;
}

static enum err lmdb_put(struct store_txn *t, enum store_table table, struct bytes key,
			 struct bytes value)
{
	ASSERT(t->write);
	if (t->failed)
		return t->failed;
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	MDB_val k = val_of(key), v = val_of(value);
	return written(t, mdb_put(t->txn, t->store->tables[table], &k, &v, 0));
}

static enum err lmdb_del(struct store_txn *t, enum store_table table, struct bytes key)
{
	ASSERT(t->write);
	if (t->failed)
		return t->failed;
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	MDB_val k = val_of(key);
	return written(t, mdb_del(t->txn, t->store->tables[table], &k, NULL));
}

/* --- cursors --- */

static enum err lmdb_cursor_open(struct store_txn *t, enum store_table table,
				 struct store_cursor **ret_cursor)
{
	struct store_cursor *c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NO_MEMORY;
	c->txn = t;
	c->table = t->store->tables[table];
	int rc = mdb_cursor_open(t->txn, c->table, &c->cursor);
	if (rc) {
		free(c);
		return err_from_lmdb(rc);
	}
	t->cursors++;
	*ret_cursor = c;
	return ERR_NONE;
}

static void lmdb_cursor_close(struct store_cursor *c)
{
	if (!c)
		return;
	mdb_cursor_close(c->cursor);
	c->txn->cursors--;
	free(c);
}

/* Moves and reports; where it is to stand when there is nothing that way. */
static enum err cursor_move(struct store_cursor *c, MDB_cursor_op op, MDB_val key,
			    enum cursor_where where_if_none, struct bytes *ret_key,
			    struct bytes *ret_value)
{
	MDB_val value;
	int rc = mdb_cursor_get(c->cursor, &key, &value, op);

	if (rc) {
		if (rc == MDB_NOTFOUND)
			c->where = where_if_none;
		return err_from_lmdb(rc);
	}
	c->where = CURSOR_AT;
	if (c->txn->write) {
		c->writes = c->txn->writes;
		c->key_len = key.mv_size;
		memcpy(c->key, key.mv_data, key.mv_size);
	}
	*ret_key = bytes_of(key);
	*ret_value = bytes_of(value);
	return ERR_NONE;
}

/* LMDB moves open cursors along with writes, but leaves open where one stands whose key was
 * deleted. So after a write a fresh one is put at the first key >= the remembered one; *ret_same
 * says whether that one is still there. */
static enum err cursor_find_again(struct store_cursor *c, bool *ret_same)
{
	MDB_cursor *fresh;
	int rc = mdb_cursor_open(c->txn->txn, c->table, &fresh);

	if (rc)
		return err_from_lmdb(rc);
	mdb_cursor_close(c->cursor);
	c->cursor = fresh;
	MDB_val key = { .mv_size = c->key_len, .mv_data = c->key }, value;
	rc = mdb_cursor_get(c->cursor, &key, &value, MDB_SET_RANGE);
	if (rc)
		return err_from_lmdb(rc);
	*ret_same = key.mv_size == c->key_len && memcmp(key.mv_data, c->key, c->key_len) == 0;
	return ERR_NONE;
}

static bool cursor_is_stale(const struct store_cursor *c)
{
	return c->txn->write && c->where == CURSOR_AT && c->writes != c->txn->writes;
}

static enum err lmdb_seek(struct store_cursor *c, struct bytes key, struct bytes *ret_key,
			  struct bytes *ret_value)
{
	if (key.len > STORE_KEY_MAX)
		return ERR_BAD_INPUT;
	MDB_cursor_op op = key.len ? MDB_SET_RANGE : MDB_FIRST;
	return cursor_move(c, op, val_of(key), CURSOR_END, ret_key, ret_value);
}

static enum err lmdb_next(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	MDB_cursor_op op = c->where == CURSOR_START ? MDB_FIRST : MDB_NEXT;

	if (c->where == CURSOR_END)
		return ERR_NOT_FOUND;
	if (cursor_is_stale(c)) {
		bool same = false;
		enum err e = cursor_find_again(c, &same);
		if (e == ERR_NOT_FOUND)
			c->where = CURSOR_END;
		if (e)
			return e;
		op = same ? MDB_NEXT : MDB_GET_CURRENT;
	}
	return cursor_move(c, op, (MDB_val){ 0 }, CURSOR_END, ret_key, ret_value);
}

static enum err lmdb_prev(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	MDB_cursor_op op = c->where == CURSOR_END ? MDB_LAST : MDB_PREV;

	if (c->where == CURSOR_START)
		return ERR_NOT_FOUND;
	if (cursor_is_stale(c)) {
		bool same;
		enum err e = cursor_find_again(c, &same);
		if (e && e != ERR_NOT_FOUND)
			return e;
		op = e ? MDB_LAST : MDB_PREV;
	}
	return cursor_move(c, op, (MDB_val){ 0 }, CURSOR_START, ret_key, ret_value);
}

static enum err lmdb_last(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	return cursor_move(c, MDB_LAST, (MDB_val){ 0 }, CURSOR_END, ret_key, ret_value);
}

/* --- opening and closing --- */

static void lmdb_close(struct store *s)
{
	struct store_lmdb *m = lmdb_of(s);

	if (m->env)
		mdb_env_close(m->env);
	/* The lock goes with its descriptor, last. The file stays: to unlink it would let two
	 * others hold two files of that name. */
	if (m->lock_fd >= 0)
		close(m->lock_fd);
	if (m->dir_fd >= 0)
		close(m->dir_fd);
	free(m->dir);
	free(m);
}

static const struct store_ops lmdb_ops = {
	.begin = lmdb_begin,
	.commit = lmdb_commit,
	.abort = lmdb_abort,
	.get = lmdb_get,
	.put = lmdb_put,
	.del = lmdb_del,
	.cursor_open = lmdb_cursor_open,
	.cursor_close = lmdb_cursor_close,
	.seek = lmdb_seek,
	.next = lmdb_next,
	.prev = lmdb_prev,
	.last = lmdb_last,
	.close = lmdb_close,
};

static enum err refuse_held(struct store_lmdb *m, struct fault *reterr_fault)
{
	char holder[32];
	ssize_t n = pread(m->lock_fd, holder, sizeof(holder) - 1, 0);

	holder[n > 0 ? n : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
	return fault_set(reterr_fault, ERR_UNAVAILABLE,
			 "the store in %s is open in another process (%s)", m->dir,
			 holder[0] ? holder : "unknown");
}

static enum err lock_folder(struct store_lmdb *m, struct fault *reterr_fault)
{
	m->dir_fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0)
		return fault_set(reterr_fault, err_from_errno(errno), "the folder %s: %s", m->dir,
				 strerror(errno));
	m->lock_fd = openat(m->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (m->lock_fd < 0)
		return fault_set(reterr_fault, err_from_errno(errno), "opening %s/%s: %s", m->dir,
				 LOCK_FILE, strerror(errno));
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return refuse_held(m, reterr_fault);
		return fault_set(reterr_fault, err_from_errno(errno), "locking %s/%s: %s", m->dir,
				 LOCK_FILE, strerror(errno));
	}
	/* For the words of refuse_held only: the lock holds whether they could be written or not.
	 * */
	if (ftruncate(m->lock_fd, 0) == 0)
		(void)!dprintf(m->lock_fd, "%ld\n", (long)getpid());
	return ERR_NONE;
}

static enum err open_env(struct store_lmdb *m, uint64_t map_bytes, struct fault *reterr_fault)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	if (map_bytes > SIZE_MAX - page)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "the bound of the store in %s is too large", m->dir);
	size_t map_size = (size_t)((map_bytes + page - 1) / page * page);
	int rc = mdb_env_create(&m->env);

	m->store.bytes_max = map_size;
	rc = rc ? rc : mdb_env_set_mapsize(m->env, map_size);
	rc = rc ? rc : mdb_env_set_maxreaders(m->env, STORE_READERS_MAX);
	rc = rc ? rc : mdb_env_set_maxdbs(m->env, STORE_TABLE_COUNT);
	rc = rc ? rc : mdb_env_open(m->env, m->dir, MDB_NOTLS, 0600);
	/* The system's own words do not say which of the two files they are about. */
	if (rc > 0)
		return fault_set(reterr_fault, err_from_lmdb(rc),
				 "opening %s/data.mdb and lock.mdb: %s; give both to the user "
				 "of the daemon",
				 m->dir, strerror(rc));
	return rc ? fault_lmdb(reterr_fault, rc, m->dir, "opening") : ERR_NONE;
}

static uint64_t count_pages(MDB_val list, uint64_t first, uint64_t last)
{
	uint64_t count = 0;

	/* A count, then so many page numbers. */
	for (size_t at = sizeof(size_t); at + sizeof(size_t) <= list.mv_size;
	     at += sizeof(size_t)) {
		size_t page;
		memcpy(&page, (const char *)list.mv_data + at, sizeof(page));
		count += page >= first && page <= last;
	}
	return count;
}

/* Does LMDB's list of free pages, by the number of the transaction that freed them, hold every page from first to last?
 * Looked up number by number, the newest first: going from one entry to the next LMDB aborts on a damaged page. */
static int all_free(MDB_env *env, uint64_t first, uint64_t last, size_t txn_last, bool *ret_free)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	uint64_t missing = last - first + 1;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return rc;
	rc = mdb_cursor_open(txn, FREE_DBI, &cursor);
	if (!rc) {
		for (size_t number = txn_last; number > 0 && missing > 0 && !rc; number--) {
			MDB_val key = { .mv_size = sizeof(number), .mv_data = &number }, list;
			rc = mdb_cursor_get(cursor, &key, &list, MDB_SET);
			if (!rc)
				missing -= MIN(missing, count_pages(list, first, last));
			if (rc == MDB_NOTFOUND)
				rc = MDB_SUCCESS;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	*ret_free = missing == 0;
	return rc;
}

static enum err refuse_cut(struct store_lmdb *m, uint64_t has, uint64_t wants,
			   struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_CORRUPT,
			 "%s/data.mdb is cut off: it has %llu bytes of %llu", m->dir,
			 (unsigned long long)has, (unsigned long long)wants);
}

/*
 * A page behind the end of the file would end the process by SIGBUS when it is read. A whole file may be shorter than
 * its meta page says, as LMDB does not write pages at the end that a transaction took and gave back; these are all
 * in the list of free pages. To look there the file is made as long as it should be, and short again if it is refused.
 */
static enum err check_length(struct store_lmdb *m, struct fault *reterr_fault)
{
	mdb_filehandle_t fd;
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	bool whole = false;
	int rc = mdb_env_get_fd(m->env, &fd);

	rc = rc ? rc : mdb_env_info(m->env, &info);
	rc = rc ? rc : mdb_env_stat(m->env, &stat);
	if (!rc && fstat(fd, &st) < 0)
		rc = errno;
	if (rc)
		return fault_lmdb(reterr_fault, rc, m->dir, "reading");
	uint64_t pages = (uint64_t)st.st_size / stat.ms_psize;
	uint64_t wants = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;

	if (pages > info.me_last_pgno)
		return ERR_NONE;
	if (ftruncate(fd, (off_t)wants) < 0)
		return fault_lmdb(reterr_fault, errno, m->dir, "reading");
	rc = all_free(m->env, pages, info.me_last_pgno, info.me_last_txnid, &whole);
	if (!rc && whole)
		return ERR_NONE;
	(void)!ftruncate(fd, st.st_size); /* as it was; longer it tells less, but does no harm */
	return refuse_cut(m, (uint64_t)st.st_size, wants, reterr_fault);
}

static enum err refuse_foreign(struct store_lmdb *m, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_CORRUPT,
			 "%s/data.mdb is not a store of Isthmus; it belongs to another program",
			 m->dir);
}

static enum err check_format(struct store_lmdb *m, struct bytes record, struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(record.data, record.len);
	struct bytes magic = wire_take(&r, FORMAT_MAGIC_BYTES);
	uint32_t version = wire_u32(&r);

	if (wire_done(&r) || memcmp(magic.data, format_magic, FORMAT_MAGIC_BYTES) != 0)
		return refuse_foreign(m, reterr_fault);
	if (version != FORMAT_VERSION)
		return fault_set(
			reterr_fault, ERR_VERSION,
			"%s/data.mdb has format version %u, this program knows version %d; start it with the "
			"version of Isthmus that wrote it, or a later one",
			m->dir, version, FORMAT_VERSION);
	return ERR_NONE;
}

/* Reads only: a file that is not ours is left as it is. */
static enum err check_owner(struct store_lmdb *m, MDB_txn *txn, bool *ret_new,
			    struct fault *reterr_fault)
{
	MDB_dbi top, meta;
	MDB_stat stat;
	int rc = mdb_dbi_open(txn, NULL, 0, &top);

	rc = rc ? rc : mdb_stat(txn, top, &stat);
	if (rc)
		return fault_lmdb(reterr_fault, rc, m->dir, "reading");
	*ret_new = stat.ms_entries == 0;
	if (*ret_new)
		return ERR_NONE;

	rc = mdb_dbi_open(txn, table_names[STORE_META], 0, &meta);
	if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
		return refuse_foreign(m, reterr_fault);
	struct bytes name = { .data = (const uint8_t *)FORMAT_KEY, .len = strlen(FORMAT_KEY) };
	MDB_val key = val_of(name), value;
	rc = rc ? rc : mdb_get(txn, meta, &key, &value);
	if (rc == MDB_NOTFOUND)
		return refuse_foreign(m, reterr_fault);
	if (rc)
		return fault_lmdb(reterr_fault, rc, m->dir, "reading");
	return check_format(m, bytes_of(value), reterr_fault);
}

static int put_format(struct store_lmdb *m, MDB_txn *txn)
{
	uint8_t record[FORMAT_MAGIC_BYTES + 4] = { 0 };
	struct bytes name = { .data = (const uint8_t *)FORMAT_KEY, .len = strlen(FORMAT_KEY) };
	MDB_val key = val_of(name), value = { .mv_size = sizeof(record), .mv_data = record };

	memcpy(record, format_magic, FORMAT_MAGIC_BYTES);
	record[FORMAT_MAGIC_BYTES] = FORMAT_VERSION;
	return mdb_put(txn, m->tables[STORE_META], &key, &value, 0);
}

/* Makes what is missing, in one transaction. */
static int open_tables(struct store_lmdb *m, bool is_new)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(m->env, NULL, 0, &txn);

	if (rc)
		return rc;
	for (unsigned i = 0; i < STORE_TABLE_COUNT && !rc; i++)
		rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &m->tables[i]);
	if (!rc && is_new)
		rc = put_format(m, txn);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static enum err prepare(struct store_lmdb *m, struct fault *reterr_fault)
{
	MDB_txn *txn;
	bool is_new = false;
	int rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return fault_lmdb(reterr_fault, rc, m->dir, "reading");
	enum err e = check_owner(m, txn, &is_new, reterr_fault);
	mdb_txn_abort(txn);
	if (e)
		return e;
	rc = open_tables(m, is_new);
	if (rc)
		return fault_lmdb(reterr_fault, rc, m->dir, "making the tables of");
	/* LMDB syncs the file, not its name. */
	if (fsync(m->dir_fd) < 0)
		return fault_set(reterr_fault, err_from_errno(errno), "syncing the folder %s: %s",
				 m->dir, strerror(errno));
	return ERR_NONE;
}

enum err store_lmdb_open(const char *dir, uint64_t map_bytes, struct store **ret_store,
			 struct fault *reterr_fault)
{
	struct store_lmdb *m = calloc(1, sizeof(*m));
	if (!m)
		return fault_set(reterr_fault, ERR_NO_MEMORY,
				 "opening the store in %s: out of memory", dir);
	m->store.ops = &lmdb_ops;
	m->dir_fd = m->lock_fd = -1;
	m->dir = strdup(dir);

	enum err e = m->dir ? lock_folder(m, reterr_fault)
			    : fault_set(reterr_fault, ERR_NO_MEMORY,
					"opening the store in %s: out of memory", dir);
	if (!e)
		e = open_env(m, map_bytes, reterr_fault);
	if (!e)
		e = check_length(m, reterr_fault);
	if (!e)
		e = prepare(m, reterr_fault);
	if (e) {
		lmdb_close(&m->store);
		return e;
	}
	*ret_store = &m->store;
	return ERR_NONE;
}

/* Pages that a later transaction may take again; 0 when they cannot be counted. */
static uint64_t free_pages(MDB_env *env)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t pages = 0;

	if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
		return 0;
	if (!mdb_cursor_open(txn, FREE_DBI, &cursor)) {
		/* Each value is a count, then so many page numbers. */
		while (!mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
			size_t n;
			memcpy(&n, value.mv_data, sizeof(n));
			pages += n;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages;
}

struct store_stats store_lmdb_stats(struct store *s)
{
	struct store_lmdb *m = lmdb_of(s);
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(m->env, &info) || mdb_env_stat(m->env, &stat))
		return (struct store_stats){ 0 };
	uint64_t pages = info.me_last_pgno + 1;
	return (struct store_stats){
		.map_bytes = info.me_mapsize,
		.used_bytes = (pages - MIN(free_pages(m->env), pages)) * stat.ms_psize,
	};
}
