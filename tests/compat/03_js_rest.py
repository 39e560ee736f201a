# SPDX-License-Identifier: Apache-2.0
"""Qdrant's JavaScript client works over REST with only the URL changed."""
import _compat
import _js_client

_compat.main(lambda: _js_client.tour("js-client-rest", "_js_rest_tour.mjs", "_js_expect.mjs"))
