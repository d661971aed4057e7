"""What the documents name exists: files, make targets, commands, configuration keys, links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pyzk.audit_log import LOGGER
from pyzk.cli import COMMANDS
from pyzk.config.keys import KEYS
from pyzk.config.kinds import Status
from pyzk.config.security_keys import PROVIDER_GROUP
from pyzk.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "conformance").rglob("*.md")]
)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_PATH = re.compile(r"(?<![\w/.-])((?:pyzk|tests|scripts|docs|conformance|changelog\.d)/[\w./-]+)")
_MODULE = re.compile(r"(?<![\w./])((?:pyzk|conformance|scripts)(?:\.[a-z_]+)+)\b")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")

_KEYS = {key.name for key in KEYS}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_of(path: Path) -> str:
    return "\n".join(_CODE.findall(path.read_text()))


UNIT_SUFFIXES = {each.suffix[1:] for each in (ROOT / "deploy" / "systemd").iterdir()} | {"conf"}
"""What ends the name of a file for systemd, in the repository or where it is installed."""


def exists(module: str) -> bool:
    """Whether a dotted name is a module, or something that its parent module mentions."""
    if module in (LOGGER, PROVIDER_GROUP) or module in _KEYS:
        return True  # a logger, a group of entry points, a key of zoo.cfg
    if module.partition(".")[2] in UNIT_SUFFIXES:
        return True
    path = ROOT / module.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    parent = path.parent
    for file in (parent.with_suffix(".py"), parent / "__init__.py"):
        if file.exists() and re.search(rf"\b{re.escape(path.name)}\b", file.read_text()):
            return True
    return False


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_files_named_in_code_exist(path: Path) -> None:
    missing = [
        name
        for name in _PATH.findall(code_of(path))
        if not (ROOT / name.rstrip("./")).exists() and "*" not in name
    ]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_modules_named_in_code_exist(path: Path) -> None:
    assert [name for name in _MODULE.findall(code_of(path)) if not exists(name)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_make_targets_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", code_of(path)))
    assert named - targets == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_commands_exist(path: Path) -> None:
    named = set(re.findall(r"^(?:\$ )?`?pyzk ([a-z]+)", code_of(path), re.MULTILINE))
    assert named - set(COMMANDS) - {"ready"} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(path: Path) -> None:
    links = [link for link in _LINK.findall(path.read_text()) if not link.startswith("http")]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_packages_are_named_and_no_link_leads_to_a_registry(path: Path) -> None:
    assert not re.search(
        r"//[\w.]*(pypi\.org|npmjs\.com|crates\.io|rubygems\.org)", path.read_text()
    )


def test_every_make_target_that_help_prints_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text()
    helped = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: ([a-z0-9-]+)$", makefile, re.MULTILINE))
    assert helped <= phony


def test_the_readme_shows_how_to_run_and_how_to_test_on_its_first_screen() -> None:
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert "make serve" in screen
    assert "make test" in screen


def test_the_readme_says_that_the_name_pyzk_is_taken() -> None:
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "README.md").read_text()
    assert names["name"] == "pyzk-server"
    assert "`pyzk-server`" in readme
    assert "Do not `pip install pyzk`" in readme


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    codes = [value for name, value in vars(ExitCode).items() if name.isupper()]
    assert len(codes) == 7
    for code in codes:
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE), code


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]


def test_a_key_that_is_documented_as_working_is_read_and_no_other() -> None:
    source = "\n".join(
        path.read_text() for path in (ROOT / "pyzk").rglob("*.py") if path.parent.name != "config"
    )
    # Some work inside the configuration itself.
    inside = (
        "standaloneEnabled",
        "jute.maxbuffer.extrasize",
        "audit.impl.class",
        "fips-mode",
        "metricsProvider.className",
    )
    keys = [key for key in KEYS if key.field and key.name not in inside]
    works = {key.name for key in keys if key.status in (Status.YES, Status.ENSEMBLE)}
    is_read = {key.name for key in keys if re.search(rf"config\.{key.field}\b", source)}
    assert works == is_read
