#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The primary's process stands still with a write in it: its client is told that the outcome is unknown, once. Writes that come
later are held, and then refused with a time to retry after. A primary that is restarted is waited for."""

import threading
import time

from lib_fleet import TestFleet, error_of, srv, upsert_message, wait_for

POINT = {"id": 1, "vector": [1, 2, 3, 4]}


class Write(threading.Thread):
    def __init__(self, fleet, name, point):
        super().__init__()
        self.rest, self.point, self.answer = fleet.client(name, 60), point, None
        self.start()

    def run(self):
        begun = time.monotonic()
        status, head, text = self.rest.raw("PUT", "/collections/c/points?wait=true",
                                           {"points": [{"id": self.point, "vector": [1, 2, 3, 4]}]})
        self.answer = (status, head, text, time.monotonic() - begun)


def in_flight(fleet, name):
    table = fleet.client(name).call("GET", "/isthmus/regions")
    return next(r for r in table["regions"] if r["name"] == "eu")["connected"]


def check_unknown(fleet):
    fleet.signal_all("eu", srv.signal.SIGSTOP)
    try:
        write = Write(fleet, "us", 7)
        write.join()
        status, head, text, _ = write.answer
        assert status == 502, (status, text)
        assert "outcome unknown" in error_of(text) and "may or may not" in error_of(text), text
        assert not head.get("retry-after"), head
        # By now the connection is known to be dead: nothing was sent of what comes next.
        wait_for("us knows that eu is away", lambda: not in_flight(fleet, "us"), 20)
        write = Write(fleet, "us", 8)
        write.join()
        status, head, text, took = write.answer
        assert status == 503 and head["retry-after"] == "1", (status, head, text)
        assert took > 3, took
        code, words, _ = srv.grpc_call(fleet.grpc_port("us"), "qdrant.Points/Upsert", upsert_message("c", 9, [1, 2, 3, 4]))
        assert code == 14, (code, words)
    finally:
        fleet.signal_all("eu", srv.signal.SIGCONT)
    wait_for("eu is there again", lambda: in_flight(fleet, "us"), 20)
    # What was refused was not written; of the first one nobody can say.
    assert fleet.client("us").raw("PUT", "/collections/c/points?wait=true", {"points": [POINT]})[0] == 200
    fleet.wait_level()
    assert fleet.missing("us", [8, 9]) == [8, 9]


def check_held(fleet):
    """A restart of the primary is shorter than a write is held: no client is refused."""
    fleet.end(fleet.region("eu")["pid"]["isthmusd"], srv.signal.SIGTERM)
    writes = [Write(fleet, n, 100 + i) for i, n in enumerate(("us", "ap", "edge"))]
    wait_for("they are held", lambda: fleet.client("us").call("GET", "/isthmus/regions")["held_writes"] > 0, 10)
    fleet.start("eu", parts=("isthmusd",))
    for w in writes:
        w.join()
        assert w.answer[0] == 200, w.answer
    fleet.wait_level()
    for name in ("eu", "us", "ap"):
        assert not fleet.missing(name, [100, 101, 102]), name


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        check_held(fleet)
        check_unknown(fleet)


if __name__ == "__main__":
    main()
