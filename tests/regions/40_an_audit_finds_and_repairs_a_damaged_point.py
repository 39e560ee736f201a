#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A point of a region is damaged on its disk, where nothing notices: the next audit names it and has it repaired while writes go
on, in a secondary and in the primary. What only hashes show, a deep audit finds. A region alone compares its trees with its rows."""

import json
import os
import signal
import subprocess
import sys

from lib_daemon import Daemon
from lib_fleet import DATA, TestFleet, Writers, wait_for

CTL = os.environ["ISTHMUSCTL"]
POINTS = 500
VICTIM = 17


def upsert(client, first, count):
    points = [{"id": i, "vector": [i, 1.0, 2.0, 3.0], "payload": {"n": i, "text": "point %d" % i}}
              for i in range(first, first + count)]
    client.call("PUT", "/collections/c/points?wait=true", {"points": points})


def damage(fleet, name, what):
    """As a fault of the disk would, while the region is down."""
    region = fleet.region(name)
    fleet.end(region["pid"]["isthmusd"], signal.SIGTERM)
    done = subprocess.run([CTL, "damage", "--data-dir", os.path.join(region["dir"], "data"), "--collection", "c",
                           "--id", str(VICTIM), "--what", what], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    fleet.start(name, parts=("isthmusd",))
    fleet.wait_answer(name)
    wait_for(f"{name} is ready", lambda: fleet.status_of(name)["ready"], 30)


def audit(fleet, name, deep=False):
    """One audit now; its report, and whether isthmusctl said by its status that all is equal."""
    words = [CTL, "audit", "run", "--json", "--url", fleet.rest(name)] + (["--deep"] if deep else [])
    done = subprocess.run(words, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)[0]


def check_found(report, region, kind):
    assert report["verdict"] == "different", report
    assert report["differences"][kind] == 1 and sum(report["differences"].values()) == 1, report
    assert report["repaired"] == 1 and report["unrepaired"] == 0, report
    assert report["points"] == [{"collection": "c", "id": str(VICTIM), "region": region, "class": kind,
                                 "repaired": True}], report
    standing = {r["name"]: r["standing"] for r in report["regions"]}
    assert standing == {n: "different" if n == region else "equal" for n in DATA}, standing


def check_equal(report):
    assert report["verdict"] == "equal", report
    assert [r["standing"] for r in report["regions"]] == ["equal"] * 3, report


def point(fleet, name):
    return fleet.client(name).call("GET", f"/collections/c/points/{VICTIM}")


def check_damage(fleet, region, what, kind):
    sound = point(fleet, region)
    damage(fleet, region, what)
    if what != "vector":
        status, _, text = fleet.client(region).raw("GET", f"/collections/c/points/{VICTIM}")
        assert status == 404 or json.loads(text)["result"] != sound, "nothing was damaged"
    writers = Writers(fleet, ["eu", "edge"])
    try:
        writers.more(20)
        if what == "vector":
            check_equal(audit(fleet, "eu"))
        check_found(audit(fleet, "eu", deep=what == "vector"), region, kind)
        check_equal(audit(fleet, "edge", deep=True))
        writers.more(20)
    finally:
        writers.stop()
    assert point(fleet, region) == sound, (point(fleet, region), sound)
    assert not writers.unknown, writers.unknown[:3]


def table(fleet, name="eu", *more):
    return subprocess.run([CTL, "audit", "--url", fleet.rest(name), *more], capture_output=True, text=True, timeout=30).stdout


def check_listed(fleet):
    text = table(fleet)
    assert "VERDICT" in text and "different: us" in text and "does not fit" not in text, text
    # Through any region, they are the primary's; what a secondary began itself is nothing.
    assert "of region eu" in text and text == table(fleet, "us") == table(fleet, "edge"), (text, table(fleet, "us"))
    assert "no audits yet" in table(fleet, "us", "--local") and table(fleet, "eu", "--local") == text
    folder = os.path.join(fleet.region("eu")["dir"], "data", "audits")
    path = os.path.join(folder, sorted(os.listdir(folder))[-2])
    with open(path, encoding="utf-8") as f:
        report = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(report.replace('"unrepaired":0', '"unrepaired":7'))
    assert "does not fit the one before it" in table(fleet), table(fleet)


def check_metrics(fleet):
    _, _, text = fleet.client("eu").raw("GET", "/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if line.startswith("isthmus_audit_"))
    assert float(values["isthmus_audit_last_clean_timestamp_seconds"]) > 1.6e9, values
    assert float(values["isthmus_audit_repair_points_total"]) >= 1, values
    assert float(values['isthmus_audit_diff_points{class="corrupt"}']) == 0, values


def prepare(fleet):
    fleet.make_collection("eu")
    upsert(fleet.client("eu"), 1, POINTS)
    fleet.wait_level()


def check_asked():
    with TestFleet('audit = { interval = "0ms"; };\n') as fleet:
        prepare(fleet)
        check_equal(audit(fleet, "eu"))
        check_equal(audit(fleet, "us", deep=True))
        check_damage(fleet, "us", "payload", "corrupt")
        check_damage(fleet, "ap", "missing", "missing")
        check_damage(fleet, "us", "vector", "corrupt")
        check_damage(fleet, "ap", "record", "corrupt")
        # Its restart begins an epoch; it is the primary still.
        check_damage(fleet, "eu", "payload", "corrupt")
        check_metrics(fleet)
        check_listed(fleet)


def check_unasked():
    with TestFleet('audit = { interval = "1s"; };\n') as fleet:
        prepare(fleet)
        sound = point(fleet, "us")
        damage(fleet, "us", "payload")
        # Where nothing is written what was found clean a moment ago is not looked at again for a while.
        upsert(fleet.client("eu"), POINTS + 1, 1)
        wait_for("an audit repairs it unasked", lambda: point(fleet, "us") == sound, 30)


def check_alone():
    with Daemon('audit = { interval = "0ms"; };') as alone:
        alone.start()
        alone.good("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        points = [{"id": i, "vector": [i, 1.0, 2.0, 3.0], "payload": {"n": i}} for i in range(1, 101)]
        alone.good("PUT", "/collections/c/points?wait=true", {"points": points})
        for more in ([], ["--deep"]):
            done = alone.ctl("audit", "run", "--json", *more)
            assert done.returncode == 0, done.stdout + done.stderr
            report = json.loads(done.stdout)[0]
            assert report["verdict"] == "equal" and len(report["regions"]) == 1, report
            assert report["deep"] == bool(more), report
        refused = alone.ctl("damage", "--data-dir", os.path.join(alone.folder, "data"), "--collection", "c", "--id",
                            "1", socket=False)
        assert refused.returncode != 0 and refused.stderr, (refused.returncode, refused.stdout, refused.stderr)


def main():
    check_alone()
    check_asked()
    check_unasked()


if __name__ == "__main__":
    sys.exit(main())
