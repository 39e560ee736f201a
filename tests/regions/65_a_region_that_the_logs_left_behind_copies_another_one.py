#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A secondary loses its disk after the others have trimmed their logs, and no stream has what it lacks. It copies another region's
state by itself, while writes go on; it is killed in the middle of that and goes on; it says how far it is; it starts again from the copy,
is proved at a mark, and has every acknowledged write."""

import json
import os
import shutil
import subprocess

from lib_fleet import DATA, TestFleet, Writers, wait_for

POINTS, TEXT = 120, "x" * 200_000


class SmallLogs(TestFleet):
    def daemon_config(self, name, others):
        text = super().daemon_config(name, others)
        assert 'map_size = "16GiB";' in text
        text = text.replace('map_size = "16GiB";', 'map_size = "16GiB"; log_size = "16MiB";')
        return text + '\nbootstrap: { rate = "6MiB"; };\n'


def upsert(fleet, name, ids, payload, collection="c", ordering="weak"):
    points = [{"id": i, "vector": [i, 1, 0, 0], "payload": payload} for i in ids]
    path = f"/collections/{collection}/points?wait=true&ordering={ordering}"
    status, _, text = fleet.client(name).raw("PUT", path, {"points": points})
    assert status == 200, (name, status, text)


def status_of(fleet, name):
    try:
        code, _, text = fleet.client(name).raw("GET", "/isthmus/status")
    except OSError:
        return None
    return json.loads(text) if code == 200 else None


def count(fleet, name, collection="c"):
    return fleet.client(name).call("POST", f"/collections/{collection}/points/count", {"exact": True})["count"]


def wipe(fleet, name, *parts):
    fleet.kill(name)
    for part in parts:
        shutil.rmtree(os.path.join(fleet.region(name)["dir"], part))


def log_of(fleet, name):
    with open(os.path.join(fleet.region(name)["dir"], "isthmusd.log"), encoding="utf-8") as f:
        return f.read()


def leave_behind(fleet):
    """ap has neither data nor stream, and what it lacks is in no log and no stream."""
    wipe(fleet, "ap", "nats", "data")
    for i in range(1, POINTS + 1):
        upsert(fleet, "eu", [i], {"text": TEXT}, ordering="strong" if i % 25 == 0 else "weak")
    upsert(fleet, "eu", [POINTS + 1], {}, ordering="strong")
    wait_for("us has all", lambda: count(fleet, "us") == POINTS + 1, 30)
    for name in ("us", "eu"):
        wipe(fleet, name, "nats")
        fleet.start(name, parts=("hub", "nats"))
    fleet.start("ap", parts=("hub", "nats"))
    fleet.provision()
    for name in ("eu", "us"):
        fleet.start(name)
    wait_for("eu writes again", lambda: (status_of(fleet, "eu") or {}).get("role") == "primary", 30)


def copying(fleet, at_least):
    s = status_of(fleet, "ap")
    return s and s["bootstrap"]["stage"] == "copying" and s["bootstrap"]["bytes"] >= at_least and s


def check_shown(fleet, s):
    assert not s["ready"] and s["why"].startswith("bootstrapping from "), s["why"]
    assert f": {s['bootstrap']['percent']} %" in s["why"], s["why"]
    assert fleet.client("ap").raw("GET", "/readyz")[0] == 503
    shown = subprocess.run([os.environ["ISTHMUSCTL"], "status", "--url", fleet.rest("ap")], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 4 and "copy      copying, from region " in shown.stdout, shown
    assert b"isthmus_bootstrap_running 1\n" in fleet.client("ap").raw("GET", "/metrics")[2]


def check_equal(fleet, ids):
    fleet.wait_level()
    for name in DATA:
        assert not fleet.missing(name, ids), name
    primary = fleet.primary()
    _, _, text = fleet.client(primary).raw("POST", "/isthmus/audit", {"deep": True})
    report = json.loads(text)[0]
    assert report["verdict"] == "equal", report


def copy_by_itself(fleet):
    leave_behind(fleet)
    writers = Writers(fleet, ["eu", "us"])
    try:
        writers.more(20)
        fleet.start("ap")
        before = wait_for("ap copies", lambda: copying(fleet, 4_000_000), 40)
        check_shown(fleet, before)
        fleet.kill("ap", "daemon")
        writers.more(20)
        fleet.start("ap")
        after = wait_for("ap goes on", lambda: copying(fleet, 1), 40)
        assert after["bootstrap"]["points"] >= before["bootstrap"]["points"], (before, after)
        wait_for("ap is ready", lambda: (status_of(fleet, "ap") or {}).get("ready"), 60)
        writers.more(20)
    finally:
        ids = writers.stop()
    assert not writers.refused and not writers.unknown, (writers.refused[:3], writers.unknown[:3])
    told = log_of(fleet, "ap")
    for words in ("this region copies the state of another one", "a copy is complete", "the copy is proved"):
        assert told.count(words) == 1, (words, told.count(words))
    assert not os.path.exists(os.path.join(fleet.region("ap")["dir"], "data", "bootstrap"))
    return ids


def main():
    with SmallLogs() as fleet:
        fleet.make_collection("eu")
        wait_for("all have it", lambda: all(fleet.client(n).call("GET", "/collections/c/exists")["exists"] for n in DATA), 20)
        ids = copy_by_itself(fleet)
        check_equal(fleet, ids)


if __name__ == "__main__":
    main()
