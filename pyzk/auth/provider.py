"""What an authentication scheme has to answer.

Pure. Answers to AuthenticationProvider. ``world``, ``auth`` and ``super`` are words of the ACL
rules (``pyzk.auth.access``), not schemes with a provider, as in the original.

These names are public: a package adds a scheme of its own by an entry point of the group
``pyzk.auth_providers`` (docs/security.md). Its provider is asked on the loop that serves all
clients, so it answers at once, from memory.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, runtime_checkable

X509: Final = "x509"
"""The scheme whose identities come with the connection, from certificates."""


class AuthId(NamedTuple):
    """One identity of a connection."""

    scheme: str
    id: str


class TurnedAwayError(Exception):
    """The client is to look for another server: its connection is closed without a reply. (An
    answer would tell it that its credentials are wrong, and clients give up then.)"""


@runtime_checkable
class AuthProvider(Protocol):
    """One scheme: makes identities, judges ACL ids, compares the two."""

    @property
    def scheme(self) -> str:
        """The name of the scheme in auth packets and ACLs."""
        ...

    @property
    def is_authenticated(self) -> bool:
        """Whether the scheme proves anything; only ids of such schemes take part in the ``auth``
        expansion."""
        ...

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        """Return the identities that the bytes of an auth packet give, None if they are refused.
        Raises TurnedAwayError for a client that came to the wrong server.

        ``address`` is the peer's, without port, in the form of ``pyzk.auth.ip.peer_address``.
        """
        ...

    def is_valid(self, acl_id: str) -> bool:
        """Return whether an ACL may name this id."""
        ...

    def matches(self, own_id: str, acl_id: str) -> bool:
        """Return whether the connection's id falls under the ACL's."""
        ...

    def user_name(self, own_id: str) -> str:
        """Return the id as whoAmI and the audit log show it."""
        ...
