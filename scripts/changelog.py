"""Join the fragments of changelog.d/ into CHANGELOG.md at a release.

Shell. `python -m scripts.changelog 0.2.0 [2026-01-31]`; a fragment is `<slug>.<kind>.md`.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
KINDS: Final = ("added", "changed", "fixed", "removed", "security")
MARKER: Final = "<!-- releases -->\n"


def fragments(directory: Path) -> dict[str, list[Path]]:
    """Return the fragments by kind, in the order of KINDS; raises ValueError for a strange name."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(directory.glob("*.md")):
        if path.name == "README.md":
            continue
        kind = path.stem.rpartition(".")[2]
        if kind not in found:
            raise ValueError(f"{path.name}: the kind is one of {', '.join(KINDS)}")
        found[kind].append(path)
    return found


def section(version: str, date: str, found: dict[str, list[Path]]) -> str:
    lines = [f"## {version} ({date})"]
    for kind, paths in found.items():
        if paths:
            lines += ["", f"### {kind.capitalize()}", ""]
            lines += ["- " + " ".join(path.read_text().split()) for path in paths]
    return "\n".join(lines) + "\n"


def release(root: Path, version: str, date: str) -> int:
    """Write the section, remove the fragments; return how many there were."""
    found = fragments(root / "changelog.d")
    paths = [path for group in found.values() for path in group]
    if not paths:
        return 0
    changelog = root / "CHANGELOG.md"
    head, marker, tail = changelog.read_text().partition(MARKER)
    assert marker, f"{changelog} has lost its marker {MARKER!r}"
    changelog.write_text(f"{head}{marker}\n{section(version, date, found)}{tail}")
    for path in paths:
        path.unlink()
    return len(paths)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python -m scripts.changelog VERSION [DATE]\n")
        return 2
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    try:
        count = release(ROOT, sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else today)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"{count} fragments joined into CHANGELOG.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
