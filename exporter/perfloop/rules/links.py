"""The links that an alert carries: its page in docs/alerts, and its board."""

from __future__ import annotations

from msgspec import Struct


class Links(Struct, frozen=True, kw_only=True):
    """Where the pages are, and Grafana, if there is one."""

    runbook_base_url: str = "https://github.com/perfloop/perfloop/blob/main/docs/alerts"
    grafana_url: str = ""

    def annotations(self, alert: str, *, page: str = "", board: str = "") -> dict[str, str]:
        """Return the annotations that lead to where an alert is explained (by default its own page) and drawn."""
        found = {"runbook_url": f"{self.runbook_base_url.rstrip('/')}/{page or alert}.md"}
        if board and self.grafana_url:
            found["dashboard_url"] = f"{self.grafana_url.rstrip('/')}/d/perfloop-{board}"
        return found
