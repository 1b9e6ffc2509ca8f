"""GitHub issues about alerts, over HTTP: through first tellings, repeats, changes, ends, faults and restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from perfloop.errors import Rejected, Throttled, Unauthorized, Unavailable
from perfloop.model import Alert, AlertGroup, AlertStatus
from perfloop.notifiers.github_issue import GitHubIssue
from perfloop.testing import FakeClock
from tests.notifiers.github import REPOSITORY, TOKEN, GitHub, Lost, answers, hangs

HOUR = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def github(clock: FakeClock) -> Iterator[GitHub]:
    with GitHub(clock) as server:
        yield server


def channel(
    github: GitHub,
    *,
    token: str = TOKEN,
    repository: str = REPOSITORY,
    deadline_seconds: float = 5.0,
    cooldowns: dict[str, float] | None = None,
) -> GitHubIssue:
    return GitHubIssue(
        repository,
        token=token,
        api_url=github.url,
        labels=("ops",),
        cooldown_seconds=HOUR,
        cooldowns=cooldowns,
        clock=github.clock,
        deadline_seconds=deadline_seconds,
    )


def alert(
    clock: FakeClock, *, instance: str = "web-1", firing: bool = True, ago_seconds: float = 60.0, **annotations: str
) -> Alert:
    return Alert(
        fingerprint=instance,
        status=AlertStatus.FIRING if firing else AlertStatus.RESOLVED,
        labels={"alertname": "CpuUsageHigh", "rule": "cpu_usage", "severity": "warning", "instance": instance},
        annotations={"summary": "The CPU is busy.", **annotations},
        starts_at=clock() - ago_seconds,
        ends_at=None if firing else clock(),
    )


def group(
    *alerts: Alert, key: str = '{}/{rule=~"cpu_usage"}:{alertname="CpuUsageHigh"}', truncated: int = 0
) -> AlertGroup:
    return AlertGroup(key=key, labels={"alertname": "CpuUsageHigh"}, alerts=alerts, truncated=truncated)


# -- what becomes of a group -------------------------------------------------------------------------------------------


def test_a_group_that_fires_opens_one_issue_with_labels_and_what_there_is_to_know(
    github: GitHub, clock: FakeClock
) -> None:
    links = {"runbook_url": "https://wiki.example/cpu", "dashboard_url": "https://g.example/d/x?var-instance=web-1"}

    done = channel(github).notify(group(alert(clock, description="94 % on web-1.", **links)))

    (issue,) = github.issues
    assert done == "opened"
    assert (issue["title"], [label["name"] for label in issue["labels"]]) == ("CpuUsageHigh", ["perfloop", "ops"])
    assert "1 alert fires." in issue["body"]
    assert "94 % on web-1." in issue["body"]
    assert "alertname=CpuUsageHigh, instance=web-1, rule=cpu_usage, severity=warning" in issue["body"]
    assert f"[what to do]({links['runbook_url']}) · [board]({links['dashboard_url']})" in issue["body"]


def test_a_title_has_the_alert_s_name_and_what_it_is_about(github: GitHub, clock: FakeClock) -> None:
    labels = {"rule": "cpu_usage", "component": "orders", "instance": "web-1"}

    channel(github).notify(AlertGroup(key="k", labels=labels, alerts=(alert(clock),)))

    assert github.issues[0]["title"] == "CpuUsageHigh: orders, web-1"


def test_within_the_cooldown_nothing_is_said_and_after_it_one_comment(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock)))
    done = []

    for _ in range(30):  # two and a half hours, told every five minutes, each time with another host
        clock.advance(300)
        done.append(notifier.notify(group(alert(clock), alert(clock, instance=f"web-{clock.now}"))))

    assert (len(github.issues), done.count("commented"), set(done)) == (1, 2, {"commented", "unchanged"})
    assert "2 alerts fire." in github.said(1)[0]


def test_a_rule_has_its_own_cooldown(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github, cooldowns={"cpu_usage": 120.0})
    notifier.notify(group(alert(clock)))

    clock.advance(120)

    assert notifier.notify(group(alert(clock))) == "commented"


def test_when_all_have_ended_it_is_closed_with_a_comment(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock), alert(clock, instance="web-2")))

    some = notifier.notify(group(alert(clock, firing=False), alert(clock, instance="web-2")))
    done = notifier.notify(group(alert(clock, firing=False), alert(clock, instance="web-2", firing=False)))

    assert (some, done, github.states()) == ("unchanged", "closed", ["closed"])
    assert github.issues[0]["state_reason"] == "completed"
    assert "2 alerts have ended." in github.said(1)[0]


def test_of_alerts_that_were_cut_off_nobody_knows_that_they_ended(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock), truncated=3))

    notifier.notify(group(alert(clock, firing=False), truncated=3))

    assert github.states() == ["open"]
    assert "And 3 more." in github.issues[0]["body"]


def test_what_fires_again_within_a_week_opens_the_same_issue_again(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock)))
    notifier.notify(group(alert(clock, firing=False)))

    clock.advance(6 * 86400)
    done = notifier.notify(group(alert(clock)))

    assert (done, github.states(), len(github.said(1))) == ("reopened", ["open"], 2)


def test_after_a_week_there_is_a_new_issue(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock)))
    notifier.notify(group(alert(clock, firing=False)))
    clock.advance(6 * 86400)
    github.change(1, body=github.issues[0]["body"] + "\nlabelled since")  # changed, but closed long ago

    clock.advance(2 * 86400)
    done = notifier.notify(group(alert(clock)))

    assert (done, github.states()) == ("opened", ["closed", "open"])


def test_coming_and_going_says_each_news_once_in_a_cooldown(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)

    for _ in range(10):
        notifier.notify(group(alert(clock)))
        clock.advance(120)
        notifier.notify(group(alert(clock, firing=False)))
        clock.advance(120)

    assert (github.states(), len(github.said(1))) == (["closed"], 1)


def test_an_issue_closed_by_hand_stays_closed_until_an_alert_begins_anew(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    notifier.notify(group(alert(clock)))
    clock.advance(600)
    github.change(1, state="closed")
    clock.advance(2 * HOUR)

    same = notifier.notify(group(alert(clock, ago_seconds=2 * HOUR + 700)))
    anew = notifier.notify(group(alert(clock, ago_seconds=2 * HOUR + 700), alert(clock, instance="web-2")))

    assert (same, anew, github.states()) == ("unchanged", "reopened", ["open"])


def test_what_ended_without_an_issue_opens_none(github: GitHub, clock: FakeClock) -> None:
    assert channel(github).notify(group(alert(clock, firing=False))) == "unchanged"
    assert github.issues == []


def test_issues_of_people_are_left_alone(github: GitHub, clock: FakeClock) -> None:
    channel(github).notify(group(alert(clock)))
    body = github.issues[0]["body"]
    github.add(body="CpuUsageHigh", labels=["perfloop"])
    github.add(body=body, labels=["perfloop"], pull_request={"url": "https://x"})
    github.add(body=body, labels=["something else"])

    channel(github).notify(group(alert(clock, firing=False)))

    assert github.states() == ["closed", "open", "open", "open"]


# -- the same issue, whatever happens ----------------------------------------------------------------------------------


def test_a_restart_and_a_changed_route_lead_to_the_same_issue(github: GitHub, clock: FakeClock) -> None:
    channel(github).notify(group(alert(clock)))

    again = channel(github).notify(group(alert(clock)))
    key = '{}/{rule=~"cpu_usage|memory_usage"}:{alertname="CpuUsageHigh"}'
    routed_anew = channel(github).notify(group(alert(clock), key=key))

    assert (again, routed_anew, len(github.issues)) == ("unchanged", "unchanged", 1)


def test_groups_without_labels_are_told_apart_by_their_route(github: GitHub, clock: FakeClock) -> None:
    for key in ("{}/{team=a}:{}", "{}/{team=b}:{}"):
        channel(github).notify(AlertGroup(key=key, labels={}, alerts=(alert(clock),)))

    assert len(github.issues) == 2


def test_it_is_found_on_a_later_page_and_the_token_goes_to_no_other_host(github: GitHub, clock: FakeClock) -> None:
    channel(github).notify(group(alert(clock)))
    github.issues[0], others = github.issues[0], [github.add(body="", labels=["perfloop"]) for _ in range(5)]
    github.issues = [*others, github.issues[0]]  # the double links pages on a host that does not exist
    github.page_size = 2

    assert channel(github).notify(group(alert(clock))) == "unchanged"
    assert len(github.issues) == 6


def test_a_lost_answer_leads_to_no_second_issue_and_no_second_comment(github: GitHub, clock: FakeClock) -> None:
    notifier = channel(github)
    steps = [group(alert(clock)), group(alert(clock, firing=False))]

    for step in steps:
        github.faults.append(Lost)
        with pytest.raises(Unavailable):
            notifier.notify(step)
        notifier.notify(step)

    assert (github.states(), len(github.said(1))) == (["closed"], 1)


def test_of_two_that_open_at_the_same_moment_one_stays(github: GitHub, clock: FakeClock) -> None:
    both = threading.Barrier(2)
    github.before_open = lambda: both.wait(5)
    threads = [threading.Thread(target=channel(github).notify, args=(group(alert(clock)),)) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    channel(github).notify(group(alert(clock)))

    assert github.states() == ["open", "closed"]
    assert "This is the same as #1." in github.said(2)[0]


# -- faults ------------------------------------------------------------------------------------------------------------


def test_a_github_that_hangs_is_given_up_in_time(github: GitHub, clock: FakeClock) -> None:
    github.read_faults.append(hangs)

    with pytest.raises(Unavailable, match=r"GitHub at 127.0.0.1:\d+ gave no answer in"):
        channel(github, deadline_seconds=0.3).notify(group(alert(clock)))


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_what_may_pass_is_unavailable(github: GitHub, clock: FakeClock, status: int) -> None:
    github.faults.append(answers(status))

    with pytest.raises(Unavailable, match=f"answers {status} to POST /repos/acme/shop/issues: the test says {status}"):
        channel(github).notify(group(alert(clock)))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(403, {"retry_after": "30"}, 30, id="secondary"),
        pytest.param(403, {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1700000200"}, 200, id="primary"),
        pytest.param(429, {}, 60, id="without a time"),
        pytest.param(429, {"retry_after": "99999999"}, 3600, id="no longer than an hour"),
    ],
)
def test_a_rate_limit_is_kept(
    github: GitHub, clock: FakeClock, status: int, headers: dict[str, str], seconds: float
) -> None:
    notifier = channel(github)
    github.read_faults.append(answers(status, **headers))
    with pytest.raises(Throttled):
        notifier.notify(group(alert(clock)))

    clock.advance(seconds - 1)
    with pytest.raises(Throttled, match="asked for 1 s of quiet"):
        notifier.notify(group(alert(clock)))
    asked = len(github.requests)
    clock.advance(1)

    assert (asked, notifier.notify(group(alert(clock)))) == (1, "opened")


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        pytest.param(answers(401), Unauthorized, "the channel's token must be valid and may write issues", id="401"),
        pytest.param(answers(403), Unauthorized, "the channel's token must be valid", id="403 without a limit"),
        pytest.param(answers(404), Rejected, "answers 404 to GET /repos/acme/shop/issues", id="404"),
        pytest.param(answers(422), Rejected, "answers 422", id="422"),
        pytest.param(answers(301, location="/repositories/1/issues"), Rejected, "the repository has moved", id="301"),
    ],
)
def test_what_a_person_must_mend_is_rejected_with_what_to_do(
    github: GitHub, clock: FakeClock, fault: object, error: type[Exception], says: str
) -> None:
    github.read_faults.append(fault)  # type: ignore[arg-type]

    with pytest.raises(error, match=says):
        channel(github).notify(group(alert(clock)))


def test_without_the_right_to_label_it_opens_one_issue_and_no_more(github: GitHub, clock: FakeClock) -> None:
    github.may_label = False
    notifier = channel(github)

    for _ in range(3):
        with pytest.raises(Unauthorized, match="but not label them"):
            notifier.notify(group(alert(clock)))

    assert len(github.issues) == 1


def test_the_token_stands_in_no_error_and_no_issue(
    github: GitHub, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    with pytest.raises(Unauthorized) as caught:
        channel(github, token="ghp_wrong").notify(group(alert(clock)))
    channel(github).notify(group(alert(clock)))

    assert "ghp_" not in f"{caught.value} {caplog.text} {github.issues} {github.requests}"


# -- untrusted text ----------------------------------------------------------------------------------------------------


def test_labels_and_annotations_stand_in_code_only_and_forge_no_hidden_comment(
    github: GitHub, clock: FakeClock
) -> None:
    channel(github).notify(group(alert(clock)))
    forged = github.issues[0]["body"].splitlines()[0]
    evil = alert(
        clock,
        instance="`@team` <img src=x> #1",
        summary=f"````\n@everyone\n{forged}\n<script>\x1b[2J",
        runbook_url="https://x) @team <b>",
    )

    channel(github).notify(AlertGroup(key="k", labels={"instance": "`@team`\n## x"}, alerts=(evil,)))

    issue = github.issues[1]
    outside, fence = [], ""
    for line in issue["body"].splitlines():
        if not fence and line.startswith("```"):
            fence = line.removesuffix("text")
        elif line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert not [line for line in outside if any(word in line for word in ("@", "<img", "<script", "#1", "<b>"))]
    assert forged not in issue["body"]
    assert "\x1b" not in issue["body"]
    assert "\n" not in issue["title"]


def test_a_thousand_alerts_with_long_texts_fit_into_an_issue(github: GitHub, clock: FakeClock) -> None:
    alerts = [alert(clock, instance=f"web-{i}", summary="s" * 5000, description="d" * 5000) for i in range(1000)]

    channel(github).notify(group(*alerts))

    assert len(github.issues[0]["body"]) < 65536
    assert "And 980 more." in github.issues[0]["body"]
