from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pyzk.config.tls import TlsConfig
from pyzk.runtime import revocation
from pyzk.runtime.tls import TlsContexts, TlsPeerError
from tests.certificates import Authority, Issued, write

ROOT = Authority("Root")


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    revocation._kept.clear()


class Lists:
    """Revocation lists as files, and certificates that name them."""

    def __init__(self, path: Path) -> None:
        self.path = path / "list.crl"
        self.place = self.path.as_uri()

    def issue(self, signer: Authority = ROOT) -> Issued:
        return signer.issue("me", crl=self.place)

    def why_not(self, certificate: Issued, *trusted: Authority) -> str | None:
        anchors = [each.certificate for each in trusted or (ROOT,)]
        chain = (*certificate.chain_der, *(each.der for each in trusted or (ROOT,)))
        return revocation.why_not(chain, anchors)


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    return Lists(tmp_path)


def test_a_certificate_is_revoked_or_not(lists: Lists) -> None:
    good, bad = lists.issue(), lists.issue()
    write(lists.path, ROOT.revoke(bad))
    assert lists.why_not(good) is None
    assert lists.why_not(bad) == "is revoked"


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
        revocation._kept.clear()
        write(lists.path, content)
        assert lists.why_not(mine) == expected, content[:10]


def test_a_certificate_that_names_no_list_is_refused(lists: Lists) -> None:
    reason = "names no revocation list, and ssl.crl asks for one"
    assert lists.why_not(ROOT.issue("me")) == reason
    assert lists.why_not(ROOT.issue("me", crl="ldap://10.0.0.1/x")) == reason


def test_what_is_trusted_itself_is_not_looked_up() -> None:
    mine = ROOT.issue("me")
    assert revocation.why_not((mine.der,), [mine.certificate]) is None


def test_the_whole_chain_is_looked_up(lists: Lists, tmp_path: Path) -> None:
    middle = Authority("Middle", ROOT)
    mine = lists.issue(middle)
    write(lists.path, middle.revoke())
    assert lists.why_not(mine) == "names no revocation list, and ssl.crl asks for one"
    assert revocation.why_not(mine.chain_der, [middle.certificate]) is None
    assert revocation.why_not((b"x",), []) == "cannot be read"


def test_a_list_is_kept_for_a_while(lists: Lists) -> None:
    mine = lists.issue()
    write(lists.path, ROOT.revoke())
    assert lists.why_not(mine) is None
    write(lists.path, ROOT.revoke(mine))
    assert lists.why_not(mine) is None
    until, found = revocation._kept[lists.place]
    revocation._kept[lists.place] = until - timedelta(seconds=30), found
    assert lists.why_not(mine) == "is revoked"


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
