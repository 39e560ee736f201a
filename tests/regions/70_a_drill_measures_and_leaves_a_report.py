#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A switchover is practised under writes of all levels: nothing that was acknowledged is missing, and the report is kept by the region
that was asked, through a restart, with its metrics; what would break the fleet is refused before anything is done."""

import json
import os
import subprocess

from lib_fleet import DATA, TestFleet, wait_for

FAILOVER = 'failover = { mode = "auto"; };\n'


def drill(fleet, name, *words):
    done = subprocess.run([os.environ["ISTHMUSCTL"], "drill", *words, "--url", fleet.rest(name)], capture_output=True, text=True,
                          timeout=180)
    return done.returncode, done.stdout, done.stderr


def refused(fleet, name, words, *command):
    status, out, err = drill(fleet, name, *command)
    assert status == 1 and words in err, (command, status, out, err)


def no_collection(fleet):
    assert "isthmus_drill" not in {c["name"] for c in fleet.client("eu").call("GET", "/collections")["collections"]}


def main():
    with TestFleet(FAILOVER) as fleet:
        assert fleet.primary() == "eu"
        fleet.make_collection("eu")
        fleet.wait_level()
        refused(fleet, "edge", "audit", "switchover", "--target", "nowhere")
        fleet.ctl("edge", "audit", "run")

        refused(fleet, "edge", "no data region", "switchover", "--target", "edge")
        refused(fleet, "us", "the primary already", "switchover", "--target", "eu")
        refused(fleet, "eu", "ask another one", "failover", "--target", "eu")
        refused(fleet, "us", "not the primary", "partition", "--target", "ap")
        status, out, err = drill(fleet, "edge", "failover", "--target", "eu", "--dry-run", "--json")
        assert status == 0 and json.loads(out)["refused"] == [], (status, out, err)
        no_collection(fleet)

        status, out, err = drill(fleet, "us", "switchover", "--target", "ap", "--json")
        assert status == 0, (out, err)
        report = json.loads(out)
        assert report["verdict"] == "passed" and report["to"] == "ap" == fleet.primary(), report
        for level in ("weak", "medium", "strong"):
            c = report["writes"][level]
            assert c["acknowledged"] > 10 and c["missing"] == c["refused"] == c["unknown"] == 0, (level, c)
            assert c["first_ms"] is not None, (level, c)
        no_collection(fleet)

        # One at a time, in the whole fleet.
        fleet.make_collection("eu", "isthmus_drill")
        refused(fleet, "edge", "another drill is under way", "switchover", "--target", "us")
        fleet.client("eu").call("DELETE", "/collections/isthmus_drill")

        # With a voter gone, none can be spared.
        fleet.wait_level()
        fleet.kill("eu")
        wait_for("eu is missed", lambda: "eu" in drill(fleet, "us", "failover", "--target", "ap", "--dry-run")[1], 10)
        refused(fleet, "us", "voters are healthy", "failover", "--target", "ap")

        kept = json.loads(fleet.ctl("us", "drill", "history", "--json"))
        assert kept == [report], kept
        fleet.kill("us")
        fleet.start("us")
        wait_for("us answers", lambda: fleet.status_of("us"), 30)
        assert json.loads(fleet.ctl("us", "drill", "history", "--json")) == [report]
        assert "switchover" in fleet.ctl("us", "drill", "history")
        _, _, metrics = fleet.client("us").raw("GET", "/metrics")
        assert b'isthmus_drill_last_passed{kind="switchover"} 1' in metrics
        print(f"no writes for {report['pause_ms']} ms, the longest gap of weak writes {report['interruption_ms']} ms")


if __name__ == "__main__":
    main()
