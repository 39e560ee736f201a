#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A collection that every region writes: two regions write all the time and audits never find a difference; a point that is
damaged on a region's disk is named and repaired while they write, in a secondary and in the primary, and no write is lost."""

import json
import os
import signal
import subprocess
import sys

from lib_fleet import DATA, TestFleet, Writers, wait_for

CTL = os.environ["ISTHMUSCTL"]
AUDITS = 12
VICTIM = 17


def audit(fleet, name, deep=False):
    words = [CTL, "audit", "run", "--json", "--url", fleet.rest(name)] + (["--deep"] if deep else [])
    done = subprocess.run(words, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)[0]


def check_no_difference(report):
    """Rows that were being written at every look are not compared: then it is not called equal either."""
    assert sum(report["differences"].values()) == 0 and report["repaired"] == report["unrepaired"] == 0, report
    assert report["verdict"] == "equal" or (report["verdict"] == "late" and report["unsure"] > 0), report
    assert [r["standing"] for r in report["regions"]] == ["equal"] * 3, report


def damage(fleet, name, what):
    region = fleet.region(name)
    fleet.end(region["pid"]["isthmusd"], signal.SIGTERM)
    done = subprocess.run([CTL, "damage", "--data-dir", os.path.join(region["dir"], "data"), "--collection", "m",
                           "--id", str(VICTIM), "--what", what], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    fleet.start(name, parts=("isthmusd",))
    fleet.wait_answer(name)
    wait_for(f"{name} is ready", lambda: fleet.status_of(name)["ready"], 30)


def point(fleet, name):
    status, _, text = fleet.client(name).raw("GET", f"/collections/m/points/{VICTIM}")
    return json.loads(text)["result"] if status == 200 else None


def check_damage(fleet, region, what, kind):
    sound = point(fleet, region)
    damage(fleet, region, what)
    assert point(fleet, region) != sound, "nothing was damaged"
    with_writers(fleet, lambda: check_found(audit(fleet, "ap"), region, kind))
    assert point(fleet, region) == sound, (point(fleet, region), sound)


def check_found(report, region, kind):
    assert report["verdict"] == "different", report
    assert report["differences"][kind] == 1 and sum(report["differences"].values()) == 1, report
    assert report["points"] == [{"collection": "m", "id": str(VICTIM), "region": region, "class": kind,
                                 "repaired": True}], report
    standing = {r["name"]: r["standing"] for r in report["regions"]}
    assert standing == {n: "different" if n == region else "equal" for n in DATA}, standing


def with_writers(fleet, do):
    """Two regions write while it is done; afterwards every region has every write."""
    writers = Writers(fleet, ["eu", "us"], "m")
    try:
        writers.more(20)
        do()
        writers.more(20)
    finally:
        ids = writers.stop()
    assert not writers.unknown and not writers.refused, (writers.unknown[:3], writers.refused[:3])
    for n in DATA:
        wait_for(f"{n} has every write", lambda n=n: not fleet.missing(n, ids, "m"), 20)


def check_equal(fleet, deep):
    report = audit(fleet, "eu", deep)
    assert report["verdict"] == "equal" and report["shards"] > 0, report


def many_audits(fleet):
    for i in range(AUDITS):
        check_no_difference(audit(fleet, DATA[i % 3], deep=i % 4 == 3))


def main():
    with TestFleet('audit = { interval = "0ms"; };\n') as fleet:
        status, _, text = fleet.client("eu").raw("PUT", "/collections/m", {"vectors": {"size": 4, "distance": "Dot"}},
                                                 headers={"isthmus-writers": "all"})
        assert status == 200, (status, text)
        wait_for("all have it", lambda: all(fleet.client(n).call("GET", "/collections/m/exists")["exists"] for n in DATA), 20)
        points = [{"id": i, "vector": [i, 1.0, 2.0, 3.0], "payload": {"n": i}} for i in range(1, 301)]
        fleet.client("us").call("PUT", "/collections/m/points?wait=true", {"points": points})
        for n in DATA:
            wait_for(f"{n} has them", lambda n=n: not fleet.missing(n, list(range(1, 301)), "m"), 20)
        with_writers(fleet, lambda: many_audits(fleet))
        check_damage(fleet, "us", "payload", "corrupt")
        check_damage(fleet, "ap", "missing", "missing")
        check_damage(fleet, "us", "record", "corrupt")
        # Its restart begins an epoch and a log; it is the primary still.
        check_damage(fleet, "eu", "payload", "corrupt")
        check_equal(fleet, False)
        check_equal(fleet, True)


if __name__ == "__main__":
    sys.exit(main())
