#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary that a drill cuts off from the other regions goes on for its own clients until its lease has ended, and is replaced
meanwhile. Nothing that was acknowledged as strong is missing."""

import json
import os
import subprocess

from lib_fleet import TestFleet

FAILOVER = 'failover = { mode = "auto"; };\n'


def drill(fleet, name, *words):
    done = subprocess.run([os.environ["ISTHMUSCTL"], "drill", *words, "--json", "--seconds", "8", "--url", fleet.rest(name)],
                          capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def check(report, target, taken):
    assert report["verdict"] == "passed" and report["from"] == target and report["to"] not in ("", target), report
    assert report["epoch_after"] > report["epoch_before"], report
    assert report["detected_ms"] <= report["elected_ms"], report
    assert report["writes"]["strong"]["acknowledged"] > 0 and report["writes"]["strong"]["missing"] == 0, report
    print(f"{taken}: {target} lost after {report['detected_ms']} ms, {report['to']} there after {report['elected_ms']} ms, first "
          f"write after {report['writes']['weak']['first_ms']} ms, no read for {report['reads']['gap_ms']} ms; of "
          f"{report['writes']['weak']['acknowledged']} weak writes {report['writes']['weak']['missing']} are missing")


def main():
    with TestFleet(FAILOVER) as fleet:
        assert fleet.primary() == "eu"
        fleet.make_collection("eu")
        fleet.wait_level()
        fleet.ctl("edge", "audit", "run")

        report = drill(fleet, "edge", "partition", "--target", "eu")
        check(report, "eu", "cut off")
        inside = report["writes"]["inside"]
        print(f"inside {inside['acknowledged']} weak writes were acknowledged, {inside['missing']} of them are missing")
        # The lease lasted for some of them; nobody is bothered with what became of these.
        assert 0 < inside["missing"] < inside["acknowledged"], report
        orphans = json.loads(fleet.ctl("edge", "orphans", "list", "--all", "--json"))["orphans"]
        states = {o["state"] for o in orphans}
        assert orphans and "dropped" in states, orphans[:3]
        # A gateway passes on what is asked of a region by its name; writes find the primary by themselves.
        edge, at = fleet.client("edge"), {"isthmus-at": "ap"}
        assert edge.call("GET", "/isthmus/status", headers=at)["region"] == "ap"
        status, _, text = edge.raw("DELETE", "/collections/c", headers=at)
        assert status == 400 and b"goes to the primary" in text, (status, text)
        status, _, text = edge.raw("GET", "/isthmus/status", headers={"isthmus-at": "moon"})
        assert status == 400 and b"no region" in text, (status, text)


if __name__ == "__main__":
    main()
