"""Tests of kazoo's suite that this server cannot pass, and why.

Pure. The keys are parts of test ids, as pytest writes them. A test that is listed here and passes
counts as a failure.
"""

from __future__ import annotations

from typing import Final

TLS: Final = "the server has no TLS"
SASL: Final = "the server has no SASL"
KERBEROS: Final = "needs a Kerberos installation; kazoo skips it"

CANNOT_PASS: Final[dict[str, str]] = {
    "test_client.py::TestSSLClient::": TLS,
    "test_sasl.py::TestLegacySASLDigestAuthentication::test_connect_sasl_auth": SASL,
    "test_sasl.py::TestSASLDigestAuthentication::test_connect_sasl_auth": SASL,
}


def reason(test_id: str) -> str | None:
    """Returns why a test cannot pass, None if it is not listed."""
    return next((why for part, why in CANNOT_PASS.items() if part in test_id), None)
