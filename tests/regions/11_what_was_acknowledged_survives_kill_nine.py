#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients write while the daemon is killed, again and again: after each start every point that was acknowledged is there
with its newest acknowledged payload, or a newer one that was sent."""

import random
import threading
import http.client

from lib_daemon import Daemon

ROUNDS = 10
WRITERS = 3
IDS = 40


class Writer(threading.Thread):
    """Writes rising numbers to ids of its own. acknowledged[id] <= what is stored <= sent[id]."""

    def __init__(self, daemon, number, sent, acknowledged, go_on):
        super().__init__()
        self.daemon_process, self.number = daemon, number
        self.sent, self.acknowledged, self.go_on = sent, acknowledged, go_on
        self.writes = 0

    def run(self):
        connection = self.daemon_process.connect()
        wait = "true" if self.number % 2 else "false"
        try:
            while self.go_on.is_set():
                point = self.number * IDS + random.randrange(IDS)
                value = self.sent.get(point, 0) + 1
                self.sent[point] = value
                body = {"points": [{"id": point, "vector": [value, point], "payload": {"v": value}}]}
                status, reply = self.daemon_process.ask("PUT", "/collections/c/points?wait=" + wait, body,
                                                        connection=connection)
                assert status == 200, reply
                self.acknowledged[point] = value
                self.writes += 1
        except (OSError, http.client.HTTPException):
            pass


def check(d, sent, acknowledged):
    ids = sorted(sent)
    records = d.good("POST", "/collections/c/points", {"ids": ids, "with_payload": True, "with_vector": True})
    stored = {r["id"]: r for r in records}
    for point, value in acknowledged.items():
        assert point in stored, "point %d was acknowledged and is gone" % point
        now = stored[point]["payload"]["v"]
        assert value <= now <= sent[point], (point, value, now, sent[point])
        assert stored[point]["vector"] == [now, point], stored[point]
    for point, record in stored.items():
        # What was sent and not acknowledged may be there; what clients see from here on must stay.
        acknowledged[point] = record["payload"]["v"]


def main():
    sent, acknowledged = {}, {}
    total = 0
    with Daemon() as d:
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        for number in range(ROUNDS):
            go_on = threading.Event()
            go_on.set()
            writers = [Writer(d, i, sent, acknowledged, go_on) for i in range(WRITERS)]
            for w in writers:
                w.start()
            while sum(w.writes for w in writers) < 50 + 25 * number:
                for w in writers:
                    w.join(0.01)
                    assert w.is_alive(), "a writer failed before the daemon was killed"
            d.kill()
            go_on.clear()
            for w in writers:
                w.join()
            total += sum(w.writes for w in writers)
            d.start()
            check(d, sent, acknowledged)
        assert d.stop() == 0
    print("%d writes acknowledged in %d rounds, none lost" % (total, ROUNDS))


main()
