"""docs/containers.md says of each variable whose it is and what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyzk.config.container import BITNAMI_DEFAULTS, OFFICIAL_DEFAULTS
from pyzk.config.container_variables import ANY_KEY, BY_NAME, VARIABLES, Form

PAGE = (Path(__file__).parents[2] / "docs" / "containers.md").read_text()
ROWS = {
    name: (image, becomes)
    for name, image, becomes in re.findall(
        r"^\| `([A-Z0-9_]+)`(?: and a key)? \| ([\w']+) \| (.*) \|$", PAGE, re.MULTILINE
    )
}


def test_every_variable_has_a_row_and_no_other() -> None:
    assert set(ROWS) == {*BY_NAME, ANY_KEY}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_says_what_the_code_does(name: str) -> None:
    variable = BY_NAME[name]
    image, becomes = ROWS[name]
    assert image == variable.image.value
    if variable.key:
        assert f"`{variable.key}`" in becomes
    if variable.form is Form.YES_NO:
        assert "yes or no" in becomes
    assert becomes.startswith("nothing") == (variable.form is Form.NOTHING)


def test_the_order_is_that_of_the_table() -> None:
    assert len(VARIABLES) + 1 == len(re.findall(r"^\| `[A-Z0-9_]+`", PAGE, re.MULTILINE))


@pytest.mark.parametrize("key", sorted({*OFFICIAL_DEFAULTS, *BITNAMI_DEFAULTS}))
def test_every_default_is_named(key: str) -> None:
    defaults = PAGE.split("**Defaults**")[1].split("###")[0]
    if key.startswith("admin."):
        assert (
            "| admin server | on every address, port 8080 | off; if on, on 127.0.0.1 |" in defaults
        )
        return
    row = next(line for line in defaults.splitlines() if f"`{key}`" in line)
    for values in (OFFICIAL_DEFAULTS, BITNAMI_DEFAULTS):
        if values.get(key):
            assert values[key] in row
