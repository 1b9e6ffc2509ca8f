"""Logs are one line each, whatever a label holds."""

from __future__ import annotations

import logging

import pytest

from perfloop.logs import Logfmt


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param("orders-pool", "orders-pool", id="a word"),
        pytest.param("two words", '"two words"', id="a space"),
        pytest.param('say "hi"', '"say \\"hi\\""', id="quotes"),
        pytest.param("", '""', id="nothing"),
        pytest.param("a\nlevel=error msg=forged", '"a\\nlevel=error msg=forged"', id="a forged line"),
        pytest.param("\x1b[2J\x85\u2028\x00", '"\\u001b[2J\\u0085\\u2028\\u0000"', id="control characters"),
    ],
)
def test_a_label_cannot_forge_a_line_or_reach_the_terminal(value: str, written: str) -> None:
    record = logging.makeLogRecord({"name": "perfloop.test", "levelname": "INFO", "msg": "decided", "component": value})

    line = Logfmt().format(record)

    assert line.endswith(f"msg=decided component={written}")
    assert line.isprintable()
