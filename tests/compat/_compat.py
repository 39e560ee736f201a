# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: a folder for installed clients, one isthmusd, and the end of a script.

A script installs an official client by its package manager, starts one isthmusd, and runs a tour with that client: an
ordinary program of the client's language, which is told two addresses and nothing else."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "demo"))
import server  # noqa: E402

# Together less than ./dev gives a script.
INSTALL_SECONDS = 200
BUILD_SECONDS = 550
TOUR_SECONDS = 100


class Skip(Exception):
    """What is needed cannot be had; the text is the reason."""


def client_folder(name):
    """Kept beside the build, so that a client is fetched once."""
    build = os.environ.get("ISTHMUS_BUILD")
    if not build:
        build = os.path.join(tempfile.gettempdir(), f"isthmus-compat-{os.getuid()}")
    folder = os.path.join(build, "compat", name)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to somebody else")
    return folder


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def install(what, *argv, **options):
    """A package manager's command. That it fails is no fault of ours, so it is a skip; its own words come before."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=INSTALL_SECONDS, **options)
    except subprocess.TimeoutExpired:
        raise Skip(f"{what} could not be installed within {INSTALL_SECONDS} s") from None
    if done.returncode != 0:
        print(done.stdout[-3000:])
        raise Skip(f"{what} could not be installed")


def run_tour(argv, config=None, **options):
    """The tour against one new server, as argv + [REST URL, gRPC address]. After it the server must end by itself."""
    with tempfile.TemporaryDirectory(prefix="isthmus-compat-") as folder:
        one = server.Server(os.path.join(folder, "region"), config)
        try:
            one.start()
            done = subprocess.run([*argv, one.url, f"127.0.0.1:{one.grpc}"], stdin=subprocess.DEVNULL,
                                  timeout=TOUR_SECONDS, **options)
            alive = one.proc.poll() is None
        finally:
            with contextlib.suppress(RuntimeError):
                one.stop()
        if done.returncode != 0 or not alive or one.proc.returncode != 0:
            print(f"tour: status {done.returncode}; isthmusd: "
                  f"{'alive until stopped' if alive else 'dead'}, status {one.proc.returncode}")
            print(done.stdout or "", done.stderr or "", one.log_tail(), sep="\n")
            raise SystemExit(1)
        return done


def main(script):
    server.fleets.end_in_order()
    try:
        script()
    except Skip as reason:
        print(reason, flush=True)
        sys.exit(77)
