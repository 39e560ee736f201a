# SPDX-License-Identifier: Apache-2.0
"""Random filters find the same points here as in the engine that Qdrant's Python client has built in (":memory:").
ISTHMUS_FILTER_SEED and ISTHMUS_FILTER_CASES choose which, and how many."""
import os

import _compat
import _python_client

_compat.main(lambda: _compat.run_tour([
    _python_client.environment(), "-I", os.path.join(_compat.HERE, "_python_memory.py"),
    os.environ.get("ISTHMUS_FILTER_SEED", "1"), os.environ.get("ISTHMUS_FILTER_CASES", "3000")]))
