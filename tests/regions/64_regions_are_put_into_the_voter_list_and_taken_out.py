#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A region is removed, expelled and added one at a time, through any region; what is outside the list acknowledges nothing and is
waited for by nobody; a region that lost its disk is taken in again by itself."""

import json
import os
import shutil
import subprocess

from lib_fleet import TestFleet, wait_for

FAILOVER = 'failover = { mode = "auto"; };\n'


def ctl(fleet, name, *words):
    return subprocess.run([os.environ["ISTHMUSCTL"], *words, "--url", fleet.rest(name)], capture_output=True, text=True,
                          timeout=60)


def refused(fleet, name, *words, because):
    done = ctl(fleet, name, *words)
    assert done.returncode == 1 and because in done.stderr, (words, done.returncode, done.stdout, done.stderr)


def put(fleet, name, point, **headers):
    status, head, text = fleet.client(name).raw("PUT", "/collections/c/points?wait=true&ordering=strong",
                                                {"points": [{"id": point, "vector": [1, 2, 3, 4]}]}, headers)
    assert status == 200, (status, text)
    return head


def members(fleet, name):
    t = json.loads(fleet.ctl(name, "region", "list", "--json"))
    return t["list"]["number"], {m["name"]: m for m in t["members"]}


def ready(fleet, name):
    return (fleet.status_of(name) or {}).get("ready")


def main():
    with TestFleet(FAILOVER) as fleet:
        primary = wait_for("a region is the primary", fleet.primary, 15)
        a, b = [n for n in ("eu", "us", "ap") if n != primary]
        fleet.make_collection(primary)
        put(fleet, primary, 1)
        wait_for("all have list 1", lambda: members(fleet, a)[0] == 1, 10)

        # Out and in, through other regions than the primary.
        refused(fleet, a, "region", "remove", primary, because="is the primary: hand over first")
        refused(fleet, a, "region", "add", "edge", because="is no data region and no witness")
        refused(fleet, a, "region", "add", "mars", because="is no region of this fleet")
        assert "voter list 2 is in effect" in fleet.ctl("edge", "region", "remove", a)
        wait_for(f"{a} is out", lambda: ready(fleet, a) is False, 10)
        number, rows = members(fleet, primary)
        assert number == 2 and not rows[a]["voter"] and f"region add {a}" in rows[a]["state"], rows
        # All that are in the list.
        head = put(fleet, primary, 2, **{"isthmus-ack": "all"})
        assert a not in head["isthmus-ack-regions"] and b in head["isthmus-ack-regions"], head
        assert "voter list 3 is in effect" in fleet.ctl(b, "region", "add", a)
        wait_for(f"{a} is in", lambda: ready(fleet, a), 10)
        head = put(fleet, primary, 3, **{"isthmus-ack": "all"})
        assert a in head["isthmus-ack-regions"], head

        # One that is gone.
        fleet.kill(b)
        wait_for(f"{b} is silent", lambda: "not heard for" in members(fleet, primary)[1][b]["state"], 10)
        refused(fleet, primary, "region", "remove", b, because=f"isthmusctl region expel {b}")
        refused(fleet, primary, "region", "expel", a, because="would stop writing")
        assert "voter list 4 is in effect" in fleet.ctl(primary, "region", "expel", b)
        put(fleet, primary, 4)
        refused(fleet, primary, "region", "add", b, because="was not heard lately")
        fleet.start(b)
        wait_for(f"{b} is out", lambda: ready(fleet, b) is False, 10)
        wait_for(f"{b} is level and in", lambda: ctl(fleet, primary, "region", "add", b).returncode == 0, 10)
        assert members(fleet, primary)[0] == 5

        # Another disk.
        fleet.kill(a)
        shutil.rmtree(os.path.join(fleet.region(a)["dir"], "data"))
        put(fleet, primary, 5)
        fleet.start(a)
        wait_for(f"the new store of {a} is in the list", lambda: members(fleet, primary)[0] == 7, 20)
        wait_for(f"{a} is ready", lambda: ready(fleet, a), 10)
        rows = members(fleet, primary)[1]
        assert rows[a]["voter"] and rows[a]["store"] == rows[a]["speaks_with"], rows
        head = put(fleet, primary, 6, **{"isthmus-ack": "all"})
        assert a in head["isthmus-ack-regions"], head
        fleet.wait_level()
        assert not fleet.missing(a, [1, 2, 3, 4, 5, 6])


if __name__ == "__main__":
    main()
