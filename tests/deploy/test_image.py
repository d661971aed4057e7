"""deploy/Dockerfile: what it copies is there and not ignored, what it runs are commands of pyzk."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from pyzk.cli import COMMANDS
from pyzk.config.container import BITNAMI_DEFAULTS, OFFICIAL_DEFAULTS, config_paths

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """The lines of the file as (instruction, rest), without comments, joined where they go on."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


LINES = instructions()
STAGES = [n for n, (name, _) in enumerate(LINES) if name == "FROM"]
BUILD, RUN = LINES[STAGES[0] : STAGES[1]], LINES[STAGES[1] :]


def values(name: str, lines: list[tuple[str, str]] = RUN) -> list[str]:
    return [rest for instruction, rest in lines if instruction == name]


def copied() -> list[str]:
    found: list[str] = []
    for rest in values("COPY", BUILD):
        found += rest.split()[:-1]
    return found


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_is_not_ignored(path: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines, "what is not named is ignored"
    assert f"!{path}" in lines


def test_nothing_else_is_sent_to_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == set(copied())


def test_everything_that_the_build_needs_is_copied() -> None:
    """setup.py reads the README, and the backend stands beside what it imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [folder] = project["build-system"]["backend-path"]
    backend = f"{folder}/{project['build-system']['build-backend']}.py"
    own = re.findall(r"^(?:import|from) (\w+)", (ROOT / backend).read_text(), re.MULTILINE)
    beside = [f"{folder}/{name}.py" for name in own if (ROOT / folder / f"{name}.py").exists()]
    needed = {backend, *beside, "README.md", "pyproject.toml", "setup.py", "pyzk"}
    assert needed <= set(copied())


def test_the_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(r"'\.\[([^]]+)\]'", " ".join(values("RUN", BUILD)))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_it_runs_commands_of_pyzk_without_a_shell() -> None:
    assert [json.loads(rest) for rest in values("ENTRYPOINT")] == [["pyzk"]]
    [command] = [json.loads(rest) for rest in values("CMD")]
    assert command == ["container"]
    [check] = values("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["pyzk", "container", "--health"]
    assert {command[0], "health"} <= set(COMMANDS)


def test_it_ends_by_the_signal_that_pyzk_takes_and_is_nobody_privileged() -> None:
    assert values("STOPSIGNAL") == ["SIGTERM"]
    assert values("USER") == ["1000:1000"]


def test_its_directories_are_those_of_the_code() -> None:
    [volumes] = [json.loads(rest) for rest in values("VOLUME")]
    assert volumes == [OFFICIAL_DEFAULTS["dataDir"], OFFICIAL_DEFAULTS["dataLogDir"]]
    [made] = re.findall(r"mkdir -p ([^&]+) &&", " ".join(values("RUN")))
    [given] = re.findall(r"chown 1000:1000 (.+)$", " ".join(values("RUN")))
    conf = str(Path(config_paths({})[0]).parent)
    bitnami = str(Path(BITNAMI_DEFAULTS["dataDir"]).parent)
    assert made.split() == given.split() == [*volumes, conf, bitnami]


def test_the_core_is_compiled() -> None:
    assert "PYZK_COMPILE=yes" in " ".join(values("RUN", BUILD))
