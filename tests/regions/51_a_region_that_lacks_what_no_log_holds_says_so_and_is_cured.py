#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A region is away until the others have trimmed what it lacks of a collection that every region writes, and no stream has it any more.
It must not pass for ready: its status names the log, the op and what to do, its metrics and readiness say so, the writer's status
too. The others go on. Then it copies another region's state, logs and all, and has what they have."""

import json
import os
import shutil
import subprocess

from lib_fleet import DATA, TestFleet, wait_for

POINTS, TEXT = 120, "x" * 200_000


class SmallLogs(TestFleet):
    def daemon_config(self, name, others):
        text = super().daemon_config(name, others)
        assert 'map_size = "16GiB";' in text
        return text.replace('map_size = "16GiB";', 'map_size = "16GiB"; log_size = "16MiB";') + '\nbootstrap: { rate = "3MiB"; };\n'


def upsert(fleet, name, ids, payload, ordering="weak"):
    points = [{"id": i, "vector": [i, 1, 0, 0], "payload": payload} for i in ids]
    status, _, text = fleet.client(name).raw("PUT", f"/collections/m/points?wait=true&ordering={ordering}", {"points": points})
    assert status == 200, (name, status, text)


def count(fleet, name):
    return fleet.client(name).call("POST", "/collections/m/points/count", {"exact": True})["count"]


def status_of(fleet, name):
    code, _, text = fleet.client(name).raw("GET", "/isthmus/status")
    assert code == 200, (code, text)
    return json.loads(text)


def wipe_stream(fleet, name):
    fleet.kill(name)
    shutil.rmtree(os.path.join(fleet.region(name)["dir"], "nats"))
    fleet.start(name, parts=("hub", "nats"))


def check_told(fleet):
    wait_for("ap says what it lacks", lambda: [w for w in status_of(fleet, "ap")["logs_waiting"] if w["reason"] == "trimmed"], 30)
    status = status_of(fleet, "ap")
    wait = next(w for w in status["logs_waiting"] if w["reason"] == "trimmed")
    assert wait["region"] == "eu" and wait["seq"] == 2, wait
    assert "cannot be had from region" in wait["words"] and "copies a region" in wait["action"], wait
    assert not status["ready"] and (wait["log"] in status["why"] or "bootstrapping from " in status["why"]), status
    assert fleet.client("ap").raw("GET", "/readyz")[0] == 503
    shown = subprocess.run([os.environ["ISTHMUSCTL"], "status", "--url", fleet.rest("ap")], capture_output=True, text=True, timeout=60)
    assert shown.returncode != 0 and "waits     trimmed for " in shown.stdout and wait["action"] in shown.stdout, shown
    metrics = fleet.client("ap").raw("GET", "/metrics")[2].decode()
    assert 'isthmus_logs_waiting{reason="trimmed"} 1\n' in metrics, metrics
    with open(os.path.join(fleet.region("ap")["dir"], "isthmusd.log"), encoding="utf-8") as f:
        told = f.read().count("a log stopped, this region is not ready until it is cured")
    assert told == 1, f"told {told} times"
    return wait["log"]


def ready_with(fleet, name, points):
    """False while it starts again."""
    try:
        return status_of(fleet, name)["ready"] and count(fleet, name) == points
    except OSError:
        return False


def main():
    with SmallLogs() as fleet:
        status, _, text = fleet.client("eu").raw("PUT", "/collections/m", {"vectors": {"size": 4, "distance": "Dot"}},
                                                 headers={"isthmus-writers": "all"})
        assert status == 200, (status, text)
        wait_for("all have it", lambda: all(fleet.client(n).call("GET", "/collections/m/exists")["exists"] for n in DATA), 20)
        upsert(fleet, "eu", [0], {})
        wait_for("all have the first point", lambda: all(count(fleet, n) == 1 for n in DATA), 20)
        assert all(not status_of(fleet, n)["logs_waiting"] for n in DATA)

        fleet.kill("ap")
        shutil.rmtree(os.path.join(fleet.region("ap")["dir"], "nats"))
        for i in range(1, POINTS + 1):
            upsert(fleet, "eu", [i], {"text": TEXT}, "strong" if i % 20 == 0 else "weak")
        # Its log is trimmed with a commit after the others had it.
        upsert(fleet, "eu", [POINTS + 1], {}, "strong")
        wait_for("us has all", lambda: count(fleet, "us") == POINTS + 2, 30)
        upsert(fleet, "us", [POINTS + 2], {}, "strong")
        wipe_stream(fleet, "us")
        wipe_stream(fleet, "eu")
        fleet.start("ap", parts=("hub", "nats"))
        fleet.provision()
        for n in ("eu", "us", "ap"):
            fleet.start(n)

        log = check_told(fleet)
        wait_for("eu hears of it", lambda: [w for w in status_of(fleet, "eu")["own_logs_waiting"]
                                            if (w["log"], w["region"], w["reason"]) == (log, "ap", "trimmed")], 20)
        for n in ("eu", "us"):
            assert status_of(fleet, n)["ready"] and not status_of(fleet, n)["logs_waiting"], n
            upsert(fleet, n, [1000], {"by": n})
            assert count(fleet, n) >= POINTS + 3, n
        wait_for("ap has all", lambda: ready_with(fleet, "ap", count(fleet, "eu")), 60)
        upsert(fleet, "ap", [2000], {"by": "ap"})
        for n in ("eu", "us"):
            wait_for(f"{n} has what ap wrote", lambda n=n: count(fleet, n) == count(fleet, "ap"), 20)
        assert not status_of(fleet, "ap")["logs_waiting"]


if __name__ == "__main__":
    main()
