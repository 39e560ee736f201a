# SPDX-License-Identifier: Apache-2.0
"""Qdrant's Python client works over REST with only the URL changed."""
import _compat
import _python_client

_compat.main(lambda: _python_client.tour("rest"))
