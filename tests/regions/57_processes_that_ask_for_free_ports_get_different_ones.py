#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts run beside each other, and a daemon that is down for a while finds its port free again: whoever is given a port has it
for as long as it runs."""

import os
import subprocess
import sys

from lib_fleet import HERE, fleets

FLEET = os.path.join(HERE, "..", "fleet")
# More than the distance between the places where neighbours begin to look.
ASK = f"import sys; sys.path.insert(0, {FLEET!r}); import fleet; print(fleet.free_ports(80) + fleet.free_ports(80), flush=True); " \
      "sys.stdin.read()"


def main():
    processes = [subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                 for _ in range(6)]
    try:
        given = [int(port) for p in processes for port in p.stdout.readline().strip("[]\n").split(",")]
    finally:
        for p in processes:
            p.communicate()
    assert len(given) == 6 * 160 and len(set(given)) == len(given), "a port was given twice"
    low, high = (int(n) for n in open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii").read().split())
    assert not [p for p in given if low <= p <= high], "outgoing connections may take these ports"
    # They are free again when who had them has ended.
    port = given[0]
    assert fleets.reserve(port) and not fleets.reserve(port), port


if __name__ == "__main__":
    main()
