"""An ASGI application that does what its path says; served by uvicorn, in several workers if asked."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

from perfloop.instrument import AsgiMiddleware, asgi_metrics_app


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    scope["route"] = SimpleNamespace(path="/" + path.strip("/").partition("/")[0])
    if path == "/raise":
        raise RuntimeError("as asked")
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await asyncio.sleep(0.05)
    if path == "/break":
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("as asked")
    if path == "/wait":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


measured = AsgiMiddleware(application, component="shop", max_routes=5)
metrics = asgi_metrics_app()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve the page beside the application, as a mount does."""
    await (metrics if scope.get("path") == "/metrics" else measured)(scope, receive, send)
