#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A database that is cut off, or of a later version, ends the start with status 1 and one line that names the file and
what to do, and stays as it is; rubbish for lock files does no harm. With the database back, the points are there."""

import os
import shutil

from lib_daemon import Daemon, run

COUNT = 2000
POINTS = [{"id": i, "vector": [i, 1.0], "payload": {"text": "x" * 200}} for i in range(COUNT)]


def refused(d, what, *words):
    size = os.path.getsize(os.path.join(d.folder, "data", "data.mdb"))
    ended = run("-c", d.config)
    assert ended.returncode == 1, (what, ended)
    errors = [line for line in ended.stderr.splitlines() if " error " in line]
    assert len(errors) == 1 and errors == ended.stderr.splitlines()[-1:], (what, ended.stderr)
    for word in ("storage.dir", "/data/data.mdb", *words):
        assert word in errors[0], (what, word, errors[0])
    assert os.path.getsize(os.path.join(d.folder, "data", "data.mdb")) == size, what


def check(d):
    assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == COUNT
    assert d.good("POST", "/collections/c/points", {"ids": [COUNT - 1], "with_vector": True})[0]["vector"] == [COUNT - 1, 1.0]


def main():
    with Daemon() as d:
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        for at in range(0, COUNT, 500):
            d.good("PUT", "/collections/c/points?wait=true", {"points": POINTS[at:at + 500]})
        assert d.stop() == 0
        database = os.path.join(d.folder, "data", "data.mdb")
        whole = database + ".whole"
        shutil.copy(database, whole)
        for share in (0.9, 0.5, 0.1):
            os.truncate(database, int(os.path.getsize(whole) * share))
            refused(d, f"{share} of it", "is cut off", "whole copy", "begin empty")
            shutil.copy(whole, database)
        os.truncate(database, 4000)
        refused(d, "less than its head", "damaged, or not a store")
        with open(whole, "rb") as f:
            data = f.read()
        assert data.count(b"ISTHMUS\0\1\0\0\0") >= 1
        with open(database, "wb") as f:
            f.write(data.replace(b"ISTHMUS\0\1\0\0\0", b"ISTHMUS\0\2\0\0\0"))
        refused(d, "a later version", "format version 2", "version of Isthmus that wrote it")
        shutil.copy(whole, database)
        for name in ("lock.mdb", "isthmus.lock"):
            with open(os.path.join(d.folder, "data", name), "wb") as f:
                f.write(b"rubbish " * 1000)
        d.start()
        check(d)
        d.kill()
        os.truncate(os.path.join(d.folder, "data", "lock.mdb"), 10)
        d.start()
        check(d)
        assert d.stop() == 0
    print("5 starts refused with one line each")


main()
