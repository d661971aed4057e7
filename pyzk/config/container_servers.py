"""The list of servers in an environment, in the form of either image, to lines of `zoo.cfg`.

Pure. The official image has lines, separated by blanks: `server.1=zk1:2888:3888;2181`. Bitnami's
has addresses, separated by blanks, commas or semicolons: `zk1:2888:3888`, whose ids are their
places in the list, or `zk1:2888:3888::1`.
ZooKeeper: docker-entrypoint.sh of the image `zookeeper`, libzookeeper.sh of `bitnami/zookeeper`
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pyzk.config.container_logins import SEPARATORS
from pyzk.errors import ConfigError

VARIABLE: Final = "ZOO_SERVERS"

_KEY: Final = re.compile(r"(?:server|group|weight)\.\d+")
_ADDRESS: Final = r"(?P<address>\S+?:\d+:\d+(?::(?:observer|participant))?)"
_WITHOUT_ID: Final = re.compile(_ADDRESS)
_WITH_ID: Final = re.compile(rf"{_ADDRESS}::(?P<id>\d+)")


def is_about_members(key: str) -> bool:
    """Return whether a key of zoo.cfg is that of a line about the members."""
    return _KEY.fullmatch(key) is not None


def server_lines(text: str, client_port: str) -> dict[str, str]:
    """Return the lines that a list of servers stands for. Bitnami's form has no client port: each
    server gets ``client_port``, and a lone one is no ensemble. Raises ConfigError."""
    words = text.split()
    if any(_KEY.match(word) for word in words):
        return _of_official(words)
    lines = _of_bitnami(text, client_port)
    return lines if len(lines) > 1 else {}


def _of_official(words: Iterable[str]) -> dict[str, str]:
    lines: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not is_about_members(key):
            raise _wrong(
                f"{shown(word)} is no server line; expected server.N=HOST:2888:3888;2181, separated"
                " by blanks"
            )
        if key in lines:
            raise _wrong(f"{key} is there twice")
        lines[key] = value
    return lines


def _of_bitnami(text: str, client_port: str) -> dict[str, str]:
    have_ids = "::" in text
    lines: dict[str, str] = {}
    words = [word for word in SEPARATORS.split(text) if word]
    for place, word in enumerate(words, start=1):
        match = (_WITH_ID if have_ids else _WITHOUT_ID).fullmatch(word)
        if match is None and have_ids and _WITHOUT_ID.fullmatch(word):
            raise _wrong(
                f"{shown(word)} is not understood beside addresses with ::N: the two forms must not"
                " be mixed; give HOST:2888:3888::N for every server, or HOST:2888:3888 for every"
                " server"
            )
        if match is None:
            raise _wrong(
                f"{shown(word)} is not understood; expected server.N=HOST:2888:3888;2181 for each"
                " server, or HOST:2888:3888 for each, or HOST:2888:3888::N for each"
            )
        key = f"server.{int(match['id']) if have_ids else place}"
        if key in lines:
            raise _wrong(f"{key} is there twice")
        lines[key] = f"{match['address']};{client_port}"
    return lines


def shown(word: str) -> str:
    """Return a word for a message: what stands behind a = may be a password."""
    key, mark, _ = word.partition("=")
    return f"{key}=…" if mark else word


def _wrong(message: str) -> ConfigError:
    return ConfigError(message, key=VARIABLE)
