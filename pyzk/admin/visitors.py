"""Who asks on the admin port, and what that identity may do.

Pure. The header `Authorization` has a scheme and, behind a blank, what it needs: `digest
user:password`, `ip`, or `x509` where the visitor has shown a certificate.

ZooKeeper: Commands.handleAuthentication and handleAuthorization, as they are from 3.9.4 on:
each permission must be given (ZOOKEEPER-4964).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pyzk.admin.answer import FORBIDDEN, UNAUTHORIZED, Answer, reply
from pyzk.auth.access import SUPER
from pyzk.auth.custom import CustomProvider
from pyzk.auth.ip import peer_address
from pyzk.auth.provider import X509, AuthId, TurnedAwayError
from pyzk.constants import Perms
from pyzk.data.paths import ROOT

if TYPE_CHECKING:
    from pyzk.server.server import Server

PERMISSIONS: Final = (Perms.READ, Perms.WRITE, Perms.CREATE, Perms.DELETE, Perms.ADMIN)
"""All permissions on a znode, each of which a command of this kind needs."""
_BY_BYTES: Final = ("digest", "ip")
"""The schemes of the original that take a visitor of HTTP at their word."""

_NOT_ENOUGH: Final = (
    "Not authorized: this server serves only who has authenticated as enforce.auth.schemes or"
    " sessionRequireClientSASLAuth demands, or as the super user"
)


class Visitor:
    """Who asks: the header, the address, and the certificates of TLS."""

    __slots__ = ("address", "authorization", "certificates", "outside_reason")

    def __init__(
        self,
        authorization: str | None,
        address: str,
        certificates: Sequence[bytes] = (),
        outside_reason: str | None = None,
    ) -> None:
        self.authorization: str | None = authorization
        """The header `Authorization`; None if there is none."""
        self.address: str = peer_address(address)
        self.certificates: Sequence[bytes] = certificates
        """What the visitor has shown in the handshake of TLS: DER, its own first."""
        self.outside_reason: str | None = outside_reason
        """Why another site may have made this request in the visitor's browser; None if none has
        (`pyzk.admin.hosts`)."""


def address_of(peer: str, forwarded_for: str | None, *, counts: bool) -> str:
    """Return the address of a visitor: that of the socket's other end, or the first one of the
    header `X-Forwarded-For`, as in the original, if that ``counts`` and is there."""
    if counts and forwarded_for is not None:
        named = [each.strip() for each in forwarded_for.split(",") if each.strip()]
        if named:
            return named[0]
    return peer


def identities(server: Server, visitor: Visitor) -> tuple[AuthId, ...] | None:
    """Return the identities of a visitor; None if it proves none."""
    words = (visitor.authorization or "").split(" ")
    while words and not words[-1]:
        words.pop()
    if len(words) not in (1, 2):
        return None
    scheme = words[0]
    if scheme == X509:
        return server.registry.of_certificates(visitor.certificates) or None
    provider = server.registry.get(scheme)
    if provider is None or not (scheme in _BY_BYTES or isinstance(provider, CustomProvider)):
        return None
    auth = words[1].encode("utf-8", "surrogateescape") if len(words) == 2 else None
    try:
        return provider.authenticate(visitor.address, auth) or None
    except TurnedAwayError:
        return None


def refusal(server: Server, visitor: Visitor, command: str) -> Answer | None:
    """Return the answer to a visitor who may not have all that is on this server; None to one who
    may. ``command`` is what was asked for, by the name that was given.

    The original looks at the permissions on the root. Two rules are pyzk's: a visitor whom enforced
    authentication keeps from any request is refused, unless it is the super user; and where no
    secret is needed for the permissions, a request that another site may have made is refused.
    """
    if visitor.authorization is None:
        return reply(command, error="Auth info is missing for the command", status=UNAUTHORIZED)
    found = identities(server, visitor)
    if found is None:
        return reply(command, error="Not authenticated", status=UNAUTHORIZED)
    proves_super = any(each.scheme == SUPER for each in found)
    by_address = AuthId("ip", visitor.address)  # which every client has, too
    if not proves_super and server.access.is_refused((*found, by_address)):
        return reply(command, error=_NOT_ENOUGH, status=FORBIDDEN)
    if not _has_all(server, found):
        return reply(command, error="Not authorized", status=FORBIDDEN)
    if visitor.outside_reason is not None and not proves_super and _has_all(server, (by_address,)):
        # Any made-up name would do here, so another site's page could ask as well as its visitor.
        return reply(command, error=f"Not authorized: {visitor.outside_reason}", status=FORBIDDEN)
    return None


def _has_all(server: Server, ids: tuple[AuthId, ...]) -> bool:
    """Tell whether each permission on the root is given to these identities."""
    root = server.tree.find(ROOT)
    assert root is not None, "a tree has a root"
    return all(server.permits(root.acl_id, each, ids) for each in PERMISSIONS)
