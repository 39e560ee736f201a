#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary that takes no part for a while, by order of a drill, is replaced by another region and comes back by itself. Nothing that
was acknowledged as strong is missing."""

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

        status, _, text = fleet.client("us").raw("POST", "/isthmus/drill/silence", {"kind": "out", "ms": 120001})
        assert status == 422, (status, text)
        check(drill(fleet, "edge", "failover", "--target", "eu"), "eu", "taken out")
        # It is back, and may be cut off or taken out again: nothing has to be lifted.
        assert fleet.client("eu").raw("POST", "/isthmus/drill/silence", {"kind": "cut", "ms": 1000})[0] == 200
        assert fleet.client("eu").raw("POST", "/isthmus/drill/silence", {"kind": "cut", "ms": 1000})[0] == 503


if __name__ == "__main__":
    main()
