# SPDX-License-Identifier: Apache-2.0
"""Qdrant's Rust client works over gRPC with only the URL changed. The first run compiles the client, for a minute."""
import os
import subprocess

import _compat


def put(folder, name):
    """cargo writes its lock file and its results beside what it builds, and builds what has a newer date."""
    with open(os.path.join(_compat.HERE, "rust", name), "rb") as f:
        wanted = f.read()
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path, "rb") as f:
            if f.read() == wanted:
                return
    with open(path, "wb") as f:
        f.write(wanted)


def tour():
    _compat.need("cargo", "rustc")
    folder = _compat.client_folder("rust")
    put(folder, "Cargo.toml")
    put(folder, "src/main.rs")
    _compat.install("qdrant-client from crates.io", "cargo", "fetch", "--quiet", cwd=folder)
    subprocess.run(["cargo", "build", "--quiet", "--offline"], cwd=folder, check=True, timeout=_compat.BUILD_SECONDS)
    # The client prints, on standard output, what it dislikes about the server's version.
    done = _compat.run_tour([os.path.join(folder, "target", "debug", "rust-grpc-tour")], capture_output=True, text=True)
    if done.stdout != "all answers were as expected\n":
        print(f"wanted nothing but the last line, got:\n{done.stdout}")
        raise SystemExit(1)
    print(done.stdout, end="")


_compat.main(tour)
