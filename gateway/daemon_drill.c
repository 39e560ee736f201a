/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What drills leave behind, and what they switch.
 */
#include "gateway/daemon_inner.h"

#include "gateway/drill_history.h"

enum err daemon_drill_start(struct daemon *d, struct fault *reterr_fault)
{
	struct fault fault = { 0 };
	enum err err = drill_history_open(d->config->storage_dir, &d->drills, &fault);

	if (err)
		return fault_set(reterr_fault, err, "storage.dir: %s", fault_text(&fault));
	silence_init(&d->silence, d->clock);
	return ERR_NONE;
}

void daemon_drill_stop(struct daemon *d)
{
	if (!d->drills)
		return;
	silence_release(&d->silence);
	drill_history_close(d->drills);
	d->drills = NULL;
}
