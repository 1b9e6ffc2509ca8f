"""How often the intervals of docs/analysis.md hold: the lines of the rules, worked out in numpy over simulated series.

`.venv/bin/python -m tests.rules.coverage [SERIES]` prints the figures of that page.
"""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np
from msgspec import Struct

BLOCK_HOURS, BLOCKS_A_DAY, WEEK = 6, 4, 28
MAXIMA_DAYS = 13


class Line(Struct, frozen=True, kw_only=True):
    """Least squares over values a block apart; times are in blocks, the newest is `count` - 1."""

    slope: float
    level: float
    residual_variance: float
    effective_count: float
    count: int

    @property
    def variance_of_time(self) -> float:
        return (self.count**2 - 1) / 12

    def at(self, block: float) -> float:
        return self.level + self.slope * block

    def error_a_day_ahead(self, effective: float) -> float:
        """Return half the width of the 95 % interval of one block."""
        distance = BLOCKS_A_DAY + 0.5 + (self.count + 1) / 2
        spread = self.residual_variance * (1 + (1 + distance**2 / self.variance_of_time) / effective)
        return float(student(effective - 2) * np.sqrt(spread))


class Share(Struct, frozen=True, kw_only=True):
    """How many of the series that fill were within the band, and how far off the time was (median, nine of ten)."""

    series: int
    held: float
    factor: float
    factor_of_nine_in_ten: float


def student(freedom: float) -> float:
    """Return Student's quantile of 97.5 % as the rules do."""
    return 1.96 + (2.37 + (2.82 + 2.56 / freedom) / freedom) / freedom


def autoregressive(rng: np.random.Generator, *, rho: float, count: int) -> Any:
    """Return noise of variance 1, each value correlated with the next by `rho`."""
    noise = rng.normal(size=count) * np.sqrt(1 - rho**2)
    values = np.zeros(count)
    values[0] = rng.normal()
    for i in range(1, count):
        values[i] = rho * values[i - 1] + noise[i]
    return values


def fitted(values: Any, *, steps: Any = None, count: float | None = None) -> Line:
    """Work out the line by the residuals themselves; by the steps how many of `count` values are independent."""
    number = len(values)
    times = np.arange(number)
    slope, level = np.polyfit(times, values, 1)
    residuals = values - level - slope * times
    variance = float(residuals @ residuals) / (number - 2)
    correlation = min(max(1 - float(np.var(np.diff(values) if steps is None else steps)) / (2 * variance), 0), 0.99)
    effective = max((count or number) * (1 - correlation) / (1 + correlation), 4)
    return Line(
        slope=float(slope), level=float(level), residual_variance=variance, effective_count=effective, count=number
    )


def prediction(rng: np.random.Generator, *, rho: float, wave: float = 0, series: int) -> tuple[float, float]:
    """Return how often the interval of a day ahead held, and how often it would have without n_eff."""
    now = WEEK * BLOCK_HOURS
    hours = np.arange(now + 24 + BLOCK_HOURS)
    held = np.zeros(2)
    for _ in range(series):
        values = autoregressive(rng, rho=rho, count=len(hours)) + wave * np.sin(2 * np.pi * hours / 24)
        line = fitted(values[:now].reshape(-1, BLOCK_HOURS).mean(axis=1))
        # A block is recorded at its end.
        truth = values[now + 24 - BLOCK_HOURS // 2 : now + 24 + BLOCK_HOURS // 2].mean()
        missed = abs(truth - line.at(WEEK - 1 + BLOCKS_A_DAY + 0.5))
        held += [missed <= line.error_a_day_ahead(effective) for effective in (line.effective_count, line.count)]
    return float(held[0] / series), float(held[1] / series)


def until_full(rng: np.random.Generator, *, rho: float = 0.9, series: int) -> Share:
    """Let percentages grow in a straight line under waves and noise, and compare the time until 100 with the truth."""
    factors, held = [], 0
    for _ in range(series):
        past = MAXIMA_DAYS * 24
        hours = np.arange(-past, 60 * 24)
        growth, level, wave, noise = (rng.uniform(*each) for each in ((0.5, 6), (20, 60), (0, 4), (0.1, 1)))
        values = level + growth / 24 * (hours + past) + wave * np.sin(2 * np.pi * hours / 24 + rng.uniform(0, 6.28))
        values += noise * autoregressive(rng, rho=rho, count=len(hours))
        truth = int(np.argmax(values >= 100)) - past
        if truth <= 0:
            continue
        blocks = values[:past].reshape(-1, BLOCK_HOURS).max(axis=1)
        maxima = np.array([blocks[i - 3 : i + 1].max() for i in range(3, len(blocks))])
        # What varies from day to day says how many of them are independent.
        line = fitted(maxima, steps=maxima[BLOCKS_A_DAY:] - maxima[:-BLOCKS_A_DAY], count=len(maxima) / BLOCKS_A_DAY)
        independent = line.effective_count
        distance = student(independent - 2) * np.sqrt(line.residual_variance)
        error = distance / np.sqrt(independent * line.variance_of_time)
        room = max(100 - line.at(line.count - 1), 0)
        expected = max(BLOCK_HOURS * room / line.slope, 1)
        earliest = BLOCK_HOURS * max(room - distance, 0) / (line.slope + error)
        latest = BLOCK_HOURS * (room + distance) / (line.slope - error) if line.slope > error else np.inf
        held += earliest <= truth <= latest
        factors.append(max(expected / truth, truth / expected))
    return Share(
        series=len(factors),
        held=held / len(factors),
        factor=float(np.median(factors)),
        factor_of_nine_in_ten=float(np.quantile(factors, 0.9)),
    )


def main() -> None:
    """Print all figures."""
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    rng = np.random.default_rng(7)
    for rho, wave in ((0, 0), (0.5, 0), (0.8, 0), (0.95, 0), (0.5, 3)):
        held, without = prediction(rng, rho=rho, wave=wave, series=series)
        click.echo(f"prediction, r {rho}, daily wave {wave}: the interval held {held:.1%}, without n_eff {without:.1%}")
    for rho in (0.9, 0.99):
        full = until_full(rng, rho=rho, series=series)
        click.echo(
            f"until full, r {rho}, {full.series} series: within a factor of {full.factor:.2f} (median) and"
            f" {full.factor_of_nine_in_ten:.2f} (nine in ten), the band held {full.held:.1%}"
        )


if __name__ == "__main__":
    main()
