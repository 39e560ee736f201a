/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One datagram per message: lines NAME=VALUE. The socket is a path, or a name of the abstract namespace that
 * $NOTIFY_SOCKET writes with a leading '@'. It is connected once, so that a daemon without the right to look
 * up paths later can still speak.
 */
#include "gateway/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define MESSAGE_BYTES_MAX 512

static enum err connect_to(const char *name, int *ret_fd, struct fault *reterr_fault)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(address.sun_path))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "NOTIFY_SOCKET: '%s' is no name of a UNIX socket", name);
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fault_set(reterr_fault, err_from_errno(errno), "NOTIFY_SOCKET: %s",
				 strerror(errno));
	socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (connect(fd, (const struct sockaddr *)&address, address_len) < 0) {
		int errnum = errno;
		(void)close(fd);
		return fault_set(reterr_fault, ERR_CONFIG, "NOTIFY_SOCKET: '%s': %s", name,
				 strerror(errnum));
	}
	*ret_fd = fd;
	return ERR_NONE;
}

/* All of the text is one decimal number. */
static bool parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*ret_number = number;
	return true;
}

/* 0 when there is no watchdog, or it watches another process. */
static enum err read_watchdog(uint64_t *ret_ms, struct fault *reterr_fault)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t number;

	*ret_ms = 0;
	if (!usec)
		return ERR_NONE;
	if (pid) {
		if (!parse_number(pid, &number))
			return fault_set(reterr_fault, ERR_CONFIG,
					 "WATCHDOG_PID: '%s' is no number", pid);
		if (number != (uint64_t)getpid())
			return ERR_NONE;
	}
	if (!parse_number(usec, &number) || number < 1000)
		return fault_set(reterr_fault, ERR_CONFIG, "WATCHDOG_USEC: '%s' is no time", usec);
	*ret_ms = number / 1000;
	return ERR_NONE;
}

enum err notify_open(struct notify *n, struct fault *reterr_fault)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct notify opened = { .fd = -1 };
	enum err err = read_watchdog(&opened.watchdog_ms, reterr_fault);

	if (!err && name && *name)
		err = connect_to(name, &opened.fd, reterr_fault);
	if (err)
		return err;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	*n = opened;
	return ERR_NONE;
}

void notify_close(struct notify *n)
{
	if (n->fd >= 0)
		(void)close(n->fd);
	n->fd = -1;
}

static void send_message(struct notify *n, const char *message)
{
	ssize_t sent;

	if (n->fd < 0)
		return;
	do
		sent = send(n->fd, message, strlen(message), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
}

static void send_with_status(struct notify *n, const char *message, const char *status)
{
	char text[MESSAGE_BYTES_MAX];

	if (!status) {
		send_message(n, message);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s\nSTATUS=%s", message, status);
	send_message(n, text);
}

void notify_ready(struct notify *n, const char *status)
{
	send_with_status(n, "READY=1", status);
}

void notify_stopping(struct notify *n, const char *status)
{
	send_with_status(n, "STOPPING=1", status);
}

void notify_watchdog(struct notify *n)
{
	send_message(n, "WATCHDOG=1");
}

/* systemd 253 wants to know since when, on CLOCK_MONOTONIC, of which a wait's end is the measure. */
void notify_reloading(struct notify *n)
{
	char text[MESSAGE_BYTES_MAX];
	struct timespec now;

	clock_wait_deadline(0, &now);
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)now.tv_sec * 1000000 +
			       (unsigned long long)now.tv_nsec / 1000);
	send_message(n, text);
}

void notify_extend_timeout(struct notify *n, uint64_t ms)
{
	char text[MESSAGE_BYTES_MAX];

	(void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%llu",
		       (unsigned long long)ms * 1000);
	send_message(n, text);
}
