"""The links that an alert carries: its page in docs/alerts, and the board that shows what it is about."""

from __future__ import annotations

from msgspec import Struct

OVERVIEW = "overview"
#: The boards that there are; what another one will show is on the overview until then.
BOARDS = frozenset({OVERVIEW})

# Labels are anybody's text.
_SELECTION = "{{ with $labels.instance }}?var-instance={{ . | urlquery }}{{ end }}"


class Links(Struct, frozen=True, kw_only=True):
    """Where the pages are, and Grafana, if there is one."""

    runbook_base_url: str = "https://github.com/perfloop/perfloop/blob/main/docs/alerts"
    grafana_url: str = ""

    def annotations(self, alert: str, *, page: str = "", board: str = OVERVIEW) -> dict[str, str]:
        """Return the annotations that lead to where an alert is explained (by default its own page) and drawn."""
        found = {"runbook_url": f"{self.runbook_base_url.rstrip('/')}/{page or alert}.md"}
        if self.grafana_url:
            uid = f"perfloop-{board if board in BOARDS else OVERVIEW}"
            found["dashboard_url"] = f"{self.grafana_url.rstrip('/')}/d/{uid}{_SELECTION}"
        return found
