/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err config_file_fault(const char *key, const char *file, struct fault *reterr_fault, const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	return fault_set(reterr_fault, ERR_CONFIG, "%s%s%s: %s", key ? key : "", key ? ": " : "", file, words);
}

/* What takes the place of a file, such as a pipe, is refused: a reload could not read it again. */
static enum err open_file(const char *key, const char *file, int *ret_fd, struct fault *reterr_fault)
{
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		int errnum = errno;
		if (fd >= 0)
			(void)close(fd);
		return config_file_fault(key, file, reterr_fault, "cannot be read: %s", strerror(errnum));
	}
	if (S_ISREG(st.st_mode) && st.st_size > 0) {
		*ret_fd = fd;
		return ERR_NONE;
	}
	(void)close(fd);
	if (S_ISREG(st.st_mode))
		return config_file_fault(key, file, reterr_fault, "is empty");
	return config_file_fault(key, file, reterr_fault, S_ISDIR(st.st_mode) ? "is a folder, not a file" : "is not a file");
}

enum err config_file_check(const char *key, const char *file, struct fault *reterr_fault)
{
	int fd;
	enum err err = open_file(key, file, &fd, reterr_fault);

	if (!err)
		(void)close(fd);
	return err;
}

enum err config_file_read(const char *key, const char *file, uint8_t *bytes, size_t cap, size_t *ret_len,
			  struct fault *reterr_fault)
{
	size_t len = 0;
	ssize_t got = 1;
	int fd;
	enum err err = open_file(key, file, &fd, reterr_fault);

	if (err)
		return err;
	while (len < cap && got > 0) {
		got = read(fd, bytes + len, cap - len);
		if (got > 0)
			len += (size_t)got;
	}
	int errnum = errno;
	(void)close(fd);
	if (got < 0)
		return config_file_fault(key, file, reterr_fault, "cannot be read: %s", strerror(errnum));
	*ret_len = len;
	return ERR_NONE;
}
