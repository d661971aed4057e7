"""What is distributed: the whole project as source, and a description for a package index."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tests.processes import python

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "changelog.d", "conformance", "deploy", "docs", "pyzk", "scripts", "tests")


def setup(*arguments: str) -> str:
    pytest.importorskip("setuptools")
    return python("setup.py", "-q", *arguments, cwd=ROOT).stdout


def test_the_source_distribution_is_the_whole_project(tmp_path: Path) -> None:
    setup(
        "egg_info",
        "--egg-base",
        str(tmp_path),
        "sdist",
        "--formats",
        "tar",
        "--dist-dir",
        str(tmp_path),
    )
    [archive] = tmp_path.glob("*.tar")
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - packed == set()
    assert {"Makefile", "README.md", "CONTRIBUTING.md", "LICENSE", "setup.py"} <= packed


def test_the_description_has_no_link_that_leads_nowhere() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "](docs/testing.md)" in readme
    assert "](#install)" in readme
    description = setup("--long-description")
    assert [link for link in re.findall(r"\]\(([^)]*)\)", description) if "://" not in link] == []
    assert "- docs/testing.md: a ZooKeeper in your tests" in description
    assert "see Install)" in description
