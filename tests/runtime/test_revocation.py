from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pyzk.config.tls import TlsConfig
from pyzk.runtime import revocation
from pyzk.runtime.ocsp import Responders
from pyzk.runtime.revocation import Revocation
from pyzk.runtime.tls import TlsContexts, TlsPeerError
from tests.certificates import Authority, Issued, write
from tests.ocsp import GOOD, REVOKED, Responder, answer

ROOT = Authority("Root")


class Lists:
    """Revocation lists as files, and certificates that name them."""

    def __init__(self, path: Path) -> None:
        self.path = path / "list.crl"
        self.place = self.path.as_uri()
        self.revocation = Revocation("ssl.crl")

    def issue(self, signer: Authority = ROOT) -> Issued:
        return signer.issue("me", crl=self.place)

    def why_not(self, certificate: Issued, *trusted: Authority) -> str | None:
        anchors = [each.certificate for each in trusted or (ROOT,)]
        chain = (*certificate.chain_der, *(each.der for each in trusted or (ROOT,)))
        return self.revocation.why_not(chain, anchors)


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    return Lists(tmp_path)


def test_a_certificate_is_revoked_or_not(lists: Lists) -> None:
    good, bad = lists.issue(), lists.issue()
    write(lists.path, ROOT.revoke(bad))
    assert lists.why_not(good) is None
    assert lists.why_not(bad) == "is revoked"


def test_who_will_be_revoked_is_not_yet(lists: Lists) -> None:
    mine = lists.issue()
    write(lists.path, ROOT.revoke(mine, since=1))
    assert lists.why_not(mine) is None


def test_a_list_that_cannot_be_had(lists: Lists) -> None:
    expected = f"cannot be looked up in the revocation list at {lists.place}"
    mine = lists.issue()
    assert lists.why_not(mine) == expected
    for content in (
        b"no list",
        Authority("Root").revoke(),  # of the same name, with another key
        Authority("Other").revoke(),
        ROOT.revoke(days=(-9, -1)),
        ROOT.revoke(days=(1, 9)),
        bytes(revocation.MAX_BYTES + 1),
    ):
        lists.revocation._kept.clear()
        write(lists.path, content)
        assert lists.why_not(mine) == expected, content[:10]


def test_a_certificate_that_names_no_list_is_refused(lists: Lists) -> None:
    reason = "names no revocation list, and ssl.crl asks for one"
    assert lists.why_not(ROOT.issue("me")) == reason
    assert lists.why_not(ROOT.issue("me", crl="ldap://10.0.0.1/x")) == reason


def test_what_is_trusted_itself_is_not_looked_up() -> None:
    mine = ROOT.issue("me")
    assert Revocation("ssl.crl").why_not((mine.der,), [mine.certificate]) is None


def test_the_whole_chain_is_looked_up(lists: Lists, tmp_path: Path) -> None:
    middle = Authority("Middle", ROOT)
    mine = lists.issue(middle)
    write(lists.path, middle.revoke())
    assert lists.why_not(mine) == "names no revocation list, and ssl.crl asks for one"
    assert lists.revocation.why_not(mine.chain_der, [middle.certificate]) is None
    assert lists.revocation.why_not((b"x",), []) == "cannot be read"


def test_a_list_is_kept_for_a_while(lists: Lists) -> None:
    mine = lists.issue()
    write(lists.path, ROOT.revoke())
    assert lists.why_not(mine) is None
    write(lists.path, ROOT.revoke(mine))
    assert lists.why_not(mine) is None
    kept = lists.revocation._kept
    until, found = kept[lists.place]
    kept[lists.place] = until - timedelta(seconds=30), found
    assert lists.why_not(mine) == "is revoked"


def test_only_so_many_lists_are_kept(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MOST_LISTS", 2)
    for number in range(4):
        lists.why_not(ROOT.issue("me", crl=f"{lists.place}{number}"))
    assert list(lists.revocation._kept) == [f"{lists.place}2", f"{lists.place}3"]


# --- with responders ------------------------------------------------------------------


class Both:
    """A responder that says what the test says, and a list."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self.says: bytes | OSError | None = None
        """None is the right answer."""
        self.status = GOOD
        self.questions: list[bytes] = []
        lists.revocation = Revocation("ssl.ocsp", Responders(self.fetch))

    def fetch(self, place: str, question: bytes) -> bytes:
        self.questions.append(question)
        if isinstance(self.says, OSError):
            raise self.says
        return answer(question, ROOT, ROOT, self.status) if self.says is None else self.says


@pytest.fixture
def both(lists: Lists) -> Both:
    return Both(lists)


def test_the_responder_is_asked_first(both: Both, lists: Lists) -> None:
    mine = ROOT.issue("me", ocsp="http://r", crl=lists.place)
    write(lists.path, ROOT.revoke(mine))
    assert lists.why_not(mine) is None  # nobody looks into the list
    both.status = REVOKED
    other = ROOT.issue("me", ocsp="http://r", crl=lists.place)
    assert lists.why_not(other) == "is revoked"


def test_the_list_is_the_second_try(both: Both, lists: Lists) -> None:
    both.says = OSError("down")
    mine = ROOT.issue("me", ocsp="http://r", crl=lists.place)
    without = ROOT.issue("me", crl=lists.place)
    assert lists.why_not(mine) == (
        "cannot be looked up at the OCSP responder http://r: down;"
        f" it cannot be looked up in the revocation list at {lists.place}"
    )
    lists.revocation._kept.clear()
    write(lists.path, ROOT.revoke())
    assert lists.why_not(mine) is None
    assert lists.why_not(without) is None
    lists.revocation._kept.clear()
    write(lists.path, ROOT.revoke(mine, without))
    assert lists.why_not(mine) == "is revoked"
    assert lists.why_not(without) == "is revoked"
    assert lists.why_not(ROOT.issue("me")) == (
        "names no OCSP responder; it names no revocation list, and ssl.ocsp asks for one or the"
        " other"
    )


def test_the_responder_is_asked_about_the_whole_chain(both: Both, lists: Lists) -> None:
    middle = Authority("Middle", ROOT, ocsp="http://r")
    mine = middle.issue("me", ocsp="http://m")
    lists.revocation = Revocation(
        "ssl.ocsp",
        Responders(
            lambda place, question: answer(
                question,
                ROOT if place == "http://r" else middle,
                ROOT if place == "http://r" else middle,
                both.status if place == "http://r" else GOOD,
            )
        ),
    )
    assert lists.why_not(mine) is None
    both.status = REVOKED
    lists.revocation._responders._kept.clear()  # type: ignore[union-attr]
    assert lists.why_not(mine) == "is revoked"
    assert lists.revocation.why_not(mine.chain_der, [middle.certificate]) is None


def test_the_signer_is_told_from_others_of_its_name(both: Both, lists: Lists) -> None:
    mine = ROOT.issue("me", ocsp="http://r")
    assert lists.why_not(mine, Authority("Root"), ROOT) is None
    assert "signed by nobody who is known here" in str(lists.why_not(mine, Authority("Root")))


def test_responders_are_asked_where_ssl_ocsp_says_so(tmp_path: Path) -> None:
    with Responder() as responder:
        place = responder.place("x", lambda question: answer(question, ROOT, ROOT, REVOKED))
        bad = ROOT.issue("bad", ocsp=place)
        config = TlsConfig(
            key_store=write(tmp_path / "k.pem", ROOT.issue().pem()),
            trust_store=write(tmp_path / "t.pem", ROOT.certificate_pem),
            ocsp=True,
        )
        contexts = TlsContexts(config)
        assert contexts.may_wait
        with pytest.raises(TlsPeerError, match=r"^the certificate of 10\.0\.0\.1 is revoked$"):
            contexts.check_peer((bad.der, ROOT.der), "", "10.0.0.1", is_server=False)


def test_lists_are_asked_for_where_ssl_crl_says_so(lists: Lists, tmp_path: Path) -> None:
    bad = lists.issue()
    write(lists.path, ROOT.revoke(bad))
    config = TlsConfig(
        key_store=write(tmp_path / "k.pem", ROOT.issue().pem()),
        trust_store=write(tmp_path / "t.pem", ROOT.certificate_pem),
        crl=True,
    )
    contexts = TlsContexts(config)
    assert contexts.may_wait
    with pytest.raises(TlsPeerError, match=r"^the certificate of 10\.0\.0\.1 is revoked$"):
        contexts.check_peer((bad.der, ROOT.der), "", "10.0.0.1", is_server=False)
    # Without the chain, the store knows who has signed it.
    with pytest.raises(TlsPeerError, match="is revoked"):
        contexts.check_peer((bad.der,), "", "10.0.0.1", is_server=False)
