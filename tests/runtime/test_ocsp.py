from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID

from pyzk.runtime import ocsp
from pyzk.runtime.ocsp import NoAnswerError, Responders
from tests.certificates import Authority, Issued
from tests.ocsp import GOOD, REVOKED, UNKNOWN, Responder, answer, refusal

ROOT = Authority("Root")
PLACE = "http://r.example/x"
MINE = ROOT.issue("me", ocsp=PLACE)
RESPONDER = ROOT.issue("responder", purposes=[ExtendedKeyUsageOID.OCSP_SIGNING])
QUARTER_S = 15 * 60.0


def question(certificate: Issued = MINE, issuer: Issued = ROOT) -> bytes:
    asked = ocsp._question(certificate.certificate, issuer.certificate)
    return asked.public_bytes(serialization.Encoding.DER)


def read(content: bytes, issuer: Issued = ROOT) -> bool:
    """Whether MINE is revoked, as this answer says."""
    asked = ocsp._question(MINE.certificate, issuer.certificate)
    return ocsp.read(content, asked, issuer.certificate, datetime.now(UTC))[0]


def refused(content: bytes, issuer: Issued = ROOT) -> str:
    with pytest.raises(NoAnswerError) as caught:
        read(content, issuer)
    return str(caught.value)


# --- answers --------------------------------------------------------------------------


def test_yes_and_no() -> None:
    assert not read(answer(question(), ROOT, ROOT))
    assert read(answer(question(), ROOT, ROOT, REVOKED))
    assert refused(answer(question(), ROOT, ROOT, UNKNOWN)) == "it does not know the certificate"


def test_who_will_be_revoked_is_not_yet() -> None:
    assert not read(answer(question(), ROOT, ROOT, REVOKED, revoked_days_ago=-1))
    assert read(answer(question(), ROOT, ROOT, REVOKED, revoked_days_ago=0.001))


def test_the_responder_may_be_named_by_its_key() -> None:
    assert not read(answer(question(), ROOT, ROOT, by_key=True))
    sent = [RESPONDER.certificate]
    assert not read(answer(question(), RESPONDER, ROOT, by_key=True, certificates=sent))


def test_somebody_else_may_answer_if_the_issuer_says_so() -> None:
    sent = [RESPONDER.certificate]
    assert not read(answer(question(), RESPONDER, ROOT, certificates=sent))
    assert read(answer(question(), RESPONDER, ROOT, REVOKED, certificates=sent))
    assert not read(answer(question(), RESPONDER, ROOT, certificates=[MINE.certificate, *sent]))


@pytest.mark.parametrize(
    "signer",
    [
        ROOT.issue("responder"),
        ROOT.issue("responder", purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        ROOT.issue("responder", purposes=[ExtendedKeyUsageOID.OCSP_SIGNING], days=(-9, -1)),
        ROOT.issue("responder", purposes=[ExtendedKeyUsageOID.OCSP_SIGNING], days=(1, 9)),
        Authority("Root").issue("responder", purposes=[ExtendedKeyUsageOID.OCSP_SIGNING]),
        Authority("Other").issue("responder", purposes=[ExtendedKeyUsageOID.OCSP_SIGNING]),
        MINE,
    ],
    ids=["no purpose", "other purpose", "expired", "not yet", "forged", "of another", "itself"],
)
def test_nobody_else_may(signer: Issued) -> None:
    expected = "its answer is signed by somebody else"
    assert refused(answer(question(), signer, ROOT, certificates=[signer.certificate])) == expected
    assert refused(answer(question(), signer, ROOT)) == expected


def test_an_answer_that_is_signed_with_another_key() -> None:
    expected = "its answer is signed by somebody else"
    assert refused(answer(question(), Authority("Root"), ROOT)) == expected
    forger = Authority("responder")
    sent = [RESPONDER.certificate]
    assert refused(answer(question(), forger, ROOT, certificates=sent)) == expected
    broken = bytearray(answer(question(), ROOT, ROOT, REVOKED))
    broken[-1] ^= 1
    assert refused(bytes(broken)) == expected


def test_an_answer_about_another_certificate() -> None:
    expected = "its answer is about another certificate"
    other = MINE.certificate.serial_number + 1
    assert refused(answer(question(), ROOT, ROOT, serial=other)) == expected
    # The same number, of an authority of the same name.
    twin = Authority("Root")
    assert refused(answer(question(issuer=twin), ROOT, ROOT)) == expected


@pytest.mark.parametrize(
    ("age_s", "left_s", "is_of_now"),
    [
        (0.0, None, True),
        (QUARTER_S - 9, None, True),
        (QUARTER_S + 9, None, False),
        (10 * QUARTER_S, -QUARTER_S + 9, True),
        (10 * QUARTER_S, -QUARTER_S - 9, False),
        (-QUARTER_S + 9, 3 * QUARTER_S, True),
        (-QUARTER_S - 9, 3 * QUARTER_S, False),
    ],
)
def test_an_answer_of_another_time(age_s: float, left_s: float | None, is_of_now: bool) -> None:
    content = answer(question(), ROOT, ROOT, age_s=age_s, left_s=left_s)
    if is_of_now:
        assert not read(content)
    else:
        assert refused(content) == "its answer is of another time"


def test_no_answer() -> None:
    for status, said in (
        (library.OCSPResponseStatus.TRY_LATER, "it says try later"),
        (library.OCSPResponseStatus.UNAUTHORIZED, "it says unauthorized"),
        (library.OCSPResponseStatus.MALFORMED_REQUEST, "it says malformed request"),
    ):
        assert refused(refusal(status)) == said
    for content in (b"", b"<html>", b"\x30\x03\x0a\x01", question()):
        assert refused(content) == "its answer cannot be read"


def test_every_cut_and_every_changed_byte_is_refused() -> None:
    whole = answer(question(), RESPONDER, ROOT, certificates=[RESPONDER.certificate])
    for end in range(len(whole)):
        refused(whole[:end])
    for at in range(len(whole)):
        for bit in (0x01, 0x80):
            changed = bytearray(whole)
            changed[at] ^= bit
            # What is outside of the signatures may change, but not what is believed.
            with contextlib.suppress(NoAnswerError):
                assert not read(bytes(changed)), at


def _signed_by(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
) -> tuple[x509.Certificate, bytes]:
    """An authority with a key of another kind, and its answer about a certificate of it."""
    now = datetime.now(UTC)
    name = ROOT.certificate.subject
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None

    def made(public: object, is_authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(public).serial_number(7)  # type: ignore[arg-type]
        builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        return builder.add_extension(constraints, True).sign(key, algorithm)

    authority = made(key.public_key(), is_authority=True)
    asked = ocsp._question(made(MINE.key.public_key(), is_authority=False), authority)
    builder = library.OCSPResponseBuilder().add_response_by_hash(
        asked.issuer_name_hash,
        asked.issuer_key_hash,
        asked.serial_number,
        asked.hash_algorithm,
        GOOD,
        now,
        now + timedelta(1),
        None,
        None,
    )
    built = builder.responder_id(library.OCSPResponderEncoding.NAME, authority)
    content = built.sign(key, algorithm).public_bytes(serialization.Encoding.DER)
    return authority, content


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa.generate_private_key(65537, 2048), None),
        (ed25519.Ed25519PrivateKey.generate(), None),
        (
            rsa.generate_private_key(65537, 1024),
            "its answer is signed with a key that is too short",
        ),
    ],
    ids=["RSA", "Ed25519", "short RSA"],
)
def test_keys_of_other_kinds(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, said: str | None
) -> None:
    authority, content = _signed_by(key)
    asked = ocsp._question(_with_number(7), authority)
    if said is None:
        assert ocsp.read(content, asked, authority, datetime.now(UTC))[0] is False
    else:
        with pytest.raises(NoAnswerError, match=f"^{said}$"):
            ocsp.read(content, asked, authority, datetime.now(UTC))


def test_a_hash_that_is_broken() -> None:
    authority, content = _signed_by(rsa.generate_private_key(65537, 2048))
    asked = ocsp._question(_with_number(7), authority)
    sha_256_with_rsa = bytes.fromhex("06092a864886f70d01010b")
    assert content.count(sha_256_with_rsa) == 1
    for broken in (4, 5):  # MD5, SHA-1
        changed = content.replace(sha_256_with_rsa, sha_256_with_rsa[:-1] + bytes([broken]))
        with pytest.raises(
            NoAnswerError, match=r"^its answer is signed with a hash that is broken$"
        ):
            ocsp.read(changed, asked, authority, datetime.now(UTC))
    changed = content.replace(sha_256_with_rsa, sha_256_with_rsa[:-1] + bytes([99]))
    with pytest.raises(NoAnswerError, match=r"in a way that nobody here knows$"):
        ocsp.read(changed, asked, authority, datetime.now(UTC))


def _with_number(serial: int) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(MINE.certificate.subject)
    builder = builder.issuer_name(ROOT.certificate.subject).public_key(MINE.key.public_key())
    builder = builder.serial_number(serial).not_valid_before(now).not_valid_after(now)
    return builder.sign(ROOT.key, hashes.SHA256())


# --- who is asked ---------------------------------------------------------------------


class Network:
    """A clock, and what the responders at all places say."""

    def __init__(self) -> None:
        self.now = 100.0
        self.says: bytes | OSError | ValueError | None = None
        """None is the right answer."""
        self.status = GOOD
        self.left_s: float | None = 3600.0
        self.asked: list[str] = []
        self.responders = Responders(self.fetch, lambda: self.now)

    def fetch(self, place: str, question: bytes) -> bytes:
        self.asked.append(place)
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            return answer(question, ROOT, ROOT, self.status, left_s=self.left_s)
        return self.says

    def is_revoked(self, certificate: Issued = MINE) -> bool:
        return self.responders.is_revoked(certificate.certificate, ROOT.certificate)

    def refused(self, certificate: Issued = MINE) -> str:
        with pytest.raises(NoAnswerError) as caught:
            self.is_revoked(certificate)
        return str(caught.value)


@pytest.fixture
def network() -> Network:
    return Network()


def test_an_answer_is_kept_for_half_a_minute(network: Network) -> None:
    assert not network.is_revoked()
    network.status = REVOKED
    network.now += 29.9
    assert not network.is_revoked()
    assert network.is_revoked(ROOT.issue("other", ocsp=PLACE))
    network.now += 0.1
    assert network.is_revoked()
    assert network.asked == [PLACE] * 3


def test_an_answer_is_kept_no_longer_than_it_is_good(network: Network) -> None:
    network.left_s = 5.0
    assert not network.is_revoked()
    network.now += 4.0
    assert not network.is_revoked()
    network.now += 1.1
    network.left_s = -60.0
    assert not network.is_revoked()
    assert not network.is_revoked()
    assert len(network.asked) == 3


def test_no_answer_is_not_kept(network: Network) -> None:
    network.says = b"no answer"
    begin = f"cannot be looked up at the OCSP responder {PLACE}: "
    assert network.refused() == f"{begin}its answer cannot be read"
    network.says = OSError("HTTP status 500")
    assert network.refused() == f"{begin}HTTP status 500"
    network.says = ConnectionRefusedError(111, "Connection refused")
    assert network.refused() == f"{begin}Connection refused"
    network.says = ValueError("longer than 9 bytes")
    assert network.refused() == f"{begin}longer than 9 bytes"
    network.says = None
    assert not network.is_revoked()


def test_a_certificate_that_names_no_responder(network: Network) -> None:
    assert network.refused(ROOT.issue("me")) == "names no OCSP responder"
    assert network.refused(ROOT.issue("me", ocsp="ldap://x")) == "names no OCSP responder"
    assert network.asked == []


def test_only_so_many_answers_and_places_are_kept(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocsp, "MOST_KEPT", 2)
    monkeypatch.setattr(ocsp, "MOST_PLACES", 3)
    people = [ROOT.issue("x", ocsp=f"{PLACE}{number}") for number in range(5)]
    for each in people:
        assert not network.is_revoked(each)
    assert len(network.responders._kept) == 2
    assert list(network.responders._places) == [f"{PLACE}{number}" for number in (2, 3, 4)]
    for each in people[3:]:
        assert not network.is_revoked(each)
    assert len(network.asked) == 5


SILENT = TimeoutError("no answer within 5 s")
RESTS = f"cannot be looked up at the OCSP responder {PLACE}: it has not answered others in time"


def test_a_silent_responder_is_left_alone_for_a_second(network: Network) -> None:
    network.says = SILENT
    assert "no answer within 5 s" in network.refused()
    network.says = None
    network.now += 0.9
    assert network.refused() == RESTS
    other = ROOT.issue("other", ocsp="http://other")
    assert not network.is_revoked(other)
    network.now += 0.1
    assert not network.is_revoked()
    assert network.asked == [PLACE, "http://other", PLACE]


def test_one_at_a_time_asks_a_silent_responder(network: Network) -> None:
    network.says = SILENT
    network.refused()
    network.now += 1.0
    asks, goes_on = threading.Event(), threading.Event()
    said: list[bool] = []

    def fetch(place: str, question: bytes) -> bytes:
        asks.set()
        assert goes_on.wait(60)
        return answer(question, ROOT, ROOT)

    network.responders._fetch = fetch
    thread = threading.Thread(target=lambda: said.append(network.is_revoked()))
    thread.start()
    assert asks.wait(60)
    assert network.refused(ROOT.issue("other", ocsp=PLACE)) == RESTS
    goes_on.set()
    thread.join()
    assert said == [False]
    network.responders._fetch = network.fetch
    network.says = None
    assert not network.is_revoked(ROOT.issue("other", ocsp=PLACE))


def test_one_lost_question_is_no_silence(network: Network) -> None:
    """Others were answered meanwhile."""

    def fetch(place: str, question: bytes) -> bytes:
        network.responders._fetch = network.fetch
        network.now += 1.0
        assert not network.is_revoked(ROOT.issue("other", ocsp=PLACE))
        network.now += 4.0
        raise SILENT

    network.responders._fetch = fetch
    assert "no answer within 5 s" in network.refused()
    assert not network.is_revoked()


def test_what_can_be_said_at_once_is_no_silence(network: Network) -> None:
    for each in (ConnectionRefusedError(111, "Connection refused"), ValueError("x")):
        network.says = each
        network.refused()
        network.refused()
    assert len(network.asked) == 4


# --- over the network -----------------------------------------------------------------


@pytest.fixture
def responder() -> Iterator[Responder]:
    with Responder() as found:
        yield found


def test_a_question_goes_in_the_address_if_it_is_short(responder: Responder) -> None:
    place = responder.place("x", lambda asked: answer(asked, ROOT, ROOT))
    mine = ROOT.issue("me", ocsp=place)
    assert not Responders().is_revoked(mine.certificate, ROOT.certificate)
    assert responder.asked == [("GET", "x", question(mine))]
    long = question() + bytes(200)
    with pytest.raises(OSError, match=r"^HTTP status 400$"):
        responder.says["y"] = lambda _: 400
        ocsp.ask(responder.place("y"), long)
    assert responder.asked[1] == ("POST", "y", long)


def test_an_answer_that_is_too_long(responder: Responder) -> None:
    place = responder.place("x", lambda _: bytes(ocsp.MAX_BYTES + 1))
    with pytest.raises(ValueError, match=f"^longer than {ocsp.MAX_BYTES} bytes$"):
        ocsp.ask(place, question())


def test_a_responder_that_says_nothing(
    responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocsp, "TIMEOUT_S", 0.05)
    place = responder.place("x", lambda _: None)
    with pytest.raises(TimeoutError):
        ocsp.ask(place, question())
