"""The table of environment variables: each row, and variables that are in none."""

from __future__ import annotations

import pytest

from pyzk.config.container import (
    BITNAMI_DEFAULTS,
    OFFICIAL_DEFAULTS,
)
from pyzk.config.container_variables import BY_NAME, VARIABLES, Form
from pyzk.config.keys import KEYS
from pyzk.errors import ConfigError
from tests.config.environments import asked, config, values


def test_no_variable_has_two_rows() -> None:
    assert len(BY_NAME) == len(VARIABLES)


def test_every_key_is_one_of_zoo_cfg() -> None:
    names = {key.name for key in KEYS}
    assert {each.key for each in VARIABLES if each.key} <= names
    unknown = {*OFFICIAL_DEFAULTS, *BITNAMI_DEFAULTS} - names
    assert unknown == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_says_what_becomes_of_it(name: str) -> None:
    each = BY_NAME[name]
    if each.form is Form.NOTHING:
        assert each.remark
        assert not each.key
    elif each.form is Form.SPECIAL:
        assert not each.key
    else:
        assert each.key


@pytest.mark.parametrize(
    "name",
    [each.name for each in VARIABLES if each.key and not each.name.startswith("ZOO_TLS_")],
)
def test_a_variable_becomes_its_key(name: str) -> None:
    each = BY_NAME[name]
    value = "yes" if each.form is Form.YES_NO else "4321"
    made = asked({each.name: value})
    assert values(made)[each.key] == ("true" if each.form is Form.YES_NO else value)
    label = next(option.label for option in made.options if option.name == each.key)
    assert label == each.name


def test_a_wrong_value_is_said_of_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^ZOO_TICK_TIME: '2s' is not an integer"):
        config(asked(ZOO_TICK_TIME="2s"))


@pytest.mark.parametrize(
    ("value", "written"),
    [("yes", "true"), ("TRUE", "true"), ("1", "true"), ("no", "false"), ("on", "false")],
)
def test_a_yes_is_bitnamis(value: str, written: str) -> None:
    assert values(asked(ZOO_RECONFIG_ENABLED=value))["reconfigEnabled"] == written
