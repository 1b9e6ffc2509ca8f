"""The table of PostgreSQL settings, against a real server: each in its words, none that waits for a restart."""

from __future__ import annotations

import pytest

from perfloop.drivers.postgresql import Postgresql
from perfloop.executors.database import Database
from perfloop.executors.parameter import Quantity, Words
from perfloop.model import Component
from perfloop.stack.process import Child

PARAMETERS = Database.parameters["postgresql"]


@pytest.fixture(scope="module")
def driver(postgresql: Child) -> Postgresql:
    return Postgresql(Component(name="db", driver="postgresql", address=postgresql.address, user="postgres"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_reload_is_enough_and_values_read_as_they_are_written(driver: Postgresql, name: str):
    parameter = PARAMETERS[name]

    present = driver.get(parameter.key).value

    assert driver.obstacle(parameter.key) is None
    if isinstance(parameter.values, Quantity):
        assert parameter.values.write(parameter.values.read(present)) == present
    else:
        assert isinstance(parameter.values, Words)
        assert present in parameter.values.spellings.values()
