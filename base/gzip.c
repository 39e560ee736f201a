/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) and zlib (RFC 1950) streams by zlib. On failure nothing stays appended.
 */
#include "base/gzip.h"

#define ZLIB_CONST /* input is const */
#include <zlib.h>

#include <limits.h>

#define RATIO_MAX 100                /* bytes out per byte in */
#define CHUNK_MAX ((size_t)64 << 10) /* bytes */
#define ANY_FORMAT (MAX_WBITS + 32)  /* inflateInit2: gzip or zlib, as the first bytes say */

/* Both zlib calls, as one: Z_OK, Z_STREAM_END, or an error. */
typedef int (*step_fn)(z_stream *z);

static int inflate_step(z_stream *z)
{
	return inflate(z, Z_NO_FLUSH);
}

static int deflate_step(z_stream *z)
{
	return deflate(z, Z_FINISH);
}

static enum err err_of_zlib(int status)
{
	switch (status) {
	case Z_MEM_ERROR:
		return ERR_NO_MEMORY;
	case Z_DATA_ERROR:
	case Z_BUF_ERROR: /* no progress though there is room: the input is cut short */
	case Z_NEED_DICT:
		return ERR_BAD_REQUEST;
	default:
		return ERR_INTERNAL;
	}
}

/* Runs the stream to its end. When all room of out_max bytes is used, one byte of scratch shows whether more
 * would come. */
static enum err run(z_stream *z, step_fn step, struct buf *out, size_t out_max)
{
	size_t room = out_max;

	for (;;) {
		Bytef beyond;
		size_t chunk = MIN(room, CHUNK_MAX);
		z->next_out = chunk ? buf_reserve(out, chunk) : &beyond;
		if (!z->next_out)
			return buf_err(out);
		uInt given = chunk ? (uInt)chunk : 1;
		z->avail_out = given;

		int status = step(z);
		if (status != Z_OK && status != Z_STREAM_END)
			return err_of_zlib(status);
		uInt made = given - z->avail_out;
		if (chunk == 0 && made > 0)
			return ERR_TOO_LARGE;
		buf_commit(out, made);
		room -= made;
		if (status == Z_STREAM_END)
			return ERR_NONE;
	}
}

static size_t room_in(const struct buf *out)
{
	return out->max - out->len;
}

/* Undoes what a failed run appended. */
static enum err settle(struct buf *out, size_t len_before, enum err err)
{
	if (err)
		out->len = len_before;
	return err;
}

enum err gzip_inflate(struct bytes in, struct buf *out)
{
	if (buf_err(out))
		return buf_err(out);
	if (in.len > UINT_MAX / RATIO_MAX)
		return ERR_TOO_LARGE;
	z_stream z = { .next_in = in.data, .avail_in = (uInt)in.len };
	int status = inflateInit2(&z, ANY_FORMAT);
	if (status != Z_OK)
		return err_of_zlib(status);
	size_t len_before = out->len;
	enum err err = run(&z, inflate_step, out, MIN(room_in(out), in.len * RATIO_MAX));
	/* One stream is the whole message. */
	if (!err && z.avail_in > 0)
		err = ERR_BAD_REQUEST;
	(void)inflateEnd(&z); /* fails only for a stream that was not begun */
	return settle(out, len_before, err);
}

enum err gzip_deflate(struct bytes in, int level, struct buf *out)
{
	if (buf_err(out))
		return buf_err(out);
	if (in.len > UINT_MAX)
		return ERR_TOO_LARGE;
	z_stream z = { .next_in = in.data, .avail_in = (uInt)in.len };
	int status = deflateInit(&z, level);
	if (status != Z_OK)
		return err_of_zlib(status);
	size_t len_before = out->len;
	enum err err = run(&z, deflate_step, out, room_in(out));
	(void)deflateEnd(
		&z); /* says Z_DATA_ERROR when it was cut short, which err has said already */
	return settle(out, len_before, err);
}
