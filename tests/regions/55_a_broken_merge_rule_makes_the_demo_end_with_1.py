#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's step about merging shows something: with a daemon that has one rule of merging broken the demo ends 1 and names the
step and what is wrong with the answers; with the daemon as it is the same step ends 0."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from lib_fleet import skip

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("ISTHMUS_BUILD", "")
STEP = "Two regions write one point while their links are cut"
# A patch of tests/replicator/mutants, and what the demo has to say of the daemon that is built with it.
MUTANTS = [
    ("last_arrival_wins", "regions that applied the same writes differ"),
    ("whole_row", "merging lost what nobody wrote over"),
]
# Compiled and linked as the build does it; the archive's merge.o stays out, as ours defines all that it would.
RULE = """
$(OUT)/isthmusd: $(OUT)/replicator/merge.c
\t$(COMPILE) -c -o $(OUT)/merge.o $<
\t$(LINK) $(isthmusd_OBJECTS) $(OUT)/merge.o $(isthmusd_LDADD) $(LIBS)
"""


def finished(argv, **more):
    """Ended with all that it started when it takes too long, by the signal for which the demo cleans up."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more) as p:
        try:
            text, _ = p.communicate(timeout=100)
        except BaseException:
            p.send_signal(signal.SIGTERM)
            print(p.communicate()[0])
            raise
    return p.returncode, text


def build_mutant(folder, name):
    os.makedirs(os.path.join(folder, "replicator"))
    shutil.copy(os.path.join(ROOT, "replicator", "merge.c"), os.path.join(folder, "replicator"))
    patch = os.path.join(ROOT, "tests", "replicator", "mutants", name + ".patch")
    rule = os.path.join(folder, "rule.mk")
    with open(rule, "w", encoding="utf-8") as f:
        f.write(RULE)
    for argv in (["patch", "-s", "-p1", "-d", folder, "-i", patch],
                 ["make", "-s", "-C", BUILD, "-f", "Makefile", "-f", rule, "OUT=" + folder, folder + "/isthmusd"]):
        status, text = finished(argv)
        assert status == 0, f"{' '.join(argv)}: {text}"
    return os.path.join(folder, "isthmusd")


def demo(folder, isthmusd):
    """Its status, what it printed, and the line of JSON about the step."""
    told = os.path.join(folder, "told.json")
    env = dict(os.environ, ISTHMUSD=isthmusd, TMPDIR=folder)
    status, text = finished([sys.executable, os.path.join(ROOT, "tests", "demo", "demo.py"), "--only", "multi-writer",
                             "--json", told], env=env)
    with open(told, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    assert [set(r) for r in rows] == [{"step", "ok", "ms", "figures"}] * len(rows), rows
    return status, text, next((r for r in rows if r["step"] == STEP), None)


def main():
    if not os.environ.get("NATS_SERVER"):
        skip("nats-server is not there")
    with tempfile.TemporaryDirectory(prefix="isthmus-mutants-") as parent:
        status, text, row = demo(parent, os.environ["ISTHMUSD"])
        assert status == 0 and row and row["ok"], text
        for name, words in MUTANTS:
            folder = os.path.join(parent, name)
            status, text, row = demo(folder, build_mutant(folder, name))
            assert status == 1 and row and not row["ok"], f"{name}: {status}\n{text}"
            ending = next(line for line in text.splitlines() if line.startswith("The demo failed at"))
            assert STEP in ending and words in ending, f"{name}: {text}"
            print(f"{name}: {ending}")


if __name__ == "__main__":
    main()
