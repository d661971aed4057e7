"""Mixed ensembles whose members talk TLS: the same for all, and turned to TLS while they work.

Shell.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from conformance.mixed.guarded import Settings, composition, turned
from conformance.mixed.members import PYZK
from conformance.mixed.scenario import VERSIONS, Scenario

TLS: Final = {"sslQuorum": "true"}
BOTH: Final = {"portUnification": "true"}
PLAIN: Final[Settings] = {}
CHECKING_NAMES: Final = {"fips-mode": "false"}
"""Without it members of 3.8.2 and later do not compare host names."""
STEPS: Final = (BOTH, TLS | BOTH, TLS, TLS | BOTH, BOTH, PLAIN)
"""From plaintext to TLS and back, each a restart of every member."""


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
            f"turned-to-tls-pyzk-{version}-pyzk",
            "from plaintext to TLS and back while kazoo clients work",
            partial(turned, [PYZK, version, PYZK], PLAIN, STEPS),
            600,
        )
