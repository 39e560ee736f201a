#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""After kill -9 the first thread of a daemon may be gone while another still holds the lock of its store: a fleet that started the
next daemon then saw it refused, once in some hundred times."""

import subprocess
import sys

from lib_fleet import fleets, wait_for

# The first thread ends, another waits for the end of its input.
FIRST_ENDS = """
import ctypes, os, threading
threading.Thread(target=lambda: os.read(0, 1)).start()
print("started", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def main():
    with subprocess.Popen([sys.executable, "-c", FIRST_ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"started\n"
        wait_for("the first thread has ended", lambda: state(p.pid) == "Z", 30)
        assert fleets.alive(p.pid) and not fleets.Fleet.reap(p.pid), "a process with a thread was taken for ended"
        p.kill()
        wait_for("it has ended", lambda: not fleets.alive(p.pid), 30)
    assert not fleets.alive(p.pid)


if __name__ == "__main__":
    main()
