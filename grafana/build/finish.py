"""What the SDK leaves undone: row ids, links that one sees, nothing that belongs to one Grafana alone."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

FIRST_ROW_ID = 1000


def finish(board: Dashboard) -> str:
    """Return the JSON of a board that Grafana 10 and later load from a file, the same on every run."""
    content: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board))
    content["id"] = None
    content.pop("version", None)
    rows = (panel for panel in content["panels"] if panel["type"] == "row")
    for number, row in enumerate(rows):
        row["id"] = FIRST_ROW_ID + number
    # The SDK hides links and annotations in a menu; left out, they stand on the board.
    for shown in (*content.get("links", ()), *content["annotations"]["list"]):
        shown.pop("placement", None)
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
