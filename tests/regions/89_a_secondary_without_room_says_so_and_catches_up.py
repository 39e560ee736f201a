#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A secondary whose database is full cannot take what the others write: it is not ready, says which key bounds it, and holds
nobody else up. With a greater bound it catches up."""

import os
import re
import signal
import sys

from lib_fleet import TestFleet, wait_for

BATCH = 50
TEXT = "x" * 4000


def set_map_size(fleet, name, size):
    region = fleet.region(name)
    fleet.end(region["pid"]["isthmusd"], signal.SIGTERM)
    with open(os.path.join(region["dir"], "isthmus.conf"), encoding="utf-8") as f:
        text = f.read()
    text, count = re.subn(r"storage = \{", 'storage = { map_size = "%s";' % size, re.sub(r' map_size = "[^"]*";', "", text))
    assert count == 1, text
    with open(os.path.join(region["dir"], "isthmus.conf"), "w", encoding="utf-8") as f:
        f.write(text)
    fleet.start(name, parts=("isthmusd",))
    fleet.wait_answer(name)


def write(client, first):
    client.call("PUT", "/collections/c/points?wait=true",
                {"points": [{"id": i, "vector": [1.0, 2.0, 3.0, 4.0], "payload": {"n": i, "text": TEXT}}
                            for i in range(first, first + BATCH)]})


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        set_map_size(fleet, "us", "16MiB")
        wait_for("us is ready", lambda: fleet.status_of("us")["ready"], 30)
        eu = fleet.client("eu")
        for number in range(120):
            write(eu, number * BATCH)
        wait_for("us says that it is not ready", lambda: not fleet.status_of("us")["ready"], 30)
        wait_for("us says why", lambda: "storage.map_size" in fleet.status_of("us").get("why", ""), 30)
        assert fleet.client("us").raw("GET", "/readyz")[0] == 503
        with open(os.path.join(fleet.region("us")["dir"], "isthmusd.log"), encoding="utf-8") as f:
            told = [line for line in f if "until there is room" in line]
        assert len(told) == 1 and "storage.map_size" in told[0], told
        assert fleet.status_of("ap")["ready"] and fleet.status_of("eu")["ready"]
        write(eu, 120 * BATCH)
        set_map_size(fleet, "us", "256MiB")
        fleet.wait_level()
        assert fleet.status_of("us")["ready"]


if __name__ == "__main__":
    sys.exit(main())
