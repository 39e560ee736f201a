# SPDX-License-Identifier: Apache-2.0
"""Qdrant's Python client works over gRPC (prefer_grpc=True) with only the URL changed."""
import _compat
import _python_client

_compat.main(lambda: _python_client.tour("grpc"))
