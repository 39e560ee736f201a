#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two aliases change places again and again, by requests to every region. Nobody in any region ever sees one of them moved and the
other not, what is read through an alias is what its collection holds, and a region that was away has the same aliases after it."""

import sys
import threading

from lib_fleet import TestFleet

REGIONS = "eu", "us", "ap"
SWITCHES = 12


def change(client, *actions):
    assert client.call("POST", "/collections/aliases", {"actions": actions}) is True, actions


def create(alias, collection):
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def aliases(client):
    return {a["alias_name"]: a["collection_name"] for a in client.call("GET", "/aliases")["aliases"]}


class Watcher(threading.Thread):
    """Reads the aliases of one region until it is told to stop."""

    def __init__(self, fleet, name):
        super().__init__()
        self.client = fleet.client(name)
        self.halves, self.seen, self.done = [], set(), threading.Event()

    def run(self):
        while not self.done.is_set():
            now = aliases(self.client)
            if sorted(now.values()) not in ([], ["c1", "c2"]):
                self.halves.append(now)
            self.seen.add(now.get("x"))


def switch_about(fleet):
    watchers = [Watcher(fleet, name) for name in REGIONS]
    for w in watchers:
        w.start()
    try:
        for i in range(SWITCHES):
            client = fleet.client(REGIONS[i % len(REGIONS)])
            there = ("c1", "c2") if i % 2 == 0 else ("c2", "c1")
            change(client, create("x", there[0]), create("y", there[1]))
            assert aliases(client) == {"x": there[0], "y": there[1]}, (i, aliases(client))
    finally:
        for w in watchers:
            w.done.set()
        for w in watchers:
            w.join()
    for name, w in zip(REGIONS, watchers):
        assert not w.halves, (name, w.halves)
        assert {"c1", "c2"} <= w.seen, (name, w.seen)


def check_everywhere(fleet, expected):
    fleet.wait_level()
    for name in REGIONS:
        client = fleet.client(name)
        assert aliases(client) == expected, (name, aliases(client))
        for alias, collection in expected.items():
            got = client.call("POST", f"/collections/{alias}/points", {"ids": [1], "with_payload": True})
            assert got[0]["payload"] == {"of": collection}, (name, alias, got)


def main():
    with TestFleet() as fleet:
        for name in ("c1", "c2"):
            fleet.make_collection("eu", name)
            fleet.client("us").call("PUT", f"/collections/{name}/points?wait=true", {
                "points": [{"id": 1, "vector": [1.0, 2.0, 3.0, 4.0], "payload": {"of": name}}]})
        switch_about(fleet)
        check_everywhere(fleet, {"x": "c2", "y": "c1"})
        fleet.kill("ap")
        change(fleet.client("us"), {"delete_alias": {"alias_name": "x"}},
               {"rename_alias": {"old_alias_name": "y", "new_alias_name": "z"}}, create("w", "c2"))
        fleet.start("ap")
        check_everywhere(fleet, {"w": "c2", "z": "c1"})


if __name__ == "__main__":
    sys.exit(main())
