"""Clients whose certificates name an OCSP responder, that says what it likes, or a list, or both.

Shell. The responder is on loopback. ``asked_clients`` makes the certificates; which of them come in
is compared by `conformance.certificates`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import Authority, Issued
from tests.ocsp import GOOD, REVOKED, UNKNOWN, Responder, Say, answer, refusal

MINUTE_S: Final = 60.0
SILENT_LISTED: Final = "silent, listed as good"
"""The client whose responder says nothing, and whose list is good."""


def asked_clients(root: Authority, responder: Responder, folder: Path) -> dict[str, Issued | None]:
    """Makes the certificates, all signed by ``root`` or below, and the lists in ``folder``."""
    makers = _Makers(root, responder, folder)
    return {
        **makers.by_status(),
        **makers.by_signer(),
        **makers.by_time(),
        **makers.without_answer(),
        **makers.in_chains(),
    }


class _Makers:
    def __init__(self, root: Authority, responder: Responder, folder: Path) -> None:
        self._root = root
        self._responder = responder
        self._good, self._bad = folder / "good.crl", folder / "bad.crl"
        self._revoked: list[Issued] = []
        self._good.write_bytes(root.revoke())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._closed = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def _says(self, **options: Any) -> Say:
        return lambda question: answer(question, self._root, self._root, **options)

    def _issue(
        self, name: str, say: Say | str | None, crl: Path | None = None, **more: Any
    ) -> Issued:
        """Signs a certificate that names a place where ``say`` is asked, or ``say`` itself."""
        place = say if isinstance(say, str) else None
        if callable(say):
            part = name.replace(" ", "-").replace(",", "")
            assert part not in self._responder.says, part
            place = self._responder.place(part, say)
        found = self._root.issue("x", ocsp=place, crl=None if crl is None else crl.as_uri(), **more)
        if crl == self._bad:
            self._revoked.append(found)
            self._bad.write_bytes(self._root.revoke(*self._revoked))
        return found

    def by_status(self) -> Mapping[str, Issued | None]:
        """Returns clients of whom the responder says yes or no, or that it does not know them."""
        good, bad, unknown = (self._says(status=each) for each in (GOOD, REVOKED, UNKNOWN))
        later = self._says(status=REVOKED, revoked_days_ago=-1.0)
        return {
            "good": self._issue("good", good),
            "good, listed as revoked": self._issue("good listed", good, self._bad),
            "revoked": self._issue("revoked", bad),
            "revoked, listed as good": self._issue("revoked listed", bad, self._good),
            "revoked from tomorrow on": self._issue("revoked later", later),
            "unknown": self._issue("unknown", unknown),
            "unknown, listed as good": self._issue("unknown good", unknown, self._good),
            "unknown, listed as revoked": self._issue("unknown bad", unknown, self._bad),
        }

    def by_signer(self) -> Mapping[str, Issued | None]:
        """Returns clients about whom somebody speaks who may, or may not."""
        purpose = [ExtendedKeyUsageOID.OCSP_SIGNING]
        other = Authority("Other")
        signers = {
            "by a responder": self._root.issue("r", purposes=purpose),
            "by a responder without a purpose": self._root.issue("r"),
            "by a responder that has expired": self._root.issue(
                "r", purposes=purpose, days=(-9, -1)
            ),
            "by a responder of another authority": other.issue("r", purposes=purpose),
            "by a responder of a twin": Authority("Root").issue("r", purposes=purpose),
            "by another authority": other,
            "by a twin": Authority("Root"),
        }
        found = {
            name: self._issue(
                name,
                lambda question, signer=signer: answer(  # type: ignore[misc]
                    question, signer, self._root, certificates=[signer.certificate]
                ),
            )
            for name, signer in signers.items()
        }
        keyed = signers["by a responder"]
        found["by a responder, by its key"] = self._issue(
            "by key",
            lambda question: answer(
                question, keyed, self._root, certificates=[keyed.certificate], by_key=True
            ),
        )
        found["by its key"] = self._issue("root by key", self._says(by_key=True))
        found["by a responder that is not shown"] = self._issue(
            "not shown", lambda question: answer(question, keyed, self._root)
        )
        found["another certificate"] = self._issue("serial", self._says(serial=7))
        return found

    def by_time(self) -> Mapping[str, Issued | None]:
        """Returns clients about whom something is said that is too old, or too new."""
        times: dict[str, dict[str, float | None]] = {
            "10 minutes old": {"age_s": 10 * MINUTE_S, "left_s": None},
            "20 minutes old": {"age_s": 20 * MINUTE_S, "left_s": None},
            "good until 10 minutes ago": {"age_s": 60 * MINUTE_S, "left_s": -10 * MINUTE_S},
            "good until 20 minutes ago": {"age_s": 60 * MINUTE_S, "left_s": -20 * MINUTE_S},
            "from in 10 minutes on": {"age_s": -10 * MINUTE_S},
            "from in 20 minutes on": {"age_s": -20 * MINUTE_S},
        }
        return {name: self._issue(name, self._says(**each)) for name, each in times.items()}

    def without_answer(self) -> Mapping[str, Issued | None]:
        """Returns clients whose responder is not there, or says nothing of use."""
        status = ocsp.OCSPResponseStatus
        said: dict[str, Callable[[bytes], bytes | int | None]] = {
            "status 404": lambda _: 404,
            "status 500": lambda _: 500,
            "no OCSP": lambda _: b"<html>",
            "nothing": lambda _: b"",
            "try later": lambda _: refusal(status.TRY_LATER),
            "internal error": lambda _: refusal(status.INTERNAL_ERROR),
            "unauthorized": lambda _: refusal(status.UNAUTHORIZED),
            "silent": lambda _: None,
        }
        found = {name: self._issue(name, say) for name, say in said.items()}
        missing = self._good.with_name("missing.crl")
        return {
            **found,
            "try later, listed as good": self._issue(
                "try later listed", said["try later"], self._good
            ),
            SILENT_LISTED: self._issue("silent good", said["silent"], self._good),
            "not there": self._issue("", self._closed),
            "not there, listed as good": self._issue("", self._closed, self._good),
            "not there, listed as revoked": self._issue("", self._closed, self._bad),
            "not there, nor the list": self._issue("", self._closed, missing),
            "by another way": self._issue("", "ldap://127.0.0.1/x"),
            "names nothing": self._issue("", None),
            "names a list, good": self._issue("", None, self._good),
            "names a list, revoked": self._issue("", None, self._bad),
            "names a list, revoked from tomorrow on": self._revoked_later(),
        }

    def _revoked_later(self) -> Issued:
        file = self._good.with_name("later.crl")
        found = self._issue("", None, file)
        file.write_bytes(self._root.revoke(found, since=1))
        return found

    def in_chains(self) -> Mapping[str, Issued | None]:
        """Returns clients through an authority about which is asked as well."""
        found: dict[str, Issued | None] = {}
        for name, status in (("good", GOOD), ("revoked", REVOKED), ("unknown", UNKNOWN)):
            place = self._responder.place(f"middle-{name}", self._says(status=status))
            middle = Authority("Middle", self._root, ocsp=place)
            say = self._of(middle)
            leaf = middle.issue("x", ocsp=self._responder.place(f"below-{name}", say))
            found[f"through a middle that is {name}"] = leaf
        middle = Authority("Middle", self._root)
        leaf = middle.issue("x", ocsp=self._responder.place("below-none", self._of(middle)))
        found["through a middle that names nothing"] = leaf
        return found

    def _of(self, signer: Authority) -> Say:
        return lambda question: answer(question, signer, signer)
