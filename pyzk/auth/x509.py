"""The x509 scheme: an id is what a client certificate says of its owner.

Pure. Answers to X509AuthenticationProvider. The handshake has verified the certificate; here the
subject becomes an id, in the form that Java gives it, or one of the alternative names. The latter,
and its keys `ssl.x509.clientCertId*`, are LinkedIn's; as there, a certificate without exactly one
such name has its subject for an id.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from pyzk.auth import certificate, x500
from pyzk.auth.certificate import Certificate, CertificateError
from pyzk.auth.provider import X509, AuthId
from pyzk.outsiders import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyzk.config.server import ServerConfig

log = logging.getLogger(__name__)

_ALTERNATIVE: Final = "SAN"


class X509Provider:
    """Makes ids from certificates and compares them as text."""

    scheme: Final = X509
    is_authenticated: Final = True

    __slots__ = ("_config", "_extract", "_match")

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._match = re.compile(config.x509_san_match_regex)
        self._extract = re.compile(config.x509_san_extract_regex)

    def of_certificates(self, chain: Sequence[bytes]) -> tuple[AuthId, ...] | None:
        """Return the identities of who has shown these certificates, its own first; None if there
        is none, or it cannot be read."""
        if not chain:
            return None
        try:
            own_id = self._id_of(Certificate(chain[0]))
        except CertificateError:
            return None
        own = AuthId(X509, own_id)
        if own_id == self._config.x509_super_user:
            return (AuthId("super", own_id), own)
        return (own,)

    def _id_of(self, found: Certificate) -> str:
        subject = certificate.rfc2253(found.subject)
        if self._config.x509_id_type != _ALTERNATIVE:
            return subject
        other = self._alternative(found)
        if other is None:
            log.warning(
                "the certificate of %s has not exactly one alternative name as ssl.x509.* asks"
                " for; its id is the subject",
                subject,
                extra=about(subject),
            )
            return subject
        return other

    def _alternative(self, found: Certificate) -> str | None:
        """Return the id in the only alternative name that fits, None if none does, or several."""
        config = self._config
        names = [
            text
            for kind, text in found.alternative_names()
            if kind == config.x509_san_match_type
            and text is not None
            and self._match.search(text) is not None
        ]
        if len(names) != 1:
            return None
        match = self._extract.search(names[0])
        if match is None or config.x509_san_extract_group > self._extract.groups:
            return None
        return match.group(config.x509_san_extract_group)

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        """Refuse: bytes prove nothing, certificates do, which the server asks about."""
        return None

    def is_valid(self, acl_id: str) -> bool:
        return x500.is_name(acl_id)

    def matches(self, own_id: str, acl_id: str) -> bool:
        return own_id in (acl_id, self._config.x509_super_user)

    def user_name(self, own_id: str) -> str:
        return own_id
