"""The labelled series of the Numenta Anomaly Benchmark, and its score, written after its published definition.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark", 2015
(arXiv 1510.03336): the first detection in a window earns the more the earlier it is, a missed window and each detection
outside of windows cost, and a detector that says nothing has 0, a perfect one 100.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

_PROBATION_RATIO, _PROBATION_MOST_ROWS = 0.15, 750
_EARLIEST = 2 / (1 + math.exp(-5)) - 1
_DAY = 86400


class Profile(Struct, frozen=True, kw_only=True):
    """What a find is worth, and what a false alarm and a missed window cost."""

    found: float
    false_alarm: float
    missed: float


class Labelled(Struct, frozen=True, kw_only=True):
    """One series; `windows` are the first and the last row of each anomaly."""

    name: str
    times: Sequence[int]
    values: Sequence[float]
    windows: Sequence[tuple[int, int]]

    @property
    def probation(self) -> int:
        """How many rows at the beginning are for learning, and are not judged."""
        return min(math.floor(_PROBATION_RATIO * len(self.times)), _PROBATION_MOST_ROWS)

    @property
    def judged_days(self) -> float:
        """How many days are judged."""
        return (self.times[-1] - self.times[self.probation]) / _DAY


class Tally(Struct, frozen=True, kw_only=True):
    """What one detector did on all series: NAB's score of each profile, and plain counts."""

    scores: Mapping[str, float]
    precision: float
    recall: float
    false_alarms_per_day: float


def load(folder: Path) -> list[Labelled]:
    """Return the series below `data`, sorted by name. Raises OSError if the folder is not there."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    files = sorted((folder / "data").rglob("*.csv"))
    return [_series(file, labels[file.relative_to(folder / "data").as_posix()]) for file in files]


def profiles(folder: Path) -> dict[str, Profile]:
    """Return NAB's profiles of costs by name."""
    content = json.loads((folder / "config" / "profiles.json").read_text(encoding="utf-8"))
    costs = {name: entry["CostMatrix"] for name, entry in content.items()}
    return {
        name: Profile(found=cost["tpWeight"], false_alarm=cost["fpWeight"], missed=cost["fnWeight"])
        for name, cost in costs.items()
    }


def tally(series: Iterable[Labelled], detections: Mapping[str, Sequence[int]], costs: Mapping[str, Profile]) -> Tally:
    """Judge the detections (rows, by the series' name): NAB's score over all series, precision, recall, false alarms.

    Precision is the share of the detections that lie in a window, recall the share of the windows that have one.
    """
    judged = [(each, _after_probation(each, detections.get(each.name, ()))) for each in series]
    windows = sum(len(each.windows) for each, _ in judged)
    inside = sum(1 for each, rows in judged for row in rows if _window_of(each, row) is not None)
    total = sum(len(rows) for _, rows in judged)
    found = sum(1 for each, rows in judged for window in each.windows if any(_within(row, window) for row in rows))
    return Tally(
        scores={name: _score(judged, profile, windows) for name, profile in costs.items()},
        precision=inside / total if total else 0.0,
        recall=found / windows if windows else 0.0,
        false_alarms_per_day=(total - inside) / sum(each.judged_days for each, _ in judged),
    )


def _score(judged: Sequence[tuple[Labelled, Sequence[int]]], profile: Profile, windows: int) -> float:
    raw = sum(_raw(each, rows, profile) for each, rows in judged)
    silent, perfect = -profile.missed * windows, profile.found * windows
    return 100 * (raw - silent) / (perfect - silent)


def _raw(series: Labelled, rows: Sequence[int], profile: Profile) -> float:
    total = 0.0
    for window in series.windows:
        first = next((row for row in rows if _within(row, window)), None)
        total += -profile.missed if first is None else profile.found * _worth(window, first)
    return total + sum(profile.false_alarm * _blame(series, row) for row in rows if _window_of(series, row) is None)


def _worth(window: tuple[int, int], row: int) -> float:
    """Return what a detection in the window is worth: 1 at its beginning, 0 at its end."""
    begin, end = window
    return _sigmoid(-(end - row + 1) / (end - begin + 1)) / _EARLIEST


def _blame(series: Labelled, row: int) -> float:
    """Return how wrong a detection outside is: -1, and less shortly after a window."""
    before = [window for window in series.windows if window[1] < row]
    if not before:
        return -1.0
    begin, end = before[-1]
    return _sigmoid((row - end) / max(1, end - begin))


def _sigmoid(position: float) -> float:
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def _after_probation(series: Labelled, rows: Iterable[int]) -> list[int]:
    return sorted(row for row in rows if row >= series.probation)


def _window_of(series: Labelled, row: int) -> tuple[int, int] | None:
    return next((window for window in series.windows if _within(row, window)), None)


def _within(row: int, window: tuple[int, int]) -> bool:
    return window[0] <= row <= window[1]


def _series(file: Path, labels: Sequence[tuple[str, str]]) -> Labelled:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]
    times = [time for time, _ in rows]
    windows = [
        (_first(times, _seconds(begin)), _last(times, _seconds(end))) for begin, end in sorted(map(tuple, labels))
    ]
    return Labelled(
        name=f"{file.parent.name}/{file.stem}", times=times, values=[value for _, value in rows], windows=windows
    )


def _first(times: Sequence[int], at: int) -> int:
    return next(row for row, time in enumerate(times) if time >= at)


def _last(times: Sequence[int], at: int) -> int:
    return max(row for row, time in enumerate(times) if time <= at)


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
