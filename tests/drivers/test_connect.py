"""The table of drivers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perfloop.drivers import DRIVERS, connect
from perfloop.errors import ActionRefused, Unavailable
from perfloop.model import Component


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_connects_at_the_first_call_and_not_before(name: str):
    driver = connect(Component(name="nobody", driver=name, address="127.0.0.1:1"))

    with pytest.raises(Unavailable, match="nobody: "):
        driver.get("maxmemory")


def test_an_unknown_driver_is_refused_with_the_known_ones():
    with pytest.raises(ActionRefused, match="no driver 'oracle', only pgbouncer, postgresql, redis"):
        connect(Component(name="db", driver="oracle", address="127.0.0.1:1"))


def test_the_tables_import_no_library_of_a_driver():
    program = "import sys, perfloop.executors, perfloop.drivers; print({'psycopg2', 'redis'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
