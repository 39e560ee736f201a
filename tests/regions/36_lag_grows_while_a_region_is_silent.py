#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""replica_lag_seconds is small while the primary is heard, though nobody writes, and grows when it falls silent. Behind regions that
do not write nobody lags, also those that once wrote; isthmusctl says of each region how far behind the primary it is."""

import json
import re

from lib_fleet import DATA, TestFleet, wait_for


def lags(fleet, name):
    text = fleet.client(name).raw("GET", "/metrics")[2].decode()
    return {region: float(s) for region, s in re.findall(r'^replica_lag_seconds{region="(\w+)"} (\S+)$', text, re.M)}


def lag(fleet, name, of):
    found = lags(fleet, name)
    assert of in found, f"{name} tells no lag behind {of}"
    return found[of]


def listed(fleet, name):
    return {r["name"]: r["lag_seconds"] for r in json.loads(fleet.ctl(name, "regions", "--json"))["regions"]}


def is_level(fleet, name, primary):
    """Nothing to be alarmed about: every lag is told, none is unknown or of a region that does not write."""
    found, table = lags(fleet, name), listed(fleet, name)
    return (set(found) == set(DATA) - {name} and all(s == 0 for n, s in found.items() if n != primary) and
            all(s < 2 for s in found.values()) and table[primary] == 0 and
            all(table[n] is not None and table[n] < 2 for n in DATA))


def main():
    with TestFleet() as fleet:
        fleet.wait_level()
        for name in DATA:
            wait_for(f"{name} knows that all are level", lambda n=name: is_level(fleet, n, "eu"), 20)
        assert lags(fleet, "edge") == {}, "a gateway has no log that could be behind"
        fleet.kill("eu", "daemon")
        first = lag(fleet, "us", "eu")
        wait_for("the lag grows", lambda: lag(fleet, "us", "eu") > first + 1, 20)
        fleet.start("eu")
        wait_for("the lag is small again", lambda: lag(fleet, "us", "eu") < 2, 20)
        fleet.ctl("us", "switchover", "--to", "us")
        for name in DATA:
            wait_for(f"{name} knows that all are level behind us", lambda n=name: is_level(fleet, n, "us"), 20)
        # In all regions at one time: who wrote once lags ever more if it is taken for who writes.
        first = lag(fleet, "ap", "us")
        fleet.kill("us", "daemon")
        wait_for("the lag grows behind us", lambda: lag(fleet, "ap", "us") > first + 2, 20)
        assert lag(fleet, "ap", "eu") == 0, lags(fleet, "ap")


if __name__ == "__main__":
    main()
