"""Where notifications go, as Alertmanager needs to know it; paths are as it will find the files."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

# An alert with this label goes to the channel that is its value and to nobody else: `perfloop alerts send-test`.
TEST_LABEL = "perfloop_test"


class Email(Struct, frozen=True, kw_only=True):
    """E-mail through a mail server."""

    recipients: tuple[str, ...]
    sender: str
    smarthost: str
    user: str = ""
    password_file: str = ""
    require_tls: bool = True


class Slack(Struct, frozen=True, kw_only=True):
    """A Slack channel by an incoming webhook."""

    webhook_url_file: str
    channel: str


class Webhook(Struct, frozen=True, kw_only=True):
    """Any receiver of webhooks."""

    url: str
    token_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class GitHub(Struct, frozen=True, kw_only=True):
    """Issues, by way of the optimizer, which knows the rest."""

    repository: str


Channel = Email | Slack | Webhook | GitHub
