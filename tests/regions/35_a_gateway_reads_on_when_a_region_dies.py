#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway without data answers reads from regions that have them; when the one that answers is killed, the others do, and no
read is refused."""

import threading

from lib_fleet import DATA, TestFleet, wait_for


class Readers:
    def __init__(self, fleet, count=3):
        self.fleet, self.go_on, self.bad, self.by = fleet, True, [], {}
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for t in self.threads:
            t.start()

    def run(self):
        rest = self.fleet.client("edge")
        while self.go_on:
            status, head, text = rest.raw("GET", "/collections/c/points/1")
            if status != 200:
                self.bad.append((status, text))
            self.by[head["isthmus-region"]] = self.by.get(head["isthmus-region"], 0) + 1

    def more(self, n):
        have = sum(self.by.values())
        wait_for(f"{n} more reads", lambda: sum(self.by.values()) >= have + n, 30)

    def stop(self):
        self.go_on = False
        for t in self.threads:
            t.join()


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.client("edge").call("PUT", "/collections/c/points?wait=true", {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        fleet.wait_level()
        readers = Readers(fleet)
        try:
            readers.more(100)
            for _ in range(2):
                answering = fleet.client("edge").raw("GET", "/collections/c/points/1")[1]["isthmus-region"]
                assert answering in DATA, answering
                before = dict(readers.by)
                fleet.kill(answering, "daemon")
                readers.more(200)
                others = {n: v for n, v in readers.by.items() if n != answering and v > before.get(n, 0)}
                assert others, (answering, before, readers.by)
                fleet.start(answering, parts=("isthmusd",))
                wait_for("it is ready", lambda answering=answering: fleet.status_of(answering)["ready"], 30)
        finally:
            readers.stop()
        assert not readers.bad, readers.bad[:3]


if __name__ == "__main__":
    main()
