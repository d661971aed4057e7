"""May these identities do this, and what does an ACL become when it is stored?

Pure. Answers to ZooKeeperServer.checkACL, PrepRequestProcessor.fixupACL and AuthenticationHelper.
An id of scheme ``super`` on a connection passes every check. Permission bits are not validated: an
entry counts if it shares any wanted bit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pyzk.config.security_keys import PROVIDER_CLASSES
from pyzk.data.acl import OPEN_ACL
from pyzk.errors import ConfigError, InvalidAcl, MarshallingError, TooLargeTransaction
from pyzk.jute.records import ACL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyzk.auth.provider import AuthId
    from pyzk.auth.registry import ProviderRegistry
    from pyzk.config.server import ServerConfig

WORLD: Final = "world"
ANYONE: Final = "anyone"
AUTH: Final = "auth"
SUPER: Final = "super"
DIGEST: Final = "digest"

# From the first colon of a line to its end; the line ends are Java's.
_secret: Final = re.compile("[:][^\n\r\x85\u2028\u2029]*")


class Access:
    """Decides by the configuration and the schemes of one server."""

    __slots__ = ("_max_bytes", "_registry", "enforced_schemes", "skip_acl")

    def __init__(self, config: ServerConfig, registry: ProviderRegistry) -> None:
        self._registry = registry
        self._max_bytes = config.max_txn_bytes
        self.skip_acl = config.skip_acl
        """``skipACL=yes``: nothing is checked."""
        self.enforced_schemes = _enforced_schemes(config, registry)
        """A connection must have an id of one of these schemes before its first request; with none,
        any connection may ask."""

    @property
    def requires_sasl(self) -> bool:
        """Whether a SASL login is one of those that a connection may be asked for."""
        return "sasl" in self.enforced_schemes

    def allows(self, acl: Sequence[ACL], perms: int, auth_ids: Sequence[AuthId]) -> bool:
        """Return whether the identities hold at least one of the wanted permission bits."""
        if acl is OPEN_ACL or self.skip_acl or not acl:
            return True
        for entry in acl:
            if entry.perms & perms and entry.scheme == WORLD and entry.id == ANYONE:
                return True
        return self._allows_by_id(acl, perms, auth_ids)

    def _allows_by_id(self, acl: Sequence[ACL], perms: int, auth_ids: Sequence[AuthId]) -> bool:
        for auth_id in auth_ids:
            if auth_id.scheme == SUPER:
                return True
        for entry in acl:
            if not entry.perms & perms:
                continue
            provider = self._registry.get(entry.scheme)
            if provider is None or entry.id is None:
                continue
            for auth_id in auth_ids:
                if auth_id.scheme == entry.scheme and provider.matches(auth_id.id, entry.id):
                    return True
        return False

    def is_refused(self, auth_ids: Sequence[AuthId]) -> bool:
        """Return whether enforced authentication forbids these identities any request."""
        if not self.enforced_schemes:
            return False
        return not any(auth_id.scheme in self.enforced_schemes for auth_id in auth_ids)

    def fix_up(self, acl: Sequence[ACL] | None, auth_ids: Sequence[AuthId]) -> tuple[ACL, ...]:
        """Return the list as it is stored: without duplicates, ``auth`` replaced, every entry
        checked.

        Raises InvalidAcl, MarshallingError for an entry without id, and TooLargeTransaction as soon
        as ``auth`` stands for more than a transaction may have: a request of 1 MB can ask for
        gigabytes.
        """
        if not acl:
            raise InvalidAcl("empty ACL")
        fixed: list[ACL] = []
        left = self._max_bytes
        for entry in dict.fromkeys(acl):
            if entry.scheme is None:
                raise InvalidAcl("ACL entry without scheme")
            if entry.scheme == AUTH:
                expanded = self._expand(entry.perms, auth_ids)
                left -= sum(_length(each) for each in expanded)
                if left < 0:
                    raise TooLargeTransaction(f"an ACL of more than {self._max_bytes} bytes")
                fixed += expanded
            else:
                self._validate(entry.scheme, entry.id)
                fixed.append(entry)
        return tuple(fixed)

    def _validate(self, scheme: str, acl_id: str | None) -> None:
        provider = self._registry.get(scheme)
        if provider is None and scheme != WORLD:
            raise InvalidAcl(f"ACL entry of unknown scheme {scheme!r}")
        if acl_id is None:
            raise MarshallingError(f"ACL entry of scheme {scheme} without id")
        is_valid = acl_id == ANYONE if provider is None else provider.is_valid(acl_id)
        if not is_valid:
            raise InvalidAcl(f"ACL id {acl_id!r} is not valid in scheme {scheme}")

    def _expand(self, perms: int, auth_ids: Sequence[AuthId]) -> list[ACL]:
        expanded = []
        for auth_id in auth_ids:
            provider = self._registry.get(auth_id.scheme)
            if provider is not None and provider.is_authenticated:
                expanded.append(ACL(perms, auth_id.scheme, auth_id.id))
        if not expanded:
            raise InvalidAcl("ACL of scheme auth without an authenticated identity")
        return expanded


def _length(entry: ACL) -> int:
    """Return the least number of bytes that an encoded entry takes."""
    return 12 + len(entry.scheme or "") + len(entry.id or "")


def mask_digest_ids(acl: Iterable[ACL]) -> list[ACL]:
    """Return the list as somebody without ADMIN sees it: ``user:hash`` of scheme digest becomes
    ``user:x``."""
    return [
        ACL(entry.perms, entry.scheme, _secret.sub(":x", entry.id))
        if entry.scheme == DIGEST and entry.id is not None
        else entry
        for entry in acl
    ]


def _enforced_schemes(config: ServerConfig, registry: ProviderRegistry) -> tuple[str, ...]:
    if config.session_require_client_sasl_auth:
        key = "sessionRequireClientSASLAuth"
        schemes: tuple[str, ...] = ("sasl",)
    elif config.enforce_auth_enabled:
        key = "enforce.auth.schemes"
        schemes = tuple(config.enforce_auth_schemes)
        if not schemes:
            raise ConfigError("must name a scheme, since enforce.auth.enabled is true", key=key)
    else:
        return ()
    for scheme in schemes:
        if registry.get(scheme) is None:
            known = ", ".join(registry.schemes())
            advice = ""
            if scheme == "sasl":
                names = (name for name, found in PROVIDER_CLASSES.items() if found == scheme)
                advice = f"; authProvider.sasl={next(names)} adds it"
            raise ConfigError(
                f"authentication scheme {scheme!r} is not available ({known}){advice}", key=key
            )
    return schemes
