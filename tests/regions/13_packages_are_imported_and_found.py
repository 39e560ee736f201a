#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""isthmusctl import packages, and a search in plain words, on what this machine's apt knows."""

import json
import shutil
import subprocess

from lib_daemon import Daemon, skip


def known():
    if not shutil.which("apt-cache"):
        return 0
    said = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=False)
    return said.stdout.count(b"\nPackage: ") + said.stdout.startswith(b"Package: ")


def main():
    if known() < 1000:
        skip("apt knows fewer than 1000 packages here; apt-get update would fill its lists")
    with Daemon() as d:
        d.start()
        url = ["--url", "http://127.0.0.1:%d" % d.http_port]
        done = d.ctl("import", "packages", "--limit", "3000", "--batch", "200", *url, socket=False)
        assert done.returncode == 0, done
        assert "3000 points in collection packages after " in done.stdout, done.stdout
        assert d.good("POST", "/collections/packages/points/count", {"exact": True})["count"] == 3000
        # Once more: the same ids.
        assert d.ctl("import", "packages", "--limit", "3000", *url, socket=False).returncode == 0
        assert d.good("POST", "/collections/packages/points/count", {"exact": True})["count"] == 3000

        # A package is nearest to its own summary.
        point = d.good("GET", "/collections/packages/points/1500")
        payload = point["payload"]
        found = d.ctl("search", payload["name"] + " " + payload["summary"], "--limit", "3", "--json", *url, socket=False)
        assert found.returncode == 0, found
        names = [p["payload"]["name"] for p in json.loads(found.stdout)["result"]["points"]]
        assert payload["name"] in names, (payload, names)
        table = d.ctl("search", "mail", "server", *url, socket=False)
        assert table.returncode == 0 and table.stdout.startswith("SCORE "), table
        assert len(table.stdout.splitlines()) == 6, table.stdout
        absent = d.ctl("search", "mail", "--collection", "absent", *url, socket=False)
        assert absent.returncode == 1 and "404" in absent.stderr, absent
        assert d.stop() == 0
        nobody = d.ctl("search", "mail", *url, socket=False)
        assert nobody.returncode == 3, nobody


main()
