#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""When the database is missing or empty, but the collections' folders are there, the daemon does not start, says why, and
deletes nothing: once the database is back, so are the points."""

import os
import shutil

from lib_daemon import Daemon, run

POINTS = [{"id": i, "vector": [i, 1, 2, 3]} for i in range(1, 6)]


def files(folder):
    return sorted(os.path.join(path, f) for path, _, names in os.walk(folder) for f in names if f.endswith(".slots"))


def main():
    with Daemon() as d:
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        d.good("PUT", "/collections/c/points?wait=true", {"points": POINTS})
        assert d.stop() == 0
        data = os.path.join(d.folder, "data")
        database = os.path.join(data, "data.mdb")
        kept = files(data)
        assert kept
        shutil.move(database, database + ".away")
        for case in ("missing", "empty"):
            if case == "empty":
                with open(database, "wb"):
                    pass
            ended = run("-c", d.config)
            assert ended.returncode == 1, (case, ended)
            assert "storage.dir" in ended.stderr and "data.mdb is missing or empty" in ended.stderr, (case, ended.stderr)
            assert files(data) == kept, case
        shutil.move(database + ".away", database)
        d.start()
        records = d.good("POST", "/collections/c/points", {"ids": [1, 2, 3, 4, 5], "with_vector": True})
        assert [r["vector"] for r in records] == [p["vector"] for p in POINTS], records
        assert d.stop() == 0
    print("2 starts refused, %d slot files kept" % len(kept))


main()
