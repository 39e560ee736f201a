#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""replica_lag_seconds is small while the primary is heard, though nobody writes, and grows when it falls silent."""

import re

from lib_fleet import TestFleet, wait_for


def lag(fleet, name, of):
    text = fleet.client(name).raw("GET", "/metrics")[2].decode()
    found = re.search(r'^replica_lag_seconds{region="%s"} (\S+)$' % of, text, re.M)
    assert found, f"{name} tells no lag behind {of}"
    return float(found.group(1))


def main():
    with TestFleet() as fleet:
        fleet.wait_level()
        wait_for("the lag is small", lambda: lag(fleet, "us", "eu") < 2, 20)
        fleet.kill("eu", "daemon")
        first = lag(fleet, "us", "eu")
        wait_for("the lag grows", lambda: lag(fleet, "us", "eu") > first + 1, 20)
        fleet.start("eu")
        wait_for("the lag is small again", lambda: lag(fleet, "us", "eu") < 2, 20)


if __name__ == "__main__":
    main()
