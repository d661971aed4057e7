"""Generated files are what their generators write, and copies of one list agree."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from pyzk.quorum import learner, learner_handler
from scripts import (
    changelog,
    gen_admin_table,
    gen_config_table,
    gen_dashboard,
    gen_jute,
    gen_metrics_table,
    gen_packing,
    gen_word_table,
    gen_zab,
)

ROOT = Path(__file__).parents[2]


def test_the_records_are_what_their_schema_says() -> None:
    assert gen_jute.TARGET.read_text() == gen_jute.generate(), "run `make generate`"


def test_the_rows_of_numbers_are_those_of_the_records_and_of_their_table() -> None:
    assert gen_packing.TARGET.read_text() == gen_packing.generate(), "run `make generate`"


def test_the_table_of_keys_is_what_the_parser_works_from() -> None:
    text = gen_config_table.TARGET.read_text()
    assert gen_config_table.generate(text) == text, "run `make generate`"


def test_the_tables_of_metrics_are_what_a_server_tells() -> None:
    text = gen_metrics_table.TARGET.read_text()
    assert gen_metrics_table.generate(text) == text, "run `make generate`"


def test_the_dashboard_is_made_of_its_panels() -> None:
    assert gen_dashboard.TARGET.read_text() == gen_dashboard.generate(), "run `make generate`"


def test_the_table_of_words_is_the_list_of_words() -> None:
    text = gen_word_table.TARGET.read_text()
    assert gen_word_table.generate(text) == text, "run `make generate`"


def test_the_table_of_admin_commands_is_the_list_of_commands() -> None:
    text = gen_admin_table.TARGET.read_text()
    assert gen_admin_table.generate(text) == text, "run `make generate`"


@pytest.mark.source
def test_the_tables_of_zab_are_those_that_the_core_works_by() -> None:
    text = gen_zab.TARGET.read_text()
    assert gen_zab.generate(text) == text, "run `make generate`"


@pytest.mark.source
def test_every_phase_is_explained_and_can_be_reached() -> None:
    for machine in gen_zab.machines():
        reached = {step.next_phase for step in machine.steps} | {machine.first}
        assert reached == set(gen_zab.phases(machine.module)) - {"OVER"}, machine.title


@pytest.mark.source
@pytest.mark.parametrize("module", [learner, learner_handler], ids=lambda module: module.__name__)
def test_every_phase_has_a_name_for_messages(module: ModuleType) -> None:
    numbers = [getattr(module, name) for name in gen_zab.phases(module)]
    assert numbers == list(range(len(module.PHASE_NAMES)))


def test_the_fallback_of_the_makefile_names_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    makefile = (ROOT / "Makefile").read_text()
    [needed] = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEPENDENCIES"
    ]
    for requirement in [*needed, *project["optional-dependencies"]["test"]]:
        if not requirement.startswith("uvloop"):
            assert f"'{requirement}'" in makefile


def test_ci_is_a_bash_script_that_parses() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_fragments_have_a_known_kind() -> None:
    changelog.fragments(ROOT / "changelog.d")


def test_a_release_joins_the_fragments(tmp_path: Path) -> None:
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "README.md").write_text("stays")
    (tmp_path / "changelog.d" / "b.fixed.md").write_text("Two\nlines.\n")
    (tmp_path / "changelog.d" / "a.added.md").write_text("One.\n")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog.MARKER}\n## 0.1.0\n")
    assert changelog.release(tmp_path, "0.2.0", "2026-01-31") == 2
    assert (tmp_path / "CHANGELOG.md").read_text() == (
        f"# Changelog\n\n{changelog.MARKER}\n## 0.2.0 (2026-01-31)\n\n### Added\n\n- One.\n\n"
        "### Fixed\n\n- Two lines.\n\n## 0.1.0\n"
    )
    assert [path.name for path in (tmp_path / "changelog.d").iterdir()] == ["README.md"]
    assert changelog.release(tmp_path, "0.3.0", "2026-02-28") == 0
    (tmp_path / "changelog.d" / "x.md").write_text("")
    with pytest.raises(ValueError, match="kind is one of"):
        changelog.release(tmp_path, "0.3.0", "2026-02-28")
