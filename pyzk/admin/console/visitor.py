"""Who looks at the console, and what that visitor may see.

Pure. A visitor has the identities that a client would have who came from the same address with the
same credentials: ip, digest if the page sends ``Authorization: digest user:password``, x509 if a
certificate was shown. So the ACLs of znodes judge the console as they judge clients
(docs/decisions/0041).

A path outside its place in the tree (an ephemeral of a session, a watched path) is shown to who
could have found it by walking: READ on the znode, if there is one, and on every znode above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.admin.console import Json, View
from pyzk.auth.access import SUPER
from pyzk.auth.ip import peer_address
from pyzk.auth.provider import X509, AuthId
from pyzk.constants import Perms
from pyzk.data.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyzk.data.node import DataNode
    from pyzk.server.server import Server

SHOWN_PATH: Final = 8192
"""The most characters of a path that is shown: to judge one takes a look at each znode above it."""
DIGEST: Final = "digest"
_LETTERS: Final = (
    (Perms.CREATE, "c"),
    (Perms.DELETE, "d"),
    (Perms.READ, "r"),
    (Perms.WRITE, "w"),
    (Perms.ADMIN, "a"),
)


class RefusedCredentials(ValueError):  # noqa: N818 - what has happened, as those of `errors`
    """The header Authorization says nothing that the server can take for an identity."""


def letters(perms: int) -> str:
    """Return permissions as ``zkCli.sh`` writes them, as cdrwa."""
    return "".join(letter for bit, letter in _LETTERS if perms & bit)


class Visitor:
    """The identities behind one request, and the paths that they may see."""

    __slots__ = ("_server", "_walked", "auth_ids", "host")

    def __init__(self, server: Server, host: str, auth_ids: tuple[AuthId, ...]) -> None:
        self._server = server
        self.host = host
        self.auth_ids = auth_ids
        self._walked: dict[str, bool] = {}
        """Path -> whether it and all above it may be read; kept for one request."""

    @property
    def is_refused(self) -> bool:
        """Whether the server wants another proof of who this is before any request."""
        return self._server.access.is_refused(self.auth_ids)

    @property
    def is_super(self) -> bool:
        """Whether ACLs do not count for this visitor."""
        return self._server.access.skip_acl or any(each.scheme == SUPER for each in self.auth_ids)

    def view(self) -> View:
        """Return who this is, as whoAmI shows it."""
        registry = self._server.registry
        ids: list[Json] = [
            {"scheme": each.scheme, "id": registry.user_name(each)} for each in self.auth_ids
        ]
        return {"host": self.host, "ids": ids, "super": self.is_super, "refused": self.is_refused}

    def may(self, node: DataNode, perms: int) -> bool:
        """Tell whether this visitor has one of these permissions on a znode."""
        return self._server.permits(node.acl_id, perms, self.auth_ids)

    def perms_on(self, node: DataNode) -> str:
        """Return all permissions on a znode, as cdrwa."""
        return "".join(letter for bit, letter in _LETTERS if self.may(node, bit))

    def sees(self, path: str) -> bool:
        """Tell whether this visitor may be shown a path that stands outside of its place."""
        if len(path) > SHOWN_PATH or not path.startswith("/"):
            return False
        node = self._server.tree.find(path)
        if node is not None and not self.may(node, Perms.READ):
            return False
        return self._walks_to(path[: path.rfind("/")] or ROOT)

    def _walks_to(self, path: str) -> bool:
        """Tell whether every znode down to this one may be read, as far as there are any."""
        known = self._walked.get(path)
        if known is not None:
            return known
        nodes = self._server.tree.nodes
        end = 0
        allowed = True
        while True:
            node = nodes.get(path[:end] or ROOT)
            if node is None:
                break  # nor is there anything below it
            if not self.may(node, Perms.READ):
                allowed = False
                break
            if end >= len(path) or path == ROOT:
                break
            end = path.find("/", end + 1)
            if end < 0:
                end = len(path)
        self._walked[path] = allowed
        return allowed


def visitor(
    server: Server,
    host: str,
    authorization: str | None,
    certificates: Sequence[bytes] = (),
    *,
    is_forwarded: bool = False,
) -> Visitor:
    """Return who asks from ``host``. If somebody has forwarded the request (``is_forwarded``), the
    address is that of a proxy and no identity. Raises RefusedCredentials."""
    address = peer_address(host)
    ids: tuple[AuthId, ...] = () if is_forwarded else (AuthId("ip", address),)
    if certificates and server.registry.get(X509) is not None:
        shown = server.registry.of_certificates(certificates)
        if shown is None:
            raise RefusedCredentials("the certificate cannot be read, or is no identity here")
        ids += shown
    if authorization is not None:
        scheme, _, auth = authorization.partition(" ")
        if scheme.lower() != DIGEST or ":" not in auth:
            raise RefusedCredentials("Authorization must be: digest user:password")
        provider = server.registry.get(DIGEST)
        given = None
        if provider is not None:
            given = provider.authenticate(address, auth.encode("utf-8", "replace"))
        if given is None:
            raise RefusedCredentials("this server takes no digest credentials")
        ids += given
    return Visitor(server, address, tuple(dict.fromkeys(ids)))
