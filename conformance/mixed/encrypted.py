"""Mixed ensembles whose members talk TLS: the same for all, and turned to TLS while they work.

Shell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from conformance.mixed import compare, exercise
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.load import Load
from conformance.mixed.members import PYZK, check, implementation
from conformance.mixed.scenario import VERSIONS, Scenario

TLS: Final = {"sslQuorum": "true"}
BOTH: Final = {"portUnification": "true"}
PLAIN: Final[Mapping[str, str]] = {}
CHECKING_NAMES: Final = {"fips-mode": "false"}
"""Without it members of 3.8.2 and later do not compare host names."""
STEPS: Final = (BOTH, TLS | BOTH, TLS, TLS | BOTH, BOTH, PLAIN)
"""From plaintext to TLS and back, each a restart of every member."""


class EncryptedEnsemble(Ensemble):
    """An ensemble with one authority, and a certificate for loopback."""

    def make_stores(self) -> Mapping[str, str]:
        """Writes the stores; returns the lines of zoo.cfg that name them."""
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1", "localhost")
        # Java reads keys in PKCS 8 only.
        key = load_pem_private_key(own.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in own.cert_chain_pems)
        keys = self._write("keys.pem", pem + chain)
        trusted = self._write("trusted.pem", authority.cert_pem.bytes())
        return {
            "ssl.quorum.keyStore.location": keys,
            "ssl.quorum.keyStore.type": "PEM",
            "ssl.quorum.trustStore.location": trusted,
            "ssl.quorum.trustStore.type": "PEM",
        }

    def _write(self, name: str, content: bytes) -> str:
        file = Path(self.root) / name
        file.write_bytes(content)
        return str(file)


def composition(names: list[str], settings: Mapping[str, str]) -> str:
    """Three voters, of which the last leads: all exercises through each, and all agree."""
    with EncryptedEnsemble([implementation(name) for name in names]) as ensemble:
        ensemble.config |= {**ensemble.make_stores(), **settings}
        ensemble.start(leader=len(names))
        words = exercise.everything(ensemble)
        return f"{words}; {compare.all_agree(ensemble)}"


def turned(names: list[str]) -> str:
    """Each member is restarted with the next step while kazoo clients work."""
    with EncryptedEnsemble([implementation(name) for name in names]) as ensemble:
        stores = ensemble.make_stores()
        plain = ensemble.config
        ensemble.start()
        with Load(ensemble.hosts) as load:
            load.start()
            load.progress()
            for settings in STEPS:
                ensemble.config = plain | {**stores, **settings}
                leader = ensemble.leader()
                for member in sorted(ensemble.voters, key=lambda m: (m is leader, m.sid)):
                    member.stop()
                    load.progress()
                    ensemble.start_member(member.sid)
                    ensemble.wait_serving()
                    load.progress()
            words = load.finish()
        restarts = sum(member.starts for member in ensemble.voters)
        check(restarts == (1 + len(STEPS)) * len(names), f"{restarts} starts")
        return f"{words}; {restarts} starts; {compare.all_agree(ensemble)}"


def scenarios() -> Iterator[Scenario]:
    """Every mixture of three led by each, and the way to TLS and back."""
    for version in VERSIONS:
        for names in (
            [version, PYZK, PYZK],
            [PYZK, PYZK, version],
            [version, version, PYZK],
            [PYZK, version, version],
        ):
            for word, settings in (("tls", TLS), ("tls-names", TLS | CHECKING_NAMES)):
                yield Scenario(
                    f"{word}-{'-'.join(names)}",
                    "members talk TLS: everything through each member",
                    partial(composition, names, settings),
                )
        yield Scenario(
            f"turned-to-tls-{version}-pyzk-pyzk",
            "from plaintext to TLS and back while kazoo clients work",
            partial(turned, [version, PYZK, PYZK]),
            600,
        )
