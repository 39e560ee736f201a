#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway without data sends writes of a collection that every region writes to the nearest of them, and others to the primary.
When the nearest dies the next takes them, without the primary too; a collection that is another one now goes to the primary."""

import re

from lib_fleet import DATA, TestFleet, Writers, header_of, srv, upsert_message, wait_for

VECTOR = [1, 2, 3, 4]


def put(fleet, point, collection="m", name="edge", headers=None):
    return fleet.client(name).raw("PUT", f"/collections/{collection}/points?wait=true", {"points": [{"id": point, "vector": VECTOR}]},
                                  headers=headers)


def taken_by(fleet, point, collection="m"):
    status, head, text = put(fleet, point, collection)
    assert status == 200 and head["isthmus-via"] == "edge", (point, status, head, text)
    return head["isthmus-region"]


def served(fleet, name):
    """Writes of points that this region answered itself, by its own count."""
    text = fleet.client(name).raw("GET", "/metrics")[2].decode()
    found = re.findall(r'^isthmus_requests_total\{api="(?:rest|grpc)",method="points_upsert",code="(?:200|0)"\} (\d+)', text, re.M)
    return sum(int(n) for n in found)


def make(fleet, name, collection, headers=None):
    status, _, text = fleet.client(name).raw("PUT", f"/collections/{collection}", {"vectors": {"size": 4, "distance": "Dot"}},
                                             headers={"isthmus-ack": "all", **(headers or {})})
    assert status == 200, (status, text)


def check_nearest(fleet):
    """The edge stands in Amsterdam, the primary in Singapore."""
    before = {n: served(fleet, n) for n in DATA}
    for point in range(1, 11):
        assert taken_by(fleet, point) == "eu", point
        assert taken_by(fleet, point, "c") == "ap", point
    code, words, _ = srv.grpc_call(fleet.grpc_port("edge"), "qdrant.Points/Upsert", upsert_message("m", 11, VECTOR))
    assert code == 0, (code, words)
    after = {n: served(fleet, n) for n in DATA}
    assert [after[n] - before[n] for n in ("eu", "us", "ap")] == [11, 0, 10], (before, after)
    head = put(fleet, 12, headers={"isthmus-explain": "1"})[1]
    assert "every region that holds data takes writes" in header_of(head, "isthmus-route"), head
    assert header_of(head, "isthmus-route").startswith("proxy eu"), head
    # A region with data takes them itself.
    for name in DATA:
        status, head, text = put(fleet, 13, name=name, headers={"isthmus-explain": "1"})
        assert status == 200 and head["isthmus-region"] == name and head["isthmus-route"].startswith(f"here {name}"), (head, text)


def check_deaths(fleet):
    writers = Writers(fleet, ("edge",), "m")
    try:
        writers.more(50)
        fleet.kill("eu", "daemon")
        writers.more(50)
        assert taken_by(fleet, 20) == "us"
        fleet.kill("ap", "daemon")
        writers.more(50)
        assert taken_by(fleet, 21) == "us"
    finally:
        ids = writers.stop()
    assert not writers.refused, writers.refused[:3]
    # What was under way when its region died may be of unknown outcome, one at a time.
    assert len(writers.unknown) <= 2, writers.unknown
    # Also a gateway that has just begun, while there is no primary.
    fleet.kill("edge", "daemon")
    fleet.start("edge", parts=("isthmusd",))
    wait_for("it knows again", lambda: put(fleet, 22)[0] == 200, 20)
    assert taken_by(fleet, 23) == "us"
    for name in ("eu", "ap"):
        fleet.start(name, parts=("isthmusd",))
    wait_for("all are ready", lambda: all((fleet.status_of(n) or {}).get("ready") for n in DATA), 30)
    wait_for("the nearest takes them again", lambda: taken_by(fleet, 24) == "eu", 20)
    wait_for("no acknowledged write is missing", lambda: not any(fleet.missing(n, ids, "m") for n in DATA), 30)


def check_another(fleet):
    """The gateway learns of changes late: whoever gets a write that it may not take sends it on."""
    for round_ in range(3):
        status, _, text = fleet.client("us").raw("DELETE", "/collections/m", headers={"isthmus-ack": "all"})
        assert status == 200, text
        make(fleet, "us", "m")
        for point in range(5):
            assert taken_by(fleet, point) == "ap", (round_, point)
        fleet.client("us").raw("DELETE", "/collections/m", headers={"isthmus-ack": "all"})
        make(fleet, "us", "m", {"isthmus-writers": "all"})
        assert taken_by(fleet, 1) in DATA
        wait_for("the nearest takes them", lambda: taken_by(fleet, 2) == "eu", 20)


def main():
    with TestFleet() as fleet:
        make(fleet, "eu", "c")
        make(fleet, "eu", "m", {"isthmus-writers": "all"})
        fleet.ctl("eu", "switchover", "--to", "ap")
        wait_for("the edge knows the primary", lambda: taken_by(fleet, 1, "c") == "ap", 10)
        wait_for("the edge knows the collection", lambda: taken_by(fleet, 1) == "eu", 10)
        check_nearest(fleet)
        check_another(fleet)
        check_deaths(fleet)


if __name__ == "__main__":
    main()
