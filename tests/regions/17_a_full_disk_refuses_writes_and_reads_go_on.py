#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a full disk writes are refused with 507 and a clear word, nothing of them is kept, reads go on; when there is space
again, so do writes. The disk is a small one in memory, in a namespace of mounts of our own."""

import os
import subprocess
import sys
import tempfile

from lib_daemon import Daemon, skip

DISK_MB = 64
BALLAST_MB = 32
SIZE = 256
BATCH = 100
BATCHES_MAX = 2000
REFUSED = 20
INSUFFICIENT = "Insufficient storage: "


def into_own_mounts():
    own = ["unshare", "--map-root-user", "--mount"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            tried = subprocess.run([*own, "mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False)
    except FileNotFoundError:
        skip("unshare is not installed")
    if tried.returncode != 0:
        skip("no file system of our own can be mounted: " + tried.stderr.decode(errors="replace").strip())
    os.execvp(own[0], [*own, sys.executable, os.path.abspath(__file__), "inside"])


def points(first, count=BATCH):
    return {"points": [{"id": i, "vector": [float(i + k) for k in range(SIZE)], "payload": {"n": i, "text": "x" * 500}}
                       for i in range(first, first + count)]}


def upsert(d, first, count=BATCH):
    return d.ask("PUT", "/collections/c/points?wait=true", points(first, count))


def is_refused(status, reply):
    assert status == 507, (status, reply)
    assert reply["status"]["error"].startswith(INSUFFICIENT), reply


def fill(d):
    """Writes until there is no more space; how many points were acknowledged."""
    for number in range(BATCHES_MAX):
        status, reply = upsert(d, number * BATCH)
        if status != 200:
            is_refused(status, reply)
            return number * BATCH
        assert reply["result"]["status"] == "completed", reply
    raise AssertionError("the disk does not fill")


def check_reads(d, count):
    assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == count
    last = d.good("POST", "/collections/c/points", {"ids": [0, count - 1, count], "with_payload": ["n"]})
    assert last == [{"id": i, "payload": {"n": i}} for i in (0, count - 1)], last
    found = d.good("POST", "/collections/c/points/query", {"query": [1.0] * SIZE, "limit": 2})["points"]
    assert [p["id"] for p in found] == [count - 1, count - 2], found
    page = d.good("POST", "/collections/c/points/scroll", {"offset": count - 3, "with_payload": False})
    assert page["points"] == [{"id": i} for i in range(count - 3, count)], page


def full(d):
    count = fill(d)
    check_reads(d, count)
    # Again and again, with and without waiting: refused, not half done, and nothing leaks that was left.
    for turn in range(REFUSED):
        wait = "true" if turn % 2 else "false"
        is_refused(*d.ask("PUT", f"/collections/c/points?wait={wait}", points(count)))
    check_reads(d, count)
    assert d.ask("GET", "/healthz")[0] == 200
    assert d.good("GET", "/collections") == {"collections": [{"name": "c"}]}
    return count


def works_again(d, count):
    os.remove(os.path.join(d.folder, "ballast"))
    status, reply = upsert(d, count)
    assert (status, reply["result"]["status"]) == (200, "completed"), reply
    check_reads(d, count + BATCH)
    d.good("POST", "/collections/c/points/payload?wait=true", {"payload": {"n": -1}, "points": [0]})
    d.good("PUT", "/collections/second", {"vectors": {"size": 2, "distance": "Dot"}})
    assert d.good("POST", "/collections/c/points", {"ids": [0], "with_payload": ["n"]})[0]["payload"] == {"n": -1}
    d.good("POST", "/collections/c/points/payload?wait=true", {"payload": {"n": 0}, "points": [0]})


def main():
    if sys.argv[1:] != ["inside"]:
        into_own_mounts()
    with tempfile.TemporaryDirectory(prefix="isthmus-") as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", disk], check=True)
        tempfile.tempdir = disk
        try:
            with Daemon() as d:
                with open(os.path.join(d.folder, "ballast"), "wb") as f:
                    f.write(bytes(BALLAST_MB << 20))
                d.start()
                d.good("PUT", "/collections/c", {"vectors": {"size": SIZE, "distance": "Dot"}})
                count = full(d)
                print(f"{count} points fit, then {REFUSED + 1} writes were refused")
                # A start needs no space either.
                d.kill()
                d.start()
                check_reads(d, count)
                is_refused(*upsert(d, count))
                works_again(d, count)
                assert d.stop() == 0
                d.start()
                check_reads(d, count + BATCH)
                assert d.good("GET", "/collections/second/exists") == {"exists": True}
                assert d.stop() == 0
        finally:
            tempfile.tempdir = None
            subprocess.run(["umount", disk], check=True)


main()
