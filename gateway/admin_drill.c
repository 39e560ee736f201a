/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What drills need of a region: to take no part for a while, and to keep the reports. The drill itself is run from outside, as
 * clients see it.
 */
#include "gateway/admin.h"

#include <string.h>

#include "base/log.h"
#include "gateway/drill_history.h"
#include "replicator/silence.h"

static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_TOO_LARGE;
}

static bool parse_kind(struct str word, enum silence_kind *ret_kind)
{
	for (enum silence_kind k = SILENCE_CUT; k <= SILENCE_OUT; k++) {
		const char *text = silence_word(k);

		if (word.len == strlen(text) && memcmp(word.data, text, word.len) == 0) {
			*ret_kind = k;
			return true;
		}
	}
	return false;
}

static enum err begin(struct call *c, const struct msg_drill_silence *in)
{
	enum silence_kind kind;

	if (!c->api->proxy || !c->api->silence)
		return fault_set(&c->fault, ERR_BAD_INPUT, "this region is alone: there is nobody to be cut off from");
	if (!parse_kind(in->kind, &kind))
		return fault_set(&c->fault, ERR_BAD_INPUT, "kind: '%.*s' is neither cut nor out", STR_FMT(in->kind));
	return silence_begin(c->api->silence, kind, in->ms, &c->fault);
}

/* The reply leaves nonetheless: only what is begun from now on is turned away. */
void admin_drill_silence(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	struct json_writer w = json_writer_to(&b);
	const struct msg_drill_silence *in = c->in;
	struct msg_json_document *out = c->out;
	enum err err = begin(c, in);

	if (err) {
		call_finish(c, err);
		return;
	}
	log_warn("a drill was ordered: this region takes no part kind=%.*s ms=%llu", STR_FMT(in->kind),
		 (unsigned long long)in->ms);
	json_put_object(&w);
	json_put_key(&w, STR("region"));
	json_put_cstr(&w, c->api->region);
	json_put_key(&w, STR("ms"));
	json_put_u64(&w, in->ms);
	json_put_object_end(&w);
	call_finish(c, keep(c, &b, &out->json));
}

/* The body is a report. */
void admin_drill_add(struct call *c)
{
	struct msg_json_document *out = c->out;
	enum err err = c->api->drills ? drill_history_add(c->api->drills, buf_str(&c->request->body), &c->fault) : ERR_NOT_IMPLEMENTED;

	out->json = STR("{\"kept\":true}");
	call_finish(c, err);
}

void admin_drills(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(DRILL_HISTORY_BYTES_MAX + 1024);
	const struct msg_drill_list *in = c->in;
	struct msg_json_document *out = c->out;
	enum err err = c->api->drills ? drill_history_list(c->api->drills, in->limit, &b) : ERR_NOT_IMPLEMENTED;

	call_finish(c, err ? err : keep(c, &b, &out->json));
}
