"""The SQLite store: what is delivered, what is on disk, and what happens when the disk is full."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from perfloop.errors import ActionRefused, NotFound, Paused, PerfloopError, Stale, Unavailable
from perfloop.model import Action, Alert, Decision, Execution, Outcome, Phase, Receipt, State
from perfloop.stores import SqlStore
from tests.optimizer.loop import POLICY, firing, resolved


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = SqlStore(tmp_path / "perfloop.db")
    yield made
    made.close()


def execution(episode_id: int = 1, *, id: str = "abc123", component: str = "orders-pool") -> Execution:
    action = Action(id=id, policy=POLICY.name, executor="database", component=component, parameters={})
    return Execution(
        id=id,
        episode_id=episode_id,
        action=action,
        policy=POLICY,
        state=State.PENDING,
        phase=Phase.PLANNED,
        created_at=10.0,
        updated_at=10.0,
        due_at=10.0,
    )


FIRST = firing(starts_at=100.0)


@pytest.mark.parametrize(
    ("deliveries", "last", "open_episodes"),
    [
        pytest.param([FIRST], Receipt(opened=1), 1, id="first"),
        pytest.param([FIRST, FIRST], Receipt(repeated=1), 1, id="the same again"),
        pytest.param([FIRST, resolved(FIRST, ends_at=160.0)], Receipt(resolved=1), 0, id="resolved"),
        pytest.param([resolved(FIRST, ends_at=160.0), FIRST], Receipt(late=1), 0, id="firing after its own resolution"),
        pytest.param(
            [FIRST, resolved(FIRST, ends_at=160.0), firing(starts_at=170.0)], Receipt(opened=1), 1, id="fires anew"
        ),
        pytest.param(
            [firing(starts_at=170.0), resolved(FIRST, ends_at=160.0)],
            Receipt(late=1),
            1,
            id="the resolution of an older firing",
        ),
        pytest.param(
            [FIRST, firing(severity="critical"), resolved(FIRST, ends_at=160.0)],
            Receipt(resolved=1),
            1,
            id="the other severity still fires",
        ),
    ],
)
def test_deliveries_open_and_close_episodes(
    store: SqlStore, deliveries: list[Alert], last: Receipt, open_episodes: int
) -> None:
    for at, alert in enumerate(deliveries):
        receipt = store.receive([alert], now=200.0 + at)

    assert receipt == last
    assert len(store.episodes_due(now=1000.0)) == open_episodes


def test_an_alert_that_still_fires_long_after_its_resolution_is_no_late_delivery(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    store.receive([resolved(FIRST, ends_at=210.0)], now=210.0)

    receipt = store.receive([FIRST], now=340.0)

    assert receipt == Receipt(opened=1)


def test_deliveries_at_the_same_moment_open_one_episode(store: SqlStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: store.receive([FIRST], now=200.0), range(32)))

    assert sum(receipt.opened for receipt in receipts) == 1
    assert len(store.episodes_due(now=1000.0)) == 1


def test_labels_full_of_sql_and_unicode_come_back_as_they_were(store: SqlStore) -> None:
    hostile = firing(component='"; DROP TABLE episodes; --\n$(reboot) \u202e')

    store.receive([hostile], now=200.0)

    (episode,) = store.episodes_due(now=1000.0)
    assert episode.component == hostile.component


def test_an_episode_is_acted_on_once(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    store.begin(execution())
    done = replace(execution(), state=State.COMPLETED)
    store.save(done, note="done")

    with pytest.raises(ActionRefused, match="has been acted on"):
        store.begin(execution(id="def456"))


def test_a_component_has_one_unfinished_execution(store: SqlStore) -> None:
    store.receive([FIRST, firing(rule="pool_waiting")], now=200.0)
    store.begin(execution())

    with pytest.raises(ActionRefused, match="orders-pool is busy"):
        store.begin(execution(2, id="def456"))


def test_of_two_writers_the_later_one_notices(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    store.begin(execution())
    mine = store.execution("abc123")
    store.save(replace(mine, reason="theirs"), note="theirs")

    with pytest.raises(Stale):
        store.save(replace(mine, reason="mine"), note="mine")

    assert store.execution("abc123").reason == "theirs"


def test_an_id_may_be_shortened_while_it_is_unambiguous(store: SqlStore) -> None:
    store.receive([FIRST, firing(component="b")], now=200.0)
    store.begin(execution())
    store.begin(execution(2, id="abd999", component="b"))

    assert store.execution("abc").id == "abc123"
    with pytest.raises(NotFound, match="more than one action 'ab'"):
        store.execution("ab")
    with pytest.raises(NotFound, match="no action '%'"):
        store.execution("%")


def test_a_refusal_that_repeats_itself_is_stored_once(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    (episode,) = store.episodes_due(now=300.0)
    refusal = Decision(outcome=Outcome.REFUSE, reason="paused", retry=True)

    news = [store.record_decision(episode, refusal, now=300.0 + i, again_at=400.0) for i in range(3)]

    assert news == [True, False, False]
    assert store.episodes_due(now=399.0) == []
    assert len(store.episodes_due(now=400.0)) == 1


def test_nothing_begins_while_paused_or_after_the_alert_has_resolved(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    store.pause("migration")

    with pytest.raises(Paused, match="migration"):
        store.begin(execution())

    store.pause(None)
    store.receive([resolved(FIRST, ends_at=210.0)], now=210.0)
    with pytest.raises(ActionRefused, match="resolved before the action began"):
        store.begin(execution())


def test_an_episode_that_was_delivered_again_meanwhile_is_not_closed(store: SqlStore) -> None:
    store.receive([FIRST], now=200.0)
    store.receive([FIRST], now=260.0)

    store.close_episode(1, unless_after=200.0, now=261.0)
    still_open = store.episode(1).closed_at
    store.close_episode(1, unless_after=260.0, now=262.0)

    assert still_open is None
    assert store.episode(1).closed_at == 262.0


def test_a_row_that_cannot_be_read_does_not_hide_the_others(store: SqlStore, tmp_path: Path) -> None:
    store.receive([FIRST, firing(component="b")], now=200.0)
    store.begin(execution())
    store.begin(execution(2, id="def456", component="b"))
    with sqlite3.connect(tmp_path / "perfloop.db") as connection:
        connection.execute("UPDATE executions SET body = '{}' WHERE id = 'abc123'")

    assert [found.id for found in store.executions(active=True)] == ["def456"]


def test_old_episodes_without_an_execution_are_forgotten(store: SqlStore) -> None:
    for alert in (FIRST, firing(component="b")):
        store.receive([alert], now=200.0)
        store.receive([resolved(alert, ends_at=210.0)], now=210.0)
    store.receive([firing(component="c")], now=210.0)
    store.record_decision(store.episode(2), Decision(outcome=Outcome.REFUSE, reason="x"), now=211.0, again_at=None)

    store.prune(before=1000.0)

    assert [episode.component for episode, _ in store.open_episodes()] == ["c"]
    with pytest.raises(NotFound):
        store.episode(2)


def test_everything_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from perfloop.stores import SqlStore;"
        "from tests.optimizer.loop import firing;"
        "SqlStore(Path(sys.argv[1])).receive([firing()], now=1.0); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "perfloop.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=30)

    assert len(SqlStore(path).episodes_due(now=10.0)) == 1


def test_a_full_store_is_unavailable_and_loses_nothing(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "perfloop.db")
    store.receive([FIRST], now=200.0)
    _limit_pages(store)

    with pytest.raises(Unavailable, match="full"):
        store.receive([firing(component=f"c{i}" + "x" * 2000) for i in range(200)], now=201.0)

    assert [episode.component for episode in store.episodes_due(now=1000.0)] == ["orders-pool"]


def test_a_store_that_somebody_else_holds_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "perfloop.db"
    store = SqlStore(path, lock_timeout_seconds=0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="locked"):
        store.receive([FIRST], now=200.0)

    holder.close()


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "perfloop.db"
    SqlStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET value = '99' WHERE key = 'schema_version'")

    with pytest.raises(PerfloopError, match="has schema version 99"):
        SqlStore(path)


def _limit_pages(store: SqlStore) -> None:
    """Let the file grow no further, as a full disk would: the limit belongs to a connection, so set it on each."""
    from sqlalchemy import event

    def limit(connection: sqlite3.Connection, record: object, proxy: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    event.listen(store._engine, "checkout", limit)
