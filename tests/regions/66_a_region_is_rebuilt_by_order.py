#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An operator has a secondary replace what it has by a copy of another region's state. It is confirmed first, refused on the primary and
for a region that is none; the region stays ready until the copy takes its place, keeps its identity, is proved, and has all writes."""

import json
import os
import subprocess

from lib_fleet import DATA, TestFleet, Writers, wait_for


class Slowly(TestFleet):
    def daemon_config(self, name, others):
        return super().daemon_config(name, others) + '\nbootstrap: { rate = "256KiB"; };\n'


def status_of(fleet, name):
    """None while the daemon starts again."""
    try:
        code, _, text = fleet.client(name).raw("GET", "/isthmus/status")
    except OSError:
        return None
    return json.loads(text) if code == 200 else None


def log_of(fleet, name):
    with open(os.path.join(fleet.region(name)["dir"], "isthmusd.log"), encoding="utf-8") as f:
        return f.read()


def check_equal(fleet, ids):
    fleet.wait_level()
    for name in DATA:
        assert not fleet.missing(name, ids), name
    _, _, text = fleet.client(fleet.primary()).raw("POST", "/isthmus/audit", {"deep": True})
    report = json.loads(text)[0]
    assert report["verdict"] == "equal", report


def rebuild(fleet, name, *words, answer=""):
    return subprocess.run([os.environ["ISTHMUSCTL"], "region", "rebuild", "--url", fleet.rest(name), *words], capture_output=True,
                          text=True, timeout=60, input=answer)


def check_refused(fleet):
    refused = rebuild(fleet, "eu", "--yes")
    assert refused.returncode == 1 and "is the primary" in refused.stderr, refused
    for answer in ("", "yes\n", "ap\n"):
        asked = rebuild(fleet, "us", answer=answer)
        assert asked.returncode == 1 and "not confirmed, nothing was done" in asked.stderr, asked
    for none in ("edge", "us", "mars"):
        wrong = rebuild(fleet, "us", "--yes", "--from", none)
        assert wrong.returncode == 1 and "is no other data region" in wrong.stderr, wrong


def rebuild_us(fleet):
    store = status_of(fleet, "us")["id"]
    done = rebuild(fleet, "us", "--from", "ap", answer="us\n")
    assert done.returncode == 0 and "region us copies region ap" in done.stdout, done
    s = wait_for("us copies", lambda: (lambda s: s and s["bootstrap"]["stage"] == "copying" and s)(status_of(fleet, "us")), 20)
    assert s["ready"] and s["bootstrap"]["ordered"], s
    wait_for("us was proved", lambda: "the copy is proved" in log_of(fleet, "us") and (status_of(fleet, "us") or {}).get("ready"), 60)
    s = status_of(fleet, "us")
    assert s["id"] == store and s["bootstrap"]["stage"] == "idle", s
    assert "a copy is complete, the region starts again from it region=ap" in log_of(fleet, "us")


def main():
    with Slowly() as fleet:
        fleet.make_collection("eu")
        wait_for("all have it", lambda: all(fleet.client(n).call("GET", "/collections/c/exists")["exists"] for n in DATA), 20)
        check_refused(fleet)
        writers = Writers(fleet, ["eu", "ap"])
        try:
            writers.more(500)
            rebuild_us(fleet)
            writers.more(20)
        finally:
            ids = writers.stop()
        assert not writers.refused and not writers.unknown, (writers.refused[:3], writers.unknown[:3])
        check_equal(fleet, ids)


if __name__ == "__main__":
    main()
