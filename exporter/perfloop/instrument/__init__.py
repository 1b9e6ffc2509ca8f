"""What a Python application says of its own requests, under the names that perfloop reads from access logs.

    app = AsgiMiddleware(app, component="shop")     # FastAPI, Starlette, Litestar, Quart, …
    app = WsgiMiddleware(app, component="shop")     # Flask, Django, Pyramid, …

Prometheus reads it from the application itself: `asgi_metrics_app` and `wsgi_metrics_app` serve the page. Only
prometheus_client is imported, nothing of the exporter.
"""

from __future__ import annotations

from perfloop.instrument.asgi import AsgiMiddleware
from perfloop.instrument.page import asgi_metrics_app, wsgi_metrics_app
from perfloop.instrument.wsgi import WsgiMiddleware

__all__ = ["AsgiMiddleware", "WsgiMiddleware", "asgi_metrics_app", "wsgi_metrics_app"]
