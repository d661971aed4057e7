"""Revocation: the lists that certificates name, fetched, verified and looked into.

Shell. It waits for the network, so it runs beside the loop. As in the JDK, a certificate whose list
cannot be had is refused, and what was fetched is kept for half a minute, a failure, too.
ZooKeeper: X509Util with ssl.crl; the JDK: PKIXRevocationChecker without OCSP.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

TIMEOUT_S: Final = 15.0
"""The longest wait for a list, the JDK's."""
MAX_BYTES: Final = 20 * 1024 * 1024
"""The longest list."""
_SCHEMES: Final = ("http://", "https://", "file:")
_KEEP: Final = timedelta(seconds=30)

Kept = tuple[datetime, x509.CertificateRevocationList | None]
"""(until when, the list; None for a failure)."""

_kept: dict[str, Kept] = {}
_lock: Final = threading.Lock()


def why_not(chain_der: Sequence[bytes], anchors: Sequence[x509.Certificate]) -> str | None:
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
        signers = [*chain[at + 1 : at + 2], *anchors]
        reason = _reason(certificate, [each for each in signers if _is_above(each, certificate)])
        if reason is not None:
            return reason
    return None


def _reason(certificate: x509.Certificate, signers: Sequence[x509.Certificate]) -> str | None:
    places = list(_places(certificate))
    if not places:
        return "names no revocation list, and ssl.crl asks for one"
    for place in places:
        found = _list_at(place)
        if found is None or not any(_is_by(found, each) for each in signers):
            continue
        if found.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            return "is revoked"
        return None
    return f"cannot be looked up in the revocation list at {', '.join(places)}"


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


def _list_at(place: str) -> x509.CertificateRevocationList | None:
    """Return the list at a place, as it was fetched before if it is not due again."""
    now = datetime.now(UTC)
    with _lock:
        until, kept = _kept.get(place, (now, None))
    if now < until:
        return kept
    found = _fetch(place)
    with _lock:
        _kept[place] = now + _KEEP, found
    return found


def _fetch(place: str) -> x509.CertificateRevocationList | None:
    try:
        with urllib.request.urlopen(place, timeout=TIMEOUT_S) as answer:  # noqa: S310 - see _SCHEMES
            content = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(content) > MAX_BYTES:
        return None
    load = x509.load_pem_x509_crl if content.startswith(b"-----") else x509.load_der_x509_crl
    try:
        return load(content)
    except ValueError:
        return None
