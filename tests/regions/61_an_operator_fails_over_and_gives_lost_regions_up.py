#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A failover that an operator asks for is refused while the primary lives, goes to the region that is named, and, when a majority
is gone for good, goes on with what is left; the lost ones learn it when they come back, count for nothing, and are put in again."""

import json
import os
import subprocess

from lib_fleet import TestFleet, wait_for

FAILOVER = 'failover = { mode = "auto"; };\n'


def ctl(fleet, name, *words, answer=None):
    return subprocess.run([os.environ["ISTHMUSCTL"], *words, "--url", fleet.rest(name)], capture_output=True, text=True,
                          timeout=60, input=answer)


def refused(fleet, name, *words, because, answer=None):
    done = ctl(fleet, name, *words, answer=answer)
    assert done.returncode == 1, (words, done.returncode, done.stdout, done.stderr)
    for text in because:
        assert text in done.stderr, (words, text, done.stderr)


def put(fleet, name, point, ordering="weak"):
    status, _, text = fleet.client(name).raw("PUT", f"/collections/c/points?wait=true&ordering={ordering}",
                                             {"points": [{"id": point, "vector": [1, 2, 3, 4]}]})
    return status, text


def is_primary(fleet, name):
    return (fleet.status_of(name) or {}).get("role") == "primary"


def why_not_ready(fleet, name):
    s = fleet.status_of(name) or {}
    return "" if s.get("ready", True) else json.dumps(s)


def main():
    with TestFleet(FAILOVER) as fleet:
        first = wait_for("a region is the primary", fleet.primary, 15)
        if first != "eu":
            fleet.ctl(first, "switchover", "--to", "eu")
        fleet.make_collection("eu")
        wait_for("a write is confirmed", lambda: put(fleet, "eu", 1, "strong")[0] == 200, 10)
        fleet.wait_level()
        refused(fleet, "eu", "failover", because=["eu is the primary and alive", "switchover"])
        refused(fleet, "us", "failover", "--to", "ap", because=["eu is the primary and was heard", "switchover"])
        refused(fleet, "us", "failover", "--to", "edge", because=["edge", "no data region"])

        fleet.kill("eu")
        wait_for("eu is silent", lambda: "not heard for" in fleet.ctl("us", "region", "list"), 10)
        done = json.loads(fleet.ctl("us", "failover", "--to", "ap", "--json"))
        assert done["primary"] == "ap" and done["before"] == "eu" and done["voter_list"] is None, done
        assert done["loss"]["writes"] == 0 and done["epoch"] & 255 == 3, done
        wait_for("ap writes", lambda: put(fleet, "ap", 2)[0] == 200, 10)
        fleet.kill("us")
        wait_for("ap has stopped", lambda: not is_primary(fleet, "ap"), 15)

        # Of three voters one is left.
        wait_for("us is silent", lambda: fleet.ctl("ap", "region", "list").count("not heard for") == 2, 10)
        refused(fleet, "ap", "failover", "--force", "--lost", "eu,us", answer="other\n",
                because=["Switch them off", "type the name of the fleet (demo)", "nothing was changed"])
        refused(fleet, "ap", "failover", "--force", "--lost", "eu", "--yes", because=["only 1 of the 2 voters"])
        before = json.loads(fleet.ctl("ap", "region", "list", "--json"))["list"]["number"]
        forced = ctl(fleet, "ap", "failover", "--force", "--lost", "eu,us", answer="demo\n")
        assert forced.returncode == 0 and "ap is the primary now" in forced.stdout, (forced.stdout, forced.stderr)
        number = json.loads(fleet.ctl("ap", "region", "list", "--json"))["list"]["number"]
        assert number > before + 1000, (before, number)
        status, text = put(fleet, "ap", 3, "strong")
        assert status == 200, text

        # Two of what were three: no majority any more.
        for name in ("eu", "us"):
            fleet.start(name)
        for name in ("eu", "us"):
            wait_for(f"{name} says that it is out", lambda n=name: "is not in voter list" in why_not_ready(fleet, n), 15)
        assert is_primary(fleet, "ap")
        fleet.wait_level(15)
        assert "isthmusctl region add eu" in fleet.ctl("ap", "region", "list")
        for name in ("eu", "us"):
            wait_for(f"{name} is put in", lambda n=name: ctl(fleet, "edge", "region", "add", n).returncode == 0, 15)
            wait_for(f"{name} is ready", lambda n=name: (fleet.status_of(n) or {}).get("ready"), 15)
        wait_for("all three are fit", lambda: fleet.ctl("us", "region", "list").count(" fit\n") == 3, 10)
        text = fleet.ctl("us", "region", "list")
        assert f"voter list {number + 2}: 3 voters" in text, text
        status, text = put(fleet, "ap", 4, "strong")
        assert status == 200, text
        fleet.wait_level()


if __name__ == "__main__":
    main()
