"""Write the table of configuration keys into docs/operations.md, between its two markers.

Shell. `python -m scripts.gen_config_table [--check]`; the rows are those of `pyzk/config/keys.py`
and `pyzk/config/security_keys.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from pyzk.config.ensemble import ensemble_defaults
from pyzk.config.keys import GROUPS
from pyzk.config.kinds import YES_NO, Key
from pyzk.config.server import DEFAULTS, WILDCARD
from scripts import generated

TARGET: Final = generated.DOCS / "operations.md"

MEMBER_DEFAULTS: Final = ensemble_defaults()
DERIVED: Final = {
    "dataDir": "",
    "dataLogDir": "dataDir",
    "clientPort": "",
    "clientPortAddress": WILDCARD,
    "secureClientPortAddress": WILDCARD,
    "minSessionTimeout": "2 ticks",
    "maxSessionTimeout": "20 ticks",
    "jute.maxbuffer.extrasize": "jute.maxbuffer",
    "maxWriteQueuePollTime": "flushDelay / 3",
}


def default(key: Key) -> str:
    if key.name in DERIVED:
        return DERIVED[key.name]
    if key.field is None and key.member is None:
        return key.default
    value = getattr(DEFAULTS, key.field) if key.field else MEMBER_DEFAULTS.get(key.name)
    if isinstance(value, bool):
        words = ("no", "yes") if key.kind is YES_NO else ("false", "true")
        return words[value]
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def where(key: Key) -> str:
    """Return how the key is given: in the file, with -D, or both."""
    if key.known:
        return "file"
    return f"`-D{key.name}`" if key.own else "file, -D"


def rows() -> Iterator[str]:
    for title, keys in GROUPS.items():
        yield f"\n### {title}\n"
        yield "| key | value | default | given by | in pyzk |"
        yield "| --- | --- | --- | --- | --- |"
        for key in keys:
            shown = f"`{default(key)}`" if default(key) else ""
            cells = (
                f"`{key.name}`",
                key.kind.accepted(key.unit),
                shown,
                where(key),
                key.status.value,
            )
            yield f"| {' | '.join(cells)} |"


def generate(text: str) -> str:
    """Return `text` with the part between the markers written anew."""
    return generated.replaced(text, "gen_config_table", "\n".join(rows()))


if __name__ == "__main__":
    sys.exit(generated.main(TARGET, generate))
