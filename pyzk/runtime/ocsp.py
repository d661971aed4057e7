"""OCSP: the responder that a certificate names is asked whether it has been revoked.

Shell. It waits for the network, so it runs beside the loop. What may be believed is what the JDK
believes: an answer that is about this certificate, of now, give or take a quarter of an hour, and
signed by who has signed the certificate, or by somebody whom that one has made a responder. There
is no nonce, as in the JDK: most responders sign their answers in advance.

Where this differs from ZooKeeper, on purpose: an answer is kept for half a minute, and a responder
that has not answered in time is left alone for a second, and then asked by one at a time until it
does. The JDK asks it for each connection, and waits, with all others of the same thread.
ZooKeeper: X509Util with ssl.ocsp; the JDK: RevocationChecker, OCSP, OCSPResponse.
"""

from __future__ import annotations

import base64
import threading
import time
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from pyzk.runtime.fetching import fetch

TIMEOUT_S: Final = 5.0
"""The longest wait for an answer: half of what a handshake has, so that there is time left to look
into a list instead."""
MAX_BYTES: Final = 1 << 16
"""The longest answer."""
MOST_KEPT: Final = 10_000
"""The most answers that are kept."""
MOST_PLACES: Final = 1000
"""The most responders of which is kept whether they answer."""
REST_S: Final = 1.0
"""How long a responder is left alone that has not answered in time."""
KEEP_S: Final = 30.0
"""The longest time for which an answer is kept."""

_SKEW: Final = timedelta(minutes=15)
"""How much the clock of a responder may differ, as in the JDK."""
_LONGEST_GET: Final = 255
"""The longest question that is a part of the address, as RFC 5019 has it, and the JDK."""
_SCHEMES: Final = ("http://", "https://")
_TYPE: Final = "application/ocsp-request"
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_LEAST_RSA_BITS: Final = 2048

Fetch = Callable[[str, bytes], bytes]
"""Asks the responder at a place with a question in DER, and returns its answer. Raises OSError or
ValueError."""


class NoAnswerError(Exception):
    """There is no answer that could be believed; the text says why, as the end of a sentence."""


class Responders:
    """Asks responders, and keeps what they have answered. Many threads may ask."""

    def __init__(
        self, fetch: Fetch | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch or ask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[float, bool]] = {}
        """Question -> (until when, whether the certificate is revoked), the oldest first."""
        self._places: dict[str, _Place] = {}

    def is_revoked(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Return whether a certificate is revoked, that ``issuer`` has signed. Raises
        NoAnswerError."""
        place = responder_of(certificate)
        if place is None:
            raise NoAnswerError("names no OCSP responder")
        question = _question(certificate, issuer)
        body = question.public_bytes(serialization.Encoding.DER)
        began = self._monotonic()
        with self._lock:
            until, is_revoked = self._kept.get(body, (began, False))
        if began < until:
            return is_revoked
        try:
            is_revoked, due = self._ask(place, question, body, issuer, began)
        except NoAnswerError as error:
            raise NoAnswerError(
                f"cannot be looked up at the OCSP responder {place}: {error}"
            ) from None
        left_s = KEEP_S if due is None else (due - datetime.now(UTC)).total_seconds()
        self._keep(body, self._monotonic() + min(KEEP_S, left_s), is_revoked)
        return is_revoked

    def _ask(
        self,
        place: str,
        question: ocsp.OCSPRequest,
        body: bytes,
        issuer: x509.Certificate,
        began: float,
    ) -> tuple[bool, datetime | None]:
        with self._lock:
            found = self._place(place)
            if not found.begin(began):
                raise NoAnswerError("it has not answered others in time")
        is_silent = False
        try:
            content = self._fetch(place, body)
        except TimeoutError as error:
            is_silent = True
            raise NoAnswerError(str(error)) from None
        except (OSError, ValueError) as error:
            raise NoAnswerError(getattr(error, "strerror", None) or str(error)) from None
        finally:
            with self._lock:
                found.end(began, self._monotonic(), is_silent=is_silent)
        return read(content, question, issuer, datetime.now(UTC))

    def _place(self, place: str) -> _Place:
        found = self._places.get(place)
        if found is None:
            if len(self._places) >= MOST_PLACES:
                del self._places[next(iter(self._places))]
            found = self._places[place] = _Place()
        return found

    def _keep(self, body: bytes, until: float, is_revoked: bool) -> None:
        with self._lock:
            self._kept.pop(body, None)
            if len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[body] = until, is_revoked


class _Place:
    """A responder, and whether it answers."""

    def __init__(self) -> None:
        self._answered = -1.0
        """When the last answer came, of whatever kind."""
        self._is_silent = False
        self._is_asked = False
        """Whether one asks it again after a silence."""
        self._rests_until = 0.0

    def begin(self, now: float) -> bool:
        """Return whether it is to be asked."""
        if not self._is_silent:
            return True
        if self._is_asked or now < self._rests_until:
            return False
        self._is_asked = True
        return True

    def end(self, began: float, now: float, *, is_silent: bool) -> None:
        """Note how a question of the time ``began`` has ended."""
        if not is_silent:
            self._answered = now
            self._is_silent = self._is_asked = False
        elif self._answered < began:  # else it is one question that is lost
            self._is_silent, self._is_asked = True, False
            self._rests_until = now + REST_S


# --- questions ------------------------------------------------------------------------


def responder_of(certificate: x509.Certificate) -> str | None:
    """Return where the responder is that a certificate names, None if it names none by HTTP."""
    kind = x509.AuthorityInformationAccess
    try:
        found = certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    for each in found:
        if each.access_method == AuthorityInformationAccessOID.OCSP:
            name = each.access_location
            if isinstance(name, x509.UniformResourceIdentifier):
                if name.value.startswith(_SCHEMES):
                    return name.value
    return None


def _question(certificate: x509.Certificate, issuer: x509.Certificate) -> ocsp.OCSPRequest:
    # SHA-1 protects nothing here: it names the issuer, and all responders know it.
    builder = ocsp.OCSPRequestBuilder()
    builder = builder.add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return builder.build()


def ask(place: str, question: bytes) -> bytes:
    """Ask the responder at a place. Raises OSError or ValueError."""
    in_address = f"{place.rstrip('/')}/{urllib.parse.quote(base64.b64encode(question), safe='')}"
    if len(in_address) - len(place) <= _LONGEST_GET:
        return fetch(in_address, limit_bytes=MAX_BYTES, timeout_s=TIMEOUT_S)
    return fetch(
        place, limit_bytes=MAX_BYTES, timeout_s=TIMEOUT_S, body=question, content_type=_TYPE
    )


# --- answers --------------------------------------------------------------------------


def read(
    content: bytes, question: ocsp.OCSPRequest, issuer: x509.Certificate, now: datetime
) -> tuple[bool, datetime | None]:
    """Return what an answer says: whether the certificate is revoked by now, and when there will be
    a newer one. Raises NoAnswerError if it says neither yes nor no, or cannot be believed."""
    try:
        answer = ocsp.load_der_ocsp_response(content)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise NoAnswerError(f"it says {_words(answer.response_status.name)}")
        _verify(answer, _signer(answer, issuer, now))
        single = _about(answer, question)
        due = single.next_update_utc
        if single.this_update_utc > now + _SKEW or (due or single.this_update_utc) < now - _SKEW:
            raise NoAnswerError("its answer is of another time")
        status = single.certificate_status
        since = single.revocation_time_utc
    except ValueError:
        raise NoAnswerError("its answer cannot be read") from None
    except UnsupportedAlgorithm:
        raise NoAnswerError("its answer is signed in a way that nobody here knows") from None
    if status is ocsp.OCSPCertStatus.UNKNOWN:
        raise NoAnswerError("it does not know the certificate")
    return since is not None and since <= now, due


def _about(answer: ocsp.OCSPResponse, question: ocsp.OCSPRequest) -> ocsp.OCSPSingleResponse:
    """Return the part of an answer that is about what was asked."""
    for each in answer.responses:
        if (
            each.serial_number == question.serial_number
            and each.hash_algorithm.name == question.hash_algorithm.name
            and each.issuer_name_hash == question.issuer_name_hash
            and each.issuer_key_hash == question.issuer_key_hash
        ):
            return each
    raise NoAnswerError("its answer is about another certificate")


def _signer(answer: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> x509.Certificate:
    """Return who has to have signed an answer."""
    if _is_named(issuer, answer):
        return issuer
    for each in answer.certificates:
        if _is_named(each, answer):
            if _may_respond(each, issuer, now):
                return each
            break
    raise NoAnswerError("its answer is signed by somebody else")


def _is_named(certificate: x509.Certificate, answer: ocsp.OCSPResponse) -> bool:
    if answer.responder_name is not None:
        return certificate.subject == answer.responder_name
    own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return own.digest == answer.responder_key_hash


def _may_respond(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    """Return whether ``issuer`` has made somebody a responder for what it signs."""
    try:
        certificate.verify_directly_issued_by(issuer)
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError, x509.ExtensionNotFound):
        return False
    return (
        ExtendedKeyUsageOID.OCSP_SIGNING in purposes
        and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        and _is_strong(certificate.signature_hash_algorithm)
    )


def _is_strong(algorithm: hashes.HashAlgorithm | None) -> bool:
    """Return whether what is signed with this hash can be believed; None is that of Ed25519."""
    return algorithm is None or isinstance(algorithm, _HASHES)


def _verify(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    """Raises NoAnswerError if somebody else has signed an answer, or too weakly."""
    key, algorithm = signer.public_key(), answer.signature_hash_algorithm
    signature, signed = answer.signature, answer.tbs_response_bytes
    if not _is_strong(algorithm):
        raise NoAnswerError("its answer is signed with a hash that is broken")
    try:
        if algorithm is None:
            if not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
                raise InvalidSignature
            key.verify(signature, signed)
        elif isinstance(key, rsa.RSAPublicKey):
            if key.key_size < _LEAST_RSA_BITS:
                raise NoAnswerError("its answer is signed with a key that is too short")
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            raise InvalidSignature
    except InvalidSignature:
        raise NoAnswerError("its answer is signed by somebody else") from None


def _words(name: str) -> str:
    return name.replace("_", " ").lower()
