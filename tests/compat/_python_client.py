# SPDX-License-Identifier: Apache-2.0
"""Installs Qdrant's Python client in a virtual environment of its own and runs _python_tour.py there."""
import os
import sys

import _compat

VERSION = "1.18.0"


def environment():
    folder = _compat.client_folder("python")
    python = os.path.join(folder, "bin", "python")
    done = os.path.join(folder, f"qdrant-client-{VERSION}")
    if os.path.exists(done):
        return python
    _compat.install("a virtual environment of Python (Debian: python3-venv)", sys.executable, "-m", "venv", folder)
    _compat.install(f"qdrant-client {VERSION} from PyPI", python, "-m", "pip", "install", "--quiet",
                    "--disable-pip-version-check", f"qdrant-client=={VERSION}")
    with open(done, "w"):
        pass
    return python


def tour(transport):
    _compat.run_tour([environment(), "-I", os.path.join(_compat.HERE, "_python_tour.py"), transport])
