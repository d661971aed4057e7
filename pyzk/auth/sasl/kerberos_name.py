"""Kerberos names, ``primary/instance@REALM``, and the rules that make short names of them.

Pure. Answers to KerberosName, which is Hadoop's, with the rules of ``security.auth_to_local``:

    DEFAULT                                the primary, if the realm is the default one
    RULE:[n:format](match)s/from/to/g      for n components: ``$1``, ``$2`` and the realm ``$0`` are
                                           put into the format; if the whole matches, it is changed

The first rule that yields a name counts; the name may have no / and no @. Expressions are written
as for Java. Also read is the /L of newer Hadoop, which makes small letters.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pyzk.errors import ConfigError

_NAME: Final = re.compile(r"([^/@]*)(?:/([^/@]*))?@([^/@]*)", re.DOTALL)
_RULE: Final = re.compile(
    r"\s*(?:(DEFAULT)|RULE:\[(\d*):([^\]]*)\](?:\(([^)]*)\))?(?:s/([^/]*)/([^/]*)/(g)?)?(/L)?)\s*"
)
_PARAMETER: Final = re.compile(r"\$(\d*)")
_PIECE: Final = re.compile(r"\\(.)|\$(\d)", re.DOTALL)
_COMPLEX: Final = re.compile(r"[/@]")
RULES_KEY: Final = "security.auth_to_local"


class KerberosName(NamedTuple):
    """A name in its parts; one without realm may be any text."""

    primary: str
    instance: str | None = None
    realm: str | None = None

    @classmethod
    def parse(cls, text: str) -> KerberosName | None:
        """Return the parts, None if the text has an @ and is no name."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None if "@" in text else cls(text)
        return cls(*match.groups())


class _Rule(NamedTuple):
    text: str
    components: int
    format: str
    match: re.Pattern[str] | None
    source: re.Pattern[str] | None
    target: str
    is_global: bool
    is_lower: bool


class NameRules:
    """The rules of one server."""

    def __init__(self, text: str = "DEFAULT", default_realm: str = "") -> None:
        """Read the rules. Raises ConfigError."""
        self._default_realm = default_realm
        self._rules: list[_Rule | None] = []
        at = 0
        while at < len(text.rstrip()):
            match = _RULE.match(text, at)
            if match is None:
                raise ConfigError(
                    f"{text[at:]!r} is neither DEFAULT nor RULE:[n:format](match)s/from/to/g",
                    key=RULES_KEY,
                )
            self._rules.append(None if match.group(1) else _rule(match))
            at = match.end()

    def short_name(self, name: KerberosName) -> str | None:
        """Return the short name, None if no rule yields one."""
        if name.realm is None:
            return name.primary
        parts = [name.realm, name.primary]
        if name.instance is not None:
            parts.append(name.instance)
        for rule in self._rules:
            found = self._apply(rule, parts)
            if found is not None:
                return None if _COMPLEX.search(found) else found
        return None

    def _apply(self, rule: _Rule | None, parts: list[str]) -> str | None:
        """Return what a rule makes of a name, None if it does not apply."""
        if rule is None:
            return parts[1] if parts[0] == self._default_realm else None
        if len(parts) - 1 != rule.components:
            return None
        base = _PARAMETER.sub(lambda match: parts[int(match.group(1))], rule.format)
        if rule.match is not None and not rule.match.fullmatch(base):
            return None
        if rule.source is not None:
            base = rule.source.sub(
                lambda match: _replacement(match, rule.target), base, 0 if rule.is_global else 1
            )
        return base.lower() if rule.is_lower else base


def _rule(match: re.Match[str]) -> _Rule:
    """Return the rule that was read. Raises ConfigError."""
    text = match.group().strip()
    _, count, form, wanted, source, target, is_global, is_lower = match.groups()
    numbers = _PARAMETER.findall(form)
    if not count or any(not number or int(number) > int(count) for number in numbers):
        raise ConfigError(
            f"{text}: the format takes $0 for the realm, and $1 to ${count or 'n'} for the"
            f" {count or 'n'} components",
            key=RULES_KEY,
        )
    try:
        patterns = [None if each is None else re.compile(each) for each in (wanted, source)]
    except re.error as error:
        raise ConfigError(f"{text}: {error}", key=RULES_KEY) from None
    pattern = patterns[1]
    groups = 0 if pattern is None else pattern.groups
    if any(int(each) > groups for _, each in _PIECE.findall(target or "") if each):
        raise ConfigError(f"{text}: {target!r} names a group that is not there", key=RULES_KEY)
    return _Rule(
        text, int(count), form, patterns[0], pattern, target or "", bool(is_global), bool(is_lower)
    )


def _replacement(match: re.Match[str], target: str) -> str:
    """Return a replacement in which ``$1`` is a group and a backslash stands before any
    character."""

    def piece(found: re.Match[str]) -> str:
        literal, group = found.groups()
        return literal if literal is not None else match.group(int(group)) or ""

    return _PIECE.sub(piece, target)
