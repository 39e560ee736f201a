# SPDX-License-Identifier: Apache-2.0
"""Random queries of all forms are answered here as by the engine that Qdrant's Python client has built in (":memory:").
ISTHMUS_QUERY_SEED and ISTHMUS_QUERY_CASES choose which, and how many."""
import os

import _compat
import _python_client

_compat.main(lambda: _compat.run_tour([
    _python_client.environment(), "-I", os.path.join(_compat.HERE, "_python_queries.py"),
    os.environ.get("ISTHMUS_QUERY_SEED", "1"), os.environ.get("ISTHMUS_QUERY_CASES", "1500")]))
