"""The files beside zoo.cfg that hold the configurations of an ensemble: their names and texts.

Pure. A member writes a configuration to ``zoo.cfg.dynamic.next`` when it is proposed; when it is in
force, to ``zoo.cfg.dynamic.<version>``, which zoo.cfg then names. Names and texts of the dynamic
files are the original's, so that either program reads what the other has written.

Where this differs from ZooKeeper, on purpose: zoo.cfg keeps its comments and the order and spelling
of its lines, and ``clientPortListenBacklog``, which the original takes away with ``clientPort``;
and it gets ``clientPort`` back where a new configuration no longer says it, as the server goes on
to take clients there. The original takes none when it starts again.
A ``.dynamic.next`` without a version, or with anything that is not understood, ends the start; the
original takes an unknown key for an ensemble without servers, and looks for a leader for ever.

ZooKeeper: QuorumPeerConfig.writeDynamicConfig, editStaticConfig, backupOldConfig
"""

from __future__ import annotations

import re
from typing import Final

from pyzk.config.keys import MEMBER_PREFIXES
from pyzk.config.members import WILDCARD, MemberLines, Membership
from pyzk.config.properties import escaped, parse_properties, without_keys
from pyzk.config.settings import of_entry
from pyzk.errors import ConfigError
from pyzk.int64 import hex_digits, signed

_DYNAMIC: Final = re.compile(r"(.*)\.dynamic\.([0-9a-f]{1,16})")
_POINTERS: Final = ("dynamicConfigFile", "peerType")
_CLIENT_ADDRESS: Final = ("clientPort", "clientPortAddress")


def backup_name(name: str) -> str:
    """Return the name of the copy of zoo.cfg as it was before pyzk wrote it."""
    return f"{name}.bak"


def next_name(name: str) -> str:
    """Return the name of the file of the configuration that was proposed last."""
    return f"{name}.dynamic.next"


def dynamic_name(name: str, version: int) -> str:
    """Return the name of the file of the configuration that is in force."""
    return f"{name}.dynamic.{hex_digits(version)}"


def dynamic_version(name: str, dynamic: str) -> int | None:
    """Return the version of the file ``dynamic`` of zoo.cfg ``name``; None if it is another
    file."""
    match = _DYNAMIC.fullmatch(dynamic)
    return signed(int(match[2], 16)) if match is not None and match[1] == name else None


def dynamic_text(membership: Membership) -> bytes:
    """Return the content of the file of a configuration that is in force."""
    return "\n".join(sorted(membership.lines())).encode()


def next_text(membership: Membership) -> bytes:
    """Return the content of the file of a configuration that is proposed: its version is in it."""
    lines = [*membership.lines(), f"version={hex_digits(membership.version)}"]
    return "\n".join(sorted(lines)).encode()


def parse_next(content: bytes, path: str) -> Membership:
    """Parse the file of the configuration that was proposed last; ``path`` is its name in messages.

    Raises ConfigError for a file that no server writes.
    """
    collector = MemberLines()
    try:
        for entry in parse_properties(content):
            collector.add(entry)
        if collector.version_entry is None:
            raise ConfigError("has no line with the version; it is broken")
        membership = collector.membership()
        if not membership.voters:
            raise ConfigError("has no participants; it is broken")
    except ConfigError as error:
        raise ConfigError(
            f"{error.message} (in {path}, the configuration that was proposed last; restore the"
            " file, or remove it if the other members have theirs: the leader tells what it was)",
            error.line,
            error.key,
        ) from None
    return membership


def parse_dynamic(content: bytes) -> Membership:
    """Parse the file of a configuration that is in force; the version of what is returned is 0, for
    the name of the file has it. Raises ConfigError."""
    collector = MemberLines()
    for entry in parse_properties(content):
        collector.add(entry)
    if collector.version_entry is not None:
        raise of_entry(collector.version_entry).wrong(
            "the name of the file ends with the version, so the file must not have it;"
            " remove the line"
        )
    return collector.membership()


def has_member_lines(static: bytes) -> bool:
    """Return whether zoo.cfg itself says who the members are. Raises ConfigError."""
    return any(entry.key.startswith(MEMBER_PREFIXES) for entry in parse_properties(static))


def naming(
    static: bytes,
    dynamic_path: str,
    has_client_address: bool,
    client_address: tuple[str, int] | None = None,
) -> bytes:
    """Return zoo.cfg without what the dynamic file says, and naming that file.

    ``has_client_address`` tells whether the dynamic file says where this server takes clients. If
    neither it nor zoo.cfg does, zoo.cfg is given ``client_address``: an earlier dynamic file had
    it, and without it the server could not start again. Raises ConfigError.
    """

    def is_removed(key: str) -> bool:
        if key.startswith(MEMBER_PREFIXES) or key in _POINTERS:
            return True
        return has_client_address and key in _CLIENT_ADDRESS

    kept = without_keys(static, is_removed)
    if kept and not kept.endswith((b"\n", b"\r")):
        kept += b"\n"
    if kept.rstrip(b"\r\n").endswith(b"\\"):
        kept += b"\n"  # or what follows would continue that line
    lines = [f"dynamicConfigFile={escaped(dynamic_path)}"]
    is_said = has_client_address or any(
        entry.key == "clientPort" for entry in parse_properties(static)
    )
    if not is_said and client_address is not None:
        host, port = client_address
        lines.append(f"clientPort={port}")
        if host != WILDCARD:
            lines.append(f"clientPortAddress={escaped(host)}")
    return kept + "".join(f"{line}\n" for line in lines).encode("ascii")
