"""An authentication scheme in a package of its own: whoever has a token is somebody.

    zoo.cfg:  authProvider.1=org.example.TokenAuthenticationProvider
              tokens=9f86d081=ann,60303ae2=bob

Pure. docs/security.md shows it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyzk.auth.provider import AuthId


class TokenProvider:
    """Knows the user of each token."""

    scheme = "token"
    is_authenticated = True

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Take the settings of the server that pyzk itself does not know. Whatever is raised here
        keeps the server from starting, and is shown."""
        pairs = (pair.split("=", 1) for pair in settings["tokens"].split(","))
        self._users = {token.encode(): user for token, user in pairs}

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        user = self._users.get(auth or b"")
        return None if user is None else (AuthId(self.scheme, user),)

    def is_valid(self, acl_id: str) -> bool:
        return acl_id.isidentifier()

    def matches(self, own_id: str, acl_id: str) -> bool:
        return own_id == acl_id

    def user_name(self, own_id: str) -> str:
        return own_id
