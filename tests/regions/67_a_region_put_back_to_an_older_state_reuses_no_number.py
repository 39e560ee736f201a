#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The primary's disk is put back to a backup of before, after more writes were acknowledged, also into a collection that every region
writes. It fetches from the others what it had written itself, begins another epoch and another log, and writes no op a second time:
everything that was acknowledged is everywhere, and no log has forked."""

import json
import os
import shutil

from lib_fleet import DATA, TestFleet, wait_for


def write(fleet, name, collection, ids, ordering="strong"):
    points = [{"id": i, "vector": [i, 1, 0, 0], "payload": {"by": name}} for i in ids]
    path = f"/collections/{collection}/points?wait=true&ordering={ordering}"
    status, _, text = fleet.client(name).raw("PUT", path, {"points": points})
    assert status == 200, (name, status, text)


def status_of(fleet, name):
    code, _, text = fleet.client(name).raw("GET", "/isthmus/status")
    assert code == 200, (code, text)
    return json.loads(text)


def data_of(fleet, name):
    return os.path.join(fleet.region(name)["dir"], "data")


def check_all(fleet, ids):
    for collection in ("c", "m"):
        for name in DATA:
            wait_for(f"{name} has all of {collection}", lambda n=name, c=collection: not fleet.missing(n, ids, c), 30)
    fleet.wait_level()
    _, _, text = fleet.client(fleet.primary()).raw("POST", "/isthmus/audit", {"deep": True})
    assert json.loads(text)[0]["verdict"] == "equal", text
    for name in DATA:
        assert status_of(fleet, name)["ready"], status_of(fleet, name)
        with open(os.path.join(fleet.region(name)["dir"], "isthmusd.log"), encoding="utf-8") as f:
            told = f.read()
        assert "applying stopped" not in told and "this region copies the state" not in told, name


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        status, _, text = fleet.client("eu").raw("PUT", "/collections/m", {"vectors": {"size": 4, "distance": "Dot"}},
                                                 headers={"isthmus-writers": "all"})
        assert status == 200, text
        write(fleet, "eu", "c", range(0, 20))
        write(fleet, "eu", "m", range(0, 20))
        fleet.kill("eu", "daemon")
        backup = os.path.join(fleet.parent, "backup")
        shutil.copytree(data_of(fleet, "eu"), backup, ignore=shutil.ignore_patterns("ctl.sock"))
        fleet.start("eu")
        wait_for("eu writes", lambda: status_of(fleet, "eu")["role"] == "primary", 20)
        for first in (20, 40):
            write(fleet, "eu", "c", range(first, first + 20))
            write(fleet, "eu", "m", range(first, first + 20))
        before = status_of(fleet, "eu")

        fleet.kill("eu", "daemon")
        shutil.rmtree(data_of(fleet, "eu"))
        shutil.copytree(backup, data_of(fleet, "eu"))
        fleet.start("eu")
        wait_for("eu writes again", lambda: status_of(fleet, "eu")["role"] == "primary", 30)
        after = status_of(fleet, "eu")
        assert after["epoch"] > before["epoch"] and after["op_number"] > before["op_number"], (before, after)
        write(fleet, "eu", "c", range(60, 80))
        write(fleet, "eu", "m", range(60, 80))
        write(fleet, "us", "m", range(80, 100))
        write(fleet, "us", "c", range(80, 100))
        check_all(fleet, list(range(100)))


if __name__ == "__main__":
    main()
