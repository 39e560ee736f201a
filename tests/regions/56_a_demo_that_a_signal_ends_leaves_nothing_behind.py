#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A signal ends the demo while its fleet is starting: every process that it started is ended and its folder is gone."""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile

from lib_fleet import skip, wait_for

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo", "demo.py")


def pids(folder):
    """Of the fleet's processes so far; None before there is a fleet."""
    found = glob.glob(os.path.join(folder, "isthmus-demo-*", "fleet", "fleet.json"))
    if not found:
        return None
    with open(found[0], encoding="utf-8") as f:
        state = json.load(f)
    return [state["relay"]["pid"]] + [pid for r in state["regions"].values() for pid in r["pid"].values()]


def processes_of(folder):
    """By their command lines, which name their configuration."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read()
        except OSError:  # it ended since it was listed
            continue
        if folder.encode() in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def check(number, count):
    with tempfile.TemporaryDirectory(prefix="isthmus-ended-") as folder:
        with subprocess.Popen([sys.executable, DEMO, "--only", "regions", "--stay"], env=dict(os.environ, TMPDIR=folder),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
            try:
                wait_for(f"{count} processes run", lambda: sum(map(bool, pids(folder) or [])) >= count, 30)
                assert processes_of(folder), "processes are not recognized"
            finally:
                demo.send_signal(number)
                text, _ = demo.communicate(timeout=60)
        assert demo.returncode == 128 + number, (demo.returncode, text)
        assert f"ended by {signal.Signals(number).name}" in text and "Traceback" not in text, text
        left = processes_of(folder)
        assert not left, f"{left} are still there:\n{text}"
        assert not os.listdir(folder), os.listdir(folder)


def main():
    if not os.environ.get("NATS_SERVER"):
        skip("nats-server is not there")
    # The relay alone; some of the servers of NATS; the first daemon.
    for number, count in ((signal.SIGTERM, 1), (signal.SIGINT, 4), (signal.SIGHUP, 9)):
        check(number, count)


if __name__ == "__main__":
    main()
