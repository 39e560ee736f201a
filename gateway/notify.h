/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon tells systemd: readiness, reloads, stopping, signs of life; datagrams to $NOTIFY_SOCKET as
 * sd_notify(3) describes them. Without that socket all of it does nothing.
 * Thread: main.
 */
#pragma once

#include "base/err.h"

struct notify {
	int fd; /* -1: nobody listens */
	uint64_t
		watchdog_ms; /* systemd restarts the daemon after that long without a sign of life; 0: never */
};

/* Reads and unsets $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, so that no child inherits them.
 * ERR_CONFIG when they are there and of no use. */
MUST_USE enum err notify_open(struct notify *n, struct fault *reterr_fault);
void notify_close(struct notify *n);

/* status: what `systemctl status` shows; may be NULL. A message that cannot be sent is dropped: there is nobody to
 * tell, and systemd draws its own conclusions. */
void notify_ready(struct notify *n, const char *status);
void notify_reloading(struct notify *n);
void notify_stopping(struct notify *n, const char *status);
void notify_watchdog(struct notify *n);
/* Starting or stopping needs that much time from this moment on, whatever the unit allows. */
void notify_extend_timeout(struct notify *n, uint64_t ms);
