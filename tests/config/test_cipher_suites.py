from __future__ import annotations

import ssl

import pytest

from pyzk.config.cipher_suites import DEFAULT_SUITES, OPENSSL_NAMES, TLS_13_SUITES


@pytest.mark.parametrize(
    ("java", "openssl"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256"),
    ],
)
def test_names_of_suites(java: str, openssl: str) -> None:
    assert OPENSSL_NAMES[java] == openssl


@pytest.mark.parametrize(("java", "openssl"), OPENSSL_NAMES.items())
def test_openssl_knows_every_suite_of_the_table(java: str, openssl: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(openssl)
    found = [each for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert [each["name"] for each in found] == [openssl]
    # The number of a suite is the standard's, and its description names what it is made of.
    parts = found[0]["description"].split()
    exchange = "ECDH" if "ECDHE" in java else "RSA"
    signature = "ECDSA" if "ECDSA" in java else "RSA"
    assert parts[2].startswith(f"Kx={exchange}")
    assert parts[3] == f"Au={signature}"


def test_every_default_is_known() -> None:
    assert set(DEFAULT_SUITES) <= {*OPENSSL_NAMES, *TLS_13_SUITES}
    assert len(set(DEFAULT_SUITES)) == len(DEFAULT_SUITES) == 15
    names = {each["name"] for each in ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).get_ciphers()}
    assert set(TLS_13_SUITES) <= names
