"""One GitHub issue for each group of alerts: opened, commented, closed and opened again as the group goes on.

Nothing is remembered here. GitHub holds the truth: an issue is found by its label and by a hidden comment in its body
with the hash of the group, and what was last said of it by hidden comments in perfloop's own comments. So a restart,
a lost answer or a second delivery of the same notification leads to the same issue.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from enum import StrEnum

import requests

from perfloop.errors import Throttled, Unauthorized, Unavailable
from perfloop.model import AlertGroup
from perfloop.notifiers.github_api import Bearer, Conversation, Issue
from perfloop.notifiers.markdown import describe, title_of
from perfloop.protocols import Clock

LABEL = "perfloop"
REOPENED_WITHIN_SECONDS = 7 * 86400.0
# Alertmanager repeats once in a cooldown, by its own clock; GitHub stamps with another, in whole seconds.
_NEARLY = 0.9
_SHORTEST_COOLDOWN_SECONDS = 60.0
_CLOCKS_DIFFER_SECONDS = 120.0
_CLOSES = (
    "perfloop closes this issue when all of its alerts have ended. Whoever closes it by hand hears no more until one "
    "fires anew."
)


class News(StrEnum):
    """What a comment of perfloop tells; it stands in the comment, hidden."""

    FIRING = "firing"
    RESOLVED = "resolved"

    @property
    def mark(self) -> str:
        """The hidden comment."""
        return f"<!-- perfloop {self} -->"


class GitHubIssue:
    """Implements protocols.Notifier. Any number of threads may use it; it speaks to GitHub in one at a time.

    `cooldowns` are seconds by the label `rule`; for all other rules `cooldown_seconds` holds.
    """

    def __init__(
        self,
        repository: str,
        *,
        token: str,
        api_url: str,
        labels: tuple[str, ...] = (),
        cooldown_seconds: float,
        cooldowns: Mapping[str, float] | None = None,
        clock: Clock = time.time,
        deadline_seconds: float = 10.0,
    ) -> None:
        self._repository, self._api_url, self._labels = repository, api_url, tuple(dict.fromkeys((LABEL, *labels)))
        self._cooldown_seconds, self._cooldowns = cooldown_seconds, cooldowns or {}
        self._clock, self._deadline_seconds = clock, deadline_seconds
        self._session = requests.Session()
        self._session.auth = Bearer(token)
        self._session.headers["Accept"] = "application/vnd.github+json"
        self._turn = threading.Lock()
        self._quiet_until = 0.0
        self._cannot_label = False

    def notify(self, group: AlertGroup) -> str:
        """Bring the group's issue up to date; return `opened`, `commented`, `closed`, `reopened` or `unchanged`.

        Raises Unavailable and Throttled if it may work later, Unauthorized and Rejected if a person has to look.
        """
        deadline = time.monotonic() + self._deadline_seconds
        if not self._turn.acquire(timeout=self._deadline_seconds):
            raise Unavailable(f"other notifications to {self._repository} take too long")
        try:
            self._check_whether_to_ask()
            github = Conversation(self._session, self._api_url, self._repository, deadline=deadline, clock=self._clock)
            return self._bring_up_to_date(github, group)
        except Throttled as error:
            self._quiet_until = self._clock() + error.retry_seconds
            raise
        finally:
            self._turn.release()

    def _check_whether_to_ask(self) -> None:
        left_seconds = self._quiet_until - self._clock()
        if left_seconds > 0:
            raise Throttled(f"GitHub asked for {left_seconds:.0f} s of quiet", retry_seconds=left_seconds)
        if self._cannot_label:
            raise _unlabelled(self._repository)

    def _bring_up_to_date(self, github: Conversation, group: AlertGroup) -> str:
        issue = self._find_open(github, group)
        if group.is_over:
            return "unchanged" if issue is None else self._close(github, issue, group)
        if issue is not None:
            return "commented" if self._say(github, issue, News.FIRING, group) else "unchanged"
        closed = self._find_closed(github, group)
        return self._open(github, group) if closed is None else self._reopen(github, closed, group)

    # -- finding -------------------------------------------------------------------------------------------------------

    def _find_open(self, github: Conversation, group: AlertGroup) -> Issue | None:
        """Return the group's open issue. If two were opened at the same moment, the first one stays."""
        found = sorted(_of(group, github.issues(label=LABEL, state="open")), key=lambda issue: issue.number)
        for issue in found[1:]:
            github.comment(issue.number, f"{News.RESOLVED.mark}\nThis is the same as #{found[0].number}.")
            github.close(issue.number, reason="not_planned")
        return found[0] if found else None

    def _find_closed(self, github: Conversation, group: AlertGroup) -> Issue | None:
        """Return the group's issue that was closed last, if that is not long ago."""
        since = self._clock() - REOPENED_WITHIN_SECONDS
        closed = [(_closed_at(i), i) for i in _of(group, github.issues(label=LABEL, state="closed", since=since))]
        return max(((at, i) for at, i in closed if at >= since), key=lambda entry: entry[0], default=(0.0, None))[1]

    # -- telling -------------------------------------------------------------------------------------------------------

    def _open(self, github: Conversation, group: AlertGroup) -> str:
        body = f"{_mark_of(group)}\n{describe(group)}\n\n{_CLOSES}"
        issue = github.open(title=title_of(group), body=body, labels=self._labels)
        if LABEL not in {label.name.lower() for label in issue.labels}:
            self._cannot_label = True
            raise _unlabelled(self._repository)
        # Another optimizer may have opened one since we looked.
        self._find_open(github, group)
        return "opened"

    def _reopen(self, github: Conversation, issue: Issue, group: AlertGroup) -> str:
        closed_at = _closed_at(issue)
        is_new = any(alert.starts_at > closed_at for alert in group.firing)
        if not is_new and not _told(github, issue, News.RESOLVED, since=closed_at - _CLOCKS_DIFFER_SECONDS):
            return "unchanged"  # a person closed it, and knows of what fires
        self._say(github, issue, News.FIRING, group)
        github.reopen(issue.number)
        return "reopened"

    def _close(self, github: Conversation, issue: Issue, group: AlertGroup) -> str:
        self._say(github, issue, News.RESOLVED, group)
        github.close(issue.number, reason="completed")
        return "closed"

    def _say(self, github: Conversation, issue: Issue, news: News, group: AlertGroup) -> bool:
        """Comment, unless the same news was told within the cooldown."""
        since = self._clock() - _NEARLY * self._cooldown_of(group)
        if _told(github, issue, news, since=since):
            return False
        github.comment(issue.number, f"{news.mark}\n{describe(group)}")
        return True

    def _cooldown_of(self, group: AlertGroup) -> float:
        cooldowns = (self._cooldowns.get(alert.rule, self._cooldown_seconds) for alert in group.alerts)
        return max(_SHORTEST_COOLDOWN_SECONDS, *cooldowns, 0.0)


def _told(github: Conversation, issue: Issue, news: News, *, since: float) -> bool:
    """Say whether the issue has this news since a time. Its body is the first news of what fires."""
    if news is News.FIRING and issue.created_at.timestamp() >= since:
        return True
    comments = github.comments(issue.number, since=since)
    # `since` asks for changes: somebody may have edited what is older.
    return any(news.mark in (comment.body or "") and comment.created_at.timestamp() >= since for comment in comments)


def _of(group: AlertGroup, issues: list[Issue]) -> list[Issue]:
    mark = _mark_of(group)
    return [issue for issue in issues if mark in (issue.body or "")]


def _mark_of(group: AlertGroup) -> str:
    """Return the hidden comment by which a group's issue is found.

    The labels by which the route groups, and not the key of the group: that contains the route's matchers, which
    change whenever a rule is added. Without such labels the key is all there is.
    """
    identity = json.dumps(dict(group.labels), sort_keys=True) if group.labels else group.key
    return f"<!-- perfloop group {hashlib.sha256(identity.encode()).hexdigest()[:32]} -->"


def _closed_at(issue: Issue) -> float:
    return (issue.closed_at or issue.created_at).timestamp()


def _unlabelled(repository: str) -> Unauthorized:
    return Unauthorized(
        f"the token may open issues in {repository}, but not label them: without the label {LABEL} they would not be "
        "found again; give it the right to write, then reload"
    )
