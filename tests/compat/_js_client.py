# SPDX-License-Identifier: Apache-2.0
"""Installs one of Qdrant's JavaScript clients with npm in a folder of its own and runs its tour there: node looks for
packages beside the program that asks."""
import os
import shutil

import _compat

VERSION = "1.18.0"


def tour(package, *programs):
    _compat.need("node", "npm")
    folder = _compat.client_folder(package)
    done = os.path.join(folder, f"version-{VERSION}")
    if not os.path.exists(done):
        _compat.install(f"@qdrant/{package} {VERSION} from npm", "npm", "install", "--prefix", folder, "--no-audit",
                        "--no-fund", "--no-save", "--engine-strict", f"@qdrant/{package}@{VERSION}", cwd=folder)
        with open(done, "w"):
            pass
    for program in programs:
        shutil.copy(os.path.join(_compat.HERE, program), folder)
    _compat.run_tour(["node", os.path.join(folder, programs[0])])
