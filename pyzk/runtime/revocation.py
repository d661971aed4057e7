"""Revocation: the responders and the lists that certificates name, asked and looked into.

Shell. It waits for the network, so it runs beside the loop. As in the JDK each certificate of a
chain is looked up but for what is trusted itself; with OCSP the responder is asked first, and the
list is the second try; who can be looked up in neither is refused. What was fetched is kept for
half a minute, of a list a failure, too.
ZooKeeper: X509Util with ssl.crl and ssl.ocsp; the JDK: RevocationChecker.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pyzk.runtime.fetching import fetch
from pyzk.runtime.ocsp import NoAnswerError, Responders

TIMEOUT_S: Final = 15.0
"""The longest wait for a list, the JDK's."""
MAX_BYTES: Final = 20 * 1024 * 1024
"""The longest list."""
MOST_LISTS: Final = 100
"""The most lists that are kept."""
_SCHEMES: Final = ("http://", "https://", "file:")
_KEEP: Final = timedelta(seconds=30)

Kept = tuple[datetime, x509.CertificateRevocationList | None]
"""(until when, the list; None for a failure)."""


class Revocation:
    """What one kind of port asks about certificates, and what it has heard.

    Many threads may ask.
    """

    def __init__(self, key: str, responders: Responders | None = None) -> None:
        """``key`` is the configuration key that asks for it, for messages. Without ``responders``
        only lists are looked into."""
        self._key = key
        self._responders = responders
        self._kept: dict[str, Kept] = {}
        self._lock = threading.Lock()

    def why_not(
        self, chain_der: Sequence[bytes], anchors: Sequence[x509.Certificate]
    ) -> str | None:
        """Return why one of these certificates is not to be trusted, None if all are.

        The chain begins with the peer's own; the last is signed by one of ``anchors`` or is one.
        """
        try:
            chain = [x509.load_der_x509_certificate(each) for each in chain_der]
        except ValueError:
            return "cannot be read"
        for at, certificate in enumerate(chain):
            if certificate in anchors:
                return None
            above = [*chain[at + 1 : at + 2], *anchors]
            signers = [each for each in above if _is_above(each, certificate)]
            reason = self._reason(certificate, signers)
            if reason is not None:
                return reason
        return None

    def _reason(
        self, certificate: x509.Certificate, signers: Sequence[x509.Certificate]
    ) -> str | None:
        unasked = ""
        if self._responders is not None:
            try:
                return "is revoked" if self._is_revoked(certificate, signers) else None
            except NoAnswerError as error:
                unasked = f"{error}; it "
        places = list(_places(certificate))
        if not places:
            either = " or the other" if unasked else ""
            return f"{unasked}names no revocation list, and {self._key} asks for one{either}"
        for place in places:
            found = self._list_at(place)
            if found is None or not any(_is_by(found, each) for each in signers):
                continue
            entry = found.get_revoked_certificate_by_serial_number(certificate.serial_number)
            is_revoked = entry is not None and entry.revocation_date_utc <= datetime.now(UTC)
            return "is revoked" if is_revoked else None
        where = ", ".join(places)
        return f"{unasked}cannot be looked up in the revocation list at {where}"

    def _is_revoked(
        self, certificate: x509.Certificate, signers: Sequence[x509.Certificate]
    ) -> bool:
        """Ask the responder. Raises NoAnswerError."""
        assert self._responders is not None, self
        for each in signers:
            try:
                certificate.verify_directly_issued_by(each)
            except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
                continue  # another one of the same name
            return self._responders.is_revoked(certificate, each)
        raise NoAnswerError("is signed by nobody who is known here")

    def _list_at(self, place: str) -> x509.CertificateRevocationList | None:
        """Return the list at a place, as it was fetched before if it is not due again."""
        now = datetime.now(UTC)
        with self._lock:
            until, kept = self._kept.get(place, (now, None))
        if now < until:
            return kept
        found = _fetch(place)
        with self._lock:
            self._kept.pop(place, None)
            if len(self._kept) >= MOST_LISTS:
                del self._kept[next(iter(self._kept))]
            self._kept[place] = now + _KEEP, found
        return found


def _is_above(signer: x509.Certificate, certificate: x509.Certificate) -> bool:
    return signer.subject == certificate.issuer


def _places(certificate: x509.Certificate) -> Iterator[str]:
    """Yield where the lists of a certificate are, as far as they can be fetched from here."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                if name.value.startswith(_SCHEMES):
                    yield name.value


def _is_by(found: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    """Return whether a list is whole, signed by this certificate, and of this time."""
    now = datetime.now(UTC)
    due = found.next_update_utc
    if found.last_update_utc > now or (due is not None and due < now):
        return False
    if found.issuer != signer.subject or _is_partial(found.extensions):
        return False
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return found.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def _is_partial(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> bool:
    """Return whether a list speaks for others, too, or for changes only."""
    for each in extensions:
        if isinstance(each.value, x509.DeltaCRLIndicator):
            return True
        if isinstance(each.value, x509.IssuingDistributionPoint) and each.value.indirect_crl:
            return True
    return False


def _fetch(place: str) -> x509.CertificateRevocationList | None:
    try:
        content = fetch(place, limit_bytes=MAX_BYTES, timeout_s=TIMEOUT_S)
        if content.startswith(b"-----"):
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except (OSError, ValueError):
        return None
