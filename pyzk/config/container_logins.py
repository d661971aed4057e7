"""The login file that the variables of Bitnami's image ask for, and the keys that go with it.

Pure. Clients and members log in with passwords (DIGEST-MD5). The text is never written to a disk.
Where this differs from Bitnami's image, on purpose: quotation marks and backslashes in a password
are kept; and no ACL is set on the first znodes at the first start, as nobody but these users can
have a session.
ZooKeeper: zookeeper_create_jaas_file of libzookeeper.sh of the image `bitnami/zookeeper`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pyzk.config.settings import Property
from pyzk.errors import ConfigError

SEPARATORS: Final = re.compile(r"[;,\s]+")
"""What may stand between the parts of a list."""

_SASL: Final = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
_LOGIN_MODULE: Final = "org.apache.zookeeper.server.auth.DigestLoginModule"
_USER: Final = re.compile(r"[A-Za-z0-9_$*.\-]+")
_CLIENTS: Final = "ZOO_ENABLE_AUTH"
_MEMBERS: Final = "ZOO_ENABLE_QUORUM_AUTH"


def login_file(values: Mapping[str, str]) -> tuple[str, tuple[Property, ...]]:
    """Return the text of the login file, "" if nobody has to log in, and the keys of zoo.cfg.
    Raises ConfigError with the name of a variable."""
    sections = []
    keys = []
    if is_yes(values.get(_CLIENTS, "")):
        keys.append(Property("authProvider.1", _SASL, _CLIENTS))
        keys.append(Property("sessionRequireClientSASLAuth", "true", _CLIENTS))
        users = _users(values, "ZOO_SERVER_USERS", "ZOO_SERVER_PASSWORDS", _CLIENTS)
        sections.append(_section("Server", users))
    if is_yes(values.get(_MEMBERS, "")):
        names = ("enableSasl", "learnerRequireSasl", "serverRequireSasl")
        keys += [Property(f"quorum.auth.{name}", "true", _MEMBERS) for name in names]
        learner = {
            "username": _needed(values, "ZOO_QUORUM_LEARNER_USER", _MEMBERS),
            "password": _needed(values, "ZOO_QUORUM_LEARNER_PASSWORD", _MEMBERS),
        }
        _check_secret(learner["password"], "ZOO_QUORUM_LEARNER_PASSWORD")
        users = _users(values, "ZOO_QUORUM_SERVER_USERS", "ZOO_QUORUM_SERVER_PASSWORDS", _MEMBERS)
        sections += [_section("QuorumLearner", learner), _section("QuorumServer", users)]
    return "".join(sections), tuple(keys)


def is_yes(value: str) -> bool:
    """Return whether Bitnami's image takes a value for a yes."""
    return value.strip().lower() in ("yes", "true", "1")


def _needed(values: Mapping[str, str], name: str, switch: str) -> str:
    value = values.get(name)
    if value is None:
        raise ConfigError(f"is not set; {switch} needs it", key=name)
    return value


def _users(values: Mapping[str, str], names: str, passwords: str, switch: str) -> dict[str, str]:
    """Return the options of a login module that say which users there are."""
    users = [each for each in SEPARATORS.split(_needed(values, names, switch)) if each]
    secrets = [each for each in SEPARATORS.split(_needed(values, passwords, switch)) if each]
    if len(users) != len(secrets):
        raise ConfigError(
            f"has {len(secrets)}, and {names} has {len(users)}; each user needs one password, and"
            " none may have a blank, a comma or a semicolon in it",
            key=passwords,
        )
    for user, secret in zip(users, secrets, strict=True):
        if not _USER.fullmatch(user):
            raise ConfigError(
                f"{user!r} is no user name of a login file: letters, digits and . _ $ - * only",
                key=names,
            )
        _check_secret(secret, passwords)
    return {f"user_{user}": secret for user, secret in zip(users, secrets, strict=True)}


def _check_secret(text: str, name: str) -> None:
    if not text.isprintable():
        raise ConfigError("a password has a line break or another control character", key=name)
    if "${" in text:
        raise ConfigError("a password has ${ in it, which begins a property there", key=name)


def _section(name: str, options: Mapping[str, str]) -> str:
    lines = "".join(f"\n    {key}={_quoted(value)}" for key, value in options.items())
    return f"{name} {{\n    {_LOGIN_MODULE} required{lines};\n}};\n"


def _quoted(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
