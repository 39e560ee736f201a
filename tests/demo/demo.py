#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job on real input, as a newcomer would watch it. Every step asserts; the end is a table and a status.

  ./dev demo [--stay] [--json FILE]

--stay leaves the server running and says where; --json writes one object a line: {step, ok, ms, figures}.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fleet_part  # noqa: E402
import one_region  # noqa: E402


class Demo:
    """Runs steps, keeps what they measured."""

    def __init__(self, folder, json_path):
        self.dir = folder
        self.rows = []
        self.out = open(json_path, "w") if json_path else None

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
        self.rows.append((title, error is None, ms, figures, error))
        if self.out:
            self.out.write(json.dumps({"step": title, "ok": error is None, "ms": ms, "figures": figures}) + "\n")
            self.out.flush()
        for key, value in figures.items():
            print(f"   {key}: {value}")
        if error:
            print(f"   FAILED: {error}")
        return error is None

    def summary(self):
        width = max(len(r[0]) for r in self.rows)
        print(f"\n{'STEP':{width}}  {'':6} {'SECONDS':>8}")
        for title, ok, ms, _, _ in self.rows:
            print(f"{title:{width}}  {'ok' if ok else 'FAILED':6} {ms / 1000:8.1f}")
        bad = [r for r in self.rows if not r[1]]
        if bad:
            print(f"\nThe demo failed at \"{bad[0][0]}\": {bad[0][4]}")
            return 1
        print(f"\nAll {len(self.rows)} steps hold, in {sum(r[2] for r in self.rows) / 1000:.0f} s.")
        return 0


def main():
    ap = argparse.ArgumentParser(prog="./dev demo")
    ap.add_argument("--stay", action="store_true", help="leave the server running at the end")
    ap.add_argument("--json", metavar="FILE", help="one JSON object a line: {step, ok, ms, figures}")
    a = ap.parse_args()
    folder = tempfile.mkdtemp(prefix="isthmus-demo-")
    demo = Demo(folder, a.json)
    parts = [one_region.Part(folder), fleet_part.Part(folder)]
    status = 1
    try:
        for part in parts:
            for title, fn in part.steps():
                if not demo.step(title, fn):
                    break
            if any(not r[1] for r in demo.rows):
                break
            if part is not parts[-1]:
                part.stop()
        status = demo.summary()
    finally:
        if a.stay and status == 0:
            parts[-1].say_where()
            print(f"Everything lies in {folder}; remove it when you are done.")
        else:
            for part in parts:
                part.stop()
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
