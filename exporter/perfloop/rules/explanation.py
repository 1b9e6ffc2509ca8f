"""Why a compiled expression looks as it does: a sentence for each of its guards."""

from __future__ import annotations

import re

from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

# What stands in an expression, and why.
_GUARDS = (
    (
        r"count_over_time\([^()]*\)\s*>=?\s*[\d.]+",
        "A series whose past has too few samples has no past to be compared with: without this, young series fire.",
    ),
    (
        r"quantile_over_time\(0\.5, [^()]*\) != 0",
        "A past that was mostly zero says nothing: the last event would be its mean, and the next one endlessly more.",
    ),
    (
        r"avg_over_time\([^()]*\) and [\w:]+\)",
        "Only what is still measured is judged, not what was measured until a moment ago.",
    ),
    (r">= -Inf", "NaN is no measurement: a single one would make every mean over a window NaN."),
    (
        r"/\s*\(abs\(.*?\)\s*>\s*0\)",
        "A past of zero knows no percent: divided by it, any change is infinite, and would fire.",
    ),
    (
        r"(?<!\))\s>\s0\)",
        "It divides only by what is above zero: an idle or empty one would give NaN or infinity; so it is absent.",
    ),
    (
        r"abs\([^()]*-[^()]*\)\s*<\s*[\d.e+-]+",
        "Computed values hardly ever equal a number exactly: a distance below a billionth of it counts as equal.",
    ),
    (
        r"abs\([^()]*-[^()]*\)\s*>=\s*[\d.e+-]+",
        "NaN differs from every number, and would fire; a distance from the number is none for NaN.",
    ),
    (
        r"\*\s*abs\(.*?\)\s*>\s*0",
        "What never moves has no deviation, and then every step is infinitely far: there is a least deviation.",
    ),
    (
        r"last_over_time\(",
        "What another group records is read as it was last recorded, as groups are not evaluated at one moment.",
    ),
    (
        r"\boffset\b",
        "It compares with a time that has ended before now, so that what happens now is not its own measure.",
    ),
    (
        r"\b(?:rate|increase|irate)\(",
        "Counters are compared by their growth, which outlives their resets.",
    ),
    (r"\babsent(?:_over_time)?\(", "It fires because something is not there; nothing else notices that."),
    (r"\bunless (?!perfloop:\w+\{)", "What the part after `unless` finds does not fire."),
    (
        r"\band\s+(?:on\s*\(|ignoring\s*\()",
        "It fires only where the part after `and` holds as well.",
    ),
    (
        r"\bunless perfloop:\w+\{",
        "Some series have a value of their own: each series is compared with one value only, that of the first"
        " override that matches.",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in _GUARDS)


def guards(expr: str) -> tuple[str, ...]:
    """Return why the parts of an expression are there, in words."""
    return tuple(words for pattern, words in _COMPILED if pattern.search(expr))


def timing(rule: Rule) -> tuple[str, ...]:
    """Return why an alert waits and stays, in words."""
    waits = (
        f"It fires when its condition has held for {duration(rule.for_seconds)}: what ends before is no alert."
        if rule.for_seconds
        else "It fires at the first evaluation that finds its condition."
    )
    if not rule.keep_firing_for_seconds:
        return (waits,)
    stays = duration(rule.keep_firing_for_seconds)
    return (waits, f"It stays for {stays} after its condition has ended: one that comes and goes is one notification.")
