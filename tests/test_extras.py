"""What messages say about extras is so: they exist, and no message names a package of an index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pyzk.extras import the_extra

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"""\bthe_extra\(\s*["'](\w+)["']""")


def test_an_extra_is_named_with_the_command_that_installs_it() -> None:
    assert the_extra("tls") == "the extra tls (in a clone of pyzk: pip install '.[tls]')"
    assert the_extra("admin", "or x=false") == (
        "the extra admin (in a clone of pyzk: pip install '.[admin]'; or x=false)"
    )


def test_each_extra_that_is_named_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = [path.read_text() for path in (ROOT / "pyzk").rglob("*.py")]
    named = {name for source in sources for name in NAMED.findall(source)}
    assert named == {"admin", "kerberos", "testing", "tls"}
    assert named <= project["optional-dependencies"].keys()


def test_nothing_says_to_install_what_no_index_has() -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("changelog.d/*.md")]
    texts = {path: path.read_text() for path in (*documents, *(ROOT / "pyzk").rglob("*.py"))}
    assert [path for path, text in texts.items() if f"{name}[" in text] == []
