"""Where the exporter's process begins: with as little in memory as there can be.

msgspec takes typing_extensions where something else has installed it. That is a megabyte of which it needs nothing
here, as Python 3.11's own typing has all of it; so it does not find it while it is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import_module("msgspec")
    del sys.modules["typing_extensions"]
    sys.exit(import_module("perfloop.app.serve").main(sys.argv[1]))
