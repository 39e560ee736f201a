#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job on real input, as a newcomer would watch it. Every step asserts; the end is a table and a status.

  ./dev demo [--stay] [--json FILE] [--only STEP,...] [--list]

--stay leaves the servers running and says where; --json writes one object a line: {step, ok, ms, figures}; --only runs the steps
named and those that they need; --list names all of them. The status is 0 if every step held, 1 if one did not, 128 + N if signal N
ended it.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fleet_part  # noqa: E402
import one_region  # noqa: E402
import server as srv  # noqa: E402


class Demo:
    """Runs steps, keeps what they measured."""

    def __init__(self, json_path):
        self.rows = []
        self.out = open(json_path, "w", encoding="utf-8") if json_path else None

    def step(self, title, fn):
        print(f"\n== {title}", flush=True)
        begun = time.monotonic()
        figures, error = {}, None
        try:
            figures = fn() or {}
        except Exception as e:  # a step may fail in any way; the demo says how and ends
            error = str(e) or repr(e)
            if not isinstance(e, (AssertionError, RuntimeError)):
                traceback.print_exc()
        ms = round((time.monotonic() - begun) * 1000)
        self.rows.append((title, error is None, ms, error))
        if self.out:
            self.out.write(json.dumps({"step": title, "ok": error is None, "ms": ms, "figures": figures}) + "\n")
            self.out.flush()
        for key, value in figures.items():
            print(f"   {key}: {value}")
        if error:
            print(f"   FAILED: {error}")
        return error is None

    def run(self, parts):
        """The steps of each part, up to the first that fails. The last part is not stopped."""
        for i, (part, steps) in enumerate(parts):
            print(f"\n{part.title}", flush=True)
            for s in steps:
                if not self.step(s.title, s.run):
                    return
            if i + 1 < len(parts):
                part.stop()

    def summary(self):
        width = max(len(r[0]) for r in self.rows)
        print(f"\n{'STEP':{width}}  {'':6} {'SECONDS':>8}")
        for title, ok, ms, _ in self.rows:
            print(f"{title:{width}}  {'ok' if ok else 'FAILED':6} {ms / 1000:8.1f}")
        bad = [r for r in self.rows if not r[1]]
        if bad:
            print(f"\nThe demo failed at \"{bad[0][0]}\": {bad[0][3]}")
            return 1
        print(f"\nAll {len(self.rows)} steps hold, in {sum(r[2] for r in self.rows) / 1000:.0f} s.")
        return 0


def chosen(parts, names):
    """(part, its steps): all, or those named with what they need before them."""
    wanted = set(names)
    for part in reversed(parts):
        for s in reversed(part.steps()):
            if s.name in wanted:
                wanted.update(s.needs)
    rows = [(p, [s for s in p.steps() if not names or s.name in wanted]) for p in parts]
    return [(p, steps) for p, steps in rows if steps]


def arguments(known):
    ap = argparse.ArgumentParser(prog="./dev demo", description="The main job on real input, step by step.")
    ap.add_argument("--stay", action="store_true", help="leave the servers running at the end and say where they are")
    ap.add_argument("--json", metavar="FILE", help="one JSON object a line: {step, ok, ms, figures}")
    ap.add_argument("--only", metavar="STEP,...", default="", help="these steps, and those that they need")
    ap.add_argument("--list", action="store_true", help="name the steps")
    a = ap.parse_args()
    a.only = [n for n in a.only.split(",") if n]
    unknown = [n for n in a.only if n not in known]
    if unknown:
        ap.error(f"there is no step {', '.join(unknown)}; the steps are {', '.join(known)}")
    return a


def stop_all(parts):
    good = True
    for part, _ in parts:
        try:
            part.stop()
        except (OSError, RuntimeError, fleet_part.fleets.FleetError) as e:
            print(f"   FAILED to stop: {e}")
            good = False
    return good


def show(demo, parts, folder, stay):
    """The demo's status. What is left behind, it says where."""
    status = 1
    try:
        demo.run(parts)
        status = demo.summary()
    except SystemExit as e:
        status = e.code
        print(f"\nThe demo was ended by {signal.Signals(status - 128).name}.")
    finally:
        if stay and status == 0:
            parts[-1][0].say_where()
            print(f"Everything lies in {folder}; remove it when you are done.")
        elif not stop_all(parts):
            status = 1
    if status == 1:
        print(f"The servers' logs and data are left in {folder}; remove it when you are done.")
    elif not stay or status != 0:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def main():
    parts = [one_region.Part(), fleet_part.Part()]
    a = arguments([s.name for p in parts for s in p.steps()])
    if a.list:
        for s in (s for p in parts for s in p.steps()):
            print(f"{s.name:16} {s.title}")
        return 0
    folder = tempfile.mkdtemp(prefix="isthmus-demo-")
    for part in parts:
        part.dir = folder
    srv.fleets.end_in_order()
    return show(Demo(a.json), chosen(parts, a.only), folder, a.stay)


if __name__ == "__main__":
    sys.exit(main())
