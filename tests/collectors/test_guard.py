"""Collectors that fail, hang, crash and recover: what a scrape waits for, and what it shows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from perfloop.collectors.guard import Guard
from perfloop.collectors.watch import Watch
from perfloop.errors import Unavailable
from perfloop.exposition.block import Block
from perfloop.exposition.histogram import Histogram
from perfloop.exposition.text import Samples
from perfloop.model import Family, MetricType
from perfloop.protocols import Collector
from tests.collectors.pages import Page, page_of
from tests.support import eventually

UP = Family(name="up", type=MetricType.GAUGE, help="Whether it answered.", labels=("component",))


class Target:
    """A target that does what the test says: answers, fails, or hangs until it is let go."""

    name = "target"
    may_hang = True

    def __init__(self, component: str = "db") -> None:
        self.component, self.runs, self.closed = component, 0, False
        self.problem: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self._up = Block([UP], fixed=(component,))

    def collect(self) -> Samples:
        self.runs += 1
        self.free.wait(30)
        if self.problem:
            raise self.problem
        return self._up.render_row([b"1"])

    def down(self) -> Samples:
        return self._up.render_row([b"0"])

    def close(self) -> None:
        self.closed = True


class Scraper:
    """Scrapes a guard as the exporter does: waits for the round, at most the budget."""

    def __init__(self, *sources: Collector, budget_seconds: float) -> None:
        self.complete = threading.Event()
        watches = [Watch(source, budget_seconds=budget_seconds) for source in sources]
        self.guard = Guard(watches, notify=self.complete.set)
        self._budget_seconds = budget_seconds
        self.waited_seconds = 0.0

    def scrape(self) -> Page:
        started_at = time.monotonic()
        self.complete.clear()
        current = self.guard.begin()
        if not current.complete:
            self.complete.wait(self._budget_seconds)
        page = page_of(current.samples())
        self.waited_seconds = time.monotonic() - started_at
        return page


@pytest.fixture
def scraper() -> Iterator[Callable[..., Scraper]]:
    made: list[Scraper] = []

    def make(*sources: Collector, budget_seconds: float = 0.3) -> Scraper:
        made.append(Scraper(*sources, budget_seconds=budget_seconds))
        return made[-1]

    yield make
    for one in made:
        one.guard.close()


def success(page: Page, component: str = "db") -> float:
    return page.value("perfloop_exporter_collector_success", collector="target", component=component)


def test_all_that_answer_are_on_the_page(scraper: Callable[..., Scraper]) -> None:
    page = scraper(Target("a"), Target("b")).scrape()

    assert (page.value("up", component="a"), page.value("up", component="b")) == (1, 1)
    assert (success(page, "a"), success(page, "b")) == (1, 1)
    assert page.value("perfloop_exporter_collector_duration_seconds", collector="target", component="a") < 0.3


@pytest.mark.parametrize(
    "problem", [pytest.param(Unavailable("no"), id="foreseen"), pytest.param(KeyError("bug"), id="a bug")]
)
def test_a_failure_costs_only_its_own_samples(scraper: Callable[..., Scraper], problem: Exception) -> None:
    bad = Target("bad")
    bad.problem = problem

    page = scraper(bad, Target("good")).scrape()

    assert (page.value("up", component="bad"), success(page, "bad")) == (0, 0)
    assert (page.value("up", component="good"), success(page, "good")) == (1, 1)


def test_what_cannot_hang_is_collected_in_the_scrapes_own_thread(scraper: Callable[..., Scraper]) -> None:
    class Local(Target):
        may_hang = False

        def collect(self) -> Samples:
            assert threading.current_thread() is threading.main_thread()
            return super().collect()

    local, broken = Local("local"), Local("broken")
    broken.problem = Unavailable("no such file")
    scrapes = scraper(local, broken)

    page = scrapes.scrape()
    scrapes.guard.close()

    assert (page.value("up", component="local"), page.value("up", component="broken")) == (1, 0)
    assert local.closed


def test_only_the_first_scrape_pays_for_a_hung_target(scraper: Callable[..., Scraper]) -> None:
    hung, good = Target("hung"), Target("good")
    hung.free.clear()
    scrapes = scraper(hung, good)

    first = scrapes.scrape()
    first_seconds = scrapes.waited_seconds
    second = scrapes.scrape()
    second_seconds = scrapes.waited_seconds

    assert 0.29 < first_seconds < 0.6
    assert second_seconds < 0.1
    for page in (first, second):
        assert (page.value("up", component="hung"), page.value("up", component="good")) == (0, 1)
    assert hung.runs == 1, "the run in flight is joined, not repeated"
    hung.free.set()


def test_a_target_that_was_paused_is_back_with_the_first_scrape(scraper: Callable[..., Scraper]) -> None:
    target = Target()
    scrapes = scraper(target)
    scrapes.scrape()
    target.free.clear()
    scrapes.scrape()
    scrapes.scrape()

    target.free.set()
    eventually(lambda: scrapes.guard.idle)

    assert success(scrapes.scrape()) == 1


def test_a_target_that_failed_is_back_after_one_good_run(scraper: Callable[..., Scraper]) -> None:
    target = Target()
    target.problem = Unavailable("down")
    scrapes = scraper(target)
    scrapes.scrape()

    target.problem = None

    assert eventually(lambda: success(scrapes.scrape()))


def test_a_target_that_is_always_slow_is_not_waited_for_again_and_again(scraper: Callable[..., Scraper]) -> None:
    class Slow(Target):
        def collect(self) -> Samples:
            time.sleep(0.15)
            return super().collect()

    scrapes = scraper(Slow(), budget_seconds=0.1)
    waits = []
    for runs in range(1, 5):
        scrapes.scrape()
        waits.append(scrapes.waited_seconds)
        eventually(lambda: scrapes.guard.idle, what=f"the end of run {runs}")

    assert [seconds > 0.09 for seconds in waits] == [True, True, False, False]


def test_scrapes_at_the_same_time_share_one_collection() -> None:
    target = Target()
    target.free.clear()
    guard = Guard([Watch(target, budget_seconds=5)])

    rounds = {guard.begin() for _ in range(100)}
    target.free.set()
    [shared] = rounds
    eventually(lambda: shared.complete)

    assert page_of(shared.samples()).value("up", component="db") == 1
    assert target.runs == 1
    guard.close()


def test_a_round_that_nobody_came_back_for_is_not_joined() -> None:
    target = Target()
    guard = Guard([Watch(target, budget_seconds=0.05)])
    abandoned = guard.begin()

    eventually(lambda: guard.begin() is not abandoned)

    eventually(lambda: target.runs == 2)
    guard.close()


def test_only_changes_of_state_are_logged(scraper: Callable[..., Scraper], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "perfloop")
    target = Target()
    scrapes = scraper(target)
    target.problem = Unavailable("connection refused")
    for _ in range(3):
        scrapes.scrape()
        eventually(lambda: scrapes.guard.idle)
    target.problem = None
    for _ in range(3):
        scrapes.scrape()
        eventually(lambda: scrapes.guard.idle)

    assert [record.message for record in caplog.records] == ["collector failed", "collector recovered"]
    assert vars(caplog.records[0])["reason"] == "Unavailable: connection refused"


def test_what_was_late_says_its_reason_once_it_is_known(
    scraper: Callable[..., Scraper], caplog: pytest.LogCaptureFixture
) -> None:
    target = Target()
    target.free.clear()
    scrapes = scraper(target, budget_seconds=0.05)
    scrapes.scrape()
    for reason in ("connection refused", "connection refused by 127.0.0.1"):
        target.problem = Unavailable(reason)
        target.free.set()
        scrapes.scrape()
        eventually(lambda: scrapes.guard.idle)
    target.free.clear()
    scrapes.scrape()
    target.free.set()
    eventually(lambda: scrapes.guard.idle)

    assert [vars(record)["reason"] for record in caplog.records] == ["late", "Unavailable: connection refused"]


def test_a_bug_that_comes_late_is_logged_with_its_place(
    scraper: Callable[..., Scraper], caplog: pytest.LogCaptureFixture
) -> None:
    target = Target()
    target.free.clear()
    scrapes = scraper(target, budget_seconds=0.05)
    scrapes.scrape()
    target.problem = KeyError("bug")
    target.free.set()
    eventually(lambda: scrapes.guard.idle)

    messages = [record.message for record in caplog.records]
    assert messages == ["collector failed", "collector broke", "collector failed"]


def test_closing_ends_threads_and_collectors() -> None:
    target = Target("closing")
    guard = Guard([Watch(target, budget_seconds=0.3)])

    guard.close()

    eventually(lambda: target.closed)
    eventually(lambda: "target closing" not in {thread.name for thread in threading.enumerate()})


def test_some_can_be_asked_without_the_others(scraper: Callable[..., Scraper]) -> None:
    slow, quick = Target("slow"), Target("quick")
    slow.name, quick.name = "slow", "quick"  # type: ignore[misc]
    slow.free.clear()
    guard = scraper(slow, quick).guard

    chosen = guard.begin(frozenset({"quick"}))
    eventually(lambda: chosen.complete)
    page = page_of(chosen.samples())

    assert page.labels("up", "component") == {"quick"}
    assert page.labels("perfloop_exporter_collector_success", "collector") == {"quick"}
    assert slow.runs == 0


def test_a_run_in_flight_serves_all_who_wait_for_it(scraper: Callable[..., Scraper]) -> None:
    target = Target()
    target.free.clear()
    guard = scraper(target, budget_seconds=5).guard

    rounds = [guard.begin(), guard.begin(frozenset({"target"}))]
    target.free.set()
    eventually(lambda: all(one.complete for one in rounds))

    assert [page_of(one.samples()).value("up", component="db") for one in rounds] == [1, 1]
    assert target.runs == 1


def test_a_run_for_others_takes_nothing_from_who_has_its_samples_already(scraper: Callable[..., Scraper]) -> None:
    quick, slow = Target("quick"), Target("slow")
    quick.name, slow.name = "quick", "slow"  # type: ignore[misc]
    slow.free.clear()
    guard = scraper(quick, slow, budget_seconds=5).guard
    everything = guard.begin()
    eventually(lambda: {watch.source for watch in everything.awaited} == {slow})

    quick.free.clear()
    guard.begin(frozenset({"quick"}))
    eventually(lambda: quick.runs == 2)
    page = page_of(everything.samples())

    assert (page.value("up", component="quick"), page.value("up", component="slow")) == (1, 0)
    assert page.value("perfloop_exporter_collector_success", collector="quick", component="quick") == 1
    quick.free.set()
    slow.free.set()


def test_a_patient_budget_waits_for_its_own_collector_only() -> None:
    patient, hung = Target("patient"), Target("hung")
    hung.free.clear()
    guard = Guard([Watch(patient, budget_seconds=60), Watch(hung, budget_seconds=0.1)])

    started = guard.begin()
    eventually(lambda: {watch.source for watch in started.awaited} == {hung})

    assert started.deadline - started.started_at == pytest.approx(0.1)
    guard.close()
    hung.free.set()


def test_what_a_reload_keeps_goes_on_and_the_rest_ends() -> None:
    kept, gone = Target("kept"), Target("gone")
    watch = Watch(kept)
    guard = Guard([watch, Watch(gone)])
    eventually(lambda: guard.begin().complete)

    guard.replace([watch])

    eventually(lambda: gone.closed)
    assert not kept.closed
    eventually(lambda: guard.begin().complete)
    guard.close()


def test_the_series_of_a_family_are_bounded_and_the_rest_is_counted(scraper: Callable[..., Scraper]) -> None:
    class Flood(Target):
        def collect(self) -> Samples:
            yield from super().collect()
            yield UP, b"".join(b'up{component="flood-%d"} 1\n' % i for i in range(99))
            yield Histogram(WAITS, ("db",), bounds_seconds=range(100)).render()

    watch = Watch(Flood(), max_series=60)
    guard = Guard([watch])

    pages = []
    for _ in range(2):
        current = guard.begin()
        eventually(lambda one=current: one.complete)
        pages.append(page_of(current.samples()))
    guard.close()

    for scrape, page in enumerate(pages, start=1):
        assert len(page.values("up")) == 60
        assert not page.values("waits_seconds_bucket"), "half a histogram is none"
        assert page.values("perfloop_exporter_dropped_series_total") == [scrape * (40 + 103)]


WAITS = Family(name="waits_seconds", type=MetricType.HISTOGRAM, help="Waits.", labels=("component",))


def test_a_reload_makes_nobody_late_whose_target_was_about_to_answer() -> None:
    target, gone = Target("kept"), Target("gone")
    gone.may_hang = False  # type: ignore[misc]
    target.free.clear()
    watch = Watch(target, budget_seconds=30)
    guard = Guard([watch, Watch(gone)])
    before = guard.begin()

    guard.replace([watch])
    after = guard.begin()
    target.free.set()
    eventually(lambda: before.complete and after.complete)
    pages = [page_of(each.samples()) for each in (before, after)]

    assert [page.values("up", component="kept") for page in pages] == [[1.0], [1.0]]
    assert (gone.runs, gone.closed) == (0, True), "what is closed is not opened again"
    guard.close()
