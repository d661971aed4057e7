"""Key stores and trust stores: PEM, PKCS12 and JKS files to certificates and private keys.

Shell. It opens no files, but it needs the package cryptography (extra `tls`), and is imported only
where TLS is asked for. As in the JDK, a file that is called JKS or PKCS12 may be either, for
keytool writes PKCS12 whatever the name is.
ZooKeeper: FileKeyStoreLoader and its kinds, KeyStoreFileType, PemReader.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from pyzk.runtime import jks

PEM: Final = "PEM"
JKS: Final = "JKS"
PKCS12: Final = "PKCS12"
BCFKS: Final = "BCFKS"

_KINDS: Final = {".jks": JKS, ".pem": PEM, ".p12": PKCS12, ".bcfks": BCFKS}
_PEM_KEY: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)
_PEM_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END", re.DOTALL
)
_WRONG_PASSWORD: Final = "the password is wrong, or the file is damaged"  # noqa: S105

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey


class StoreError(Exception):
    """A store that is no use; the text says why, and what to do."""


class KeyMaterial(NamedTuple):
    """A private key and the certificates that prove whose it is, its own first."""

    key: PrivateKey
    chain: tuple[x509.Certificate, ...]


def kind_of(path: str, given: str | None, type_key: str = "the type") -> str:
    """Return what kind of store a file is, by what was said with ``type_key`` or else by its name.
    Raises StoreError."""
    kind = given or _KINDS.get(path[path.rfind(".") :] if "." in path else "")
    if kind is None:
        raise StoreError(
            "its name does not tell the kind of the file: it ends in none of"
            f" {', '.join(_KINDS)}; set {type_key}"
        )
    if kind == BCFKS:
        raise StoreError(
            f"{path} is a BCFKS store, Bouncy Castle's own format, which pyzk cannot read; convert"
            " it to PKCS12 (keytool -importkeystore -deststoretype PKCS12)"
        )
    return kind


def read_keys(content: bytes, kind: str, password: str) -> KeyMaterial:
    """Return the first key of a store. Raises StoreError."""
    if kind == PEM:
        return _pem_keys(content, password)
    if content.startswith(jks.MAGIC):
        return _jks_keys(content, password)
    bundle = _pkcs12(content, password)
    if bundle.key is None or bundle.cert is None:
        raise StoreError("it has no private key; this is the store of the server's own certificate")
    others = [each.certificate for each in bundle.additional_certs]
    own = bundle.cert.certificate
    return KeyMaterial(_usable(bundle.key), (own, *_chain_above(own, others)))


def read_certificates(content: bytes, kind: str, password: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates that a store says are trusted. Raises StoreError."""
    if kind == PEM:
        found = _pem_certificates(content)
    elif content.startswith(jks.MAGIC):
        found = _certificates(_jks(content, password).certificates)
    else:
        bundle = _pkcs12(content, password)
        found = tuple(each.certificate for each in bundle.additional_certs)
        if bundle.cert is not None and bundle.key is None:
            found = (bundle.cert.certificate, *found)
        elif bundle.cert is not None:
            # The chain of a key is no reason to trust who signed it: so the JDK.
            above = _chain_above(bundle.cert.certificate, found)
            found = tuple(each for each in found if each not in above)
    if not found:
        raise StoreError("it has no trusted certificates")
    return found


# --- the kinds ------------------------------------------------------------------------


def _pem_keys(content: bytes, password: str) -> KeyMaterial:
    match = _PEM_KEY.search(content)
    if match is None:
        raise StoreError("it has no private key; key and certificates must be in one file")
    is_encrypted = b"ENCRYPTED" in match.group()
    if is_encrypted and not password:
        raise StoreError("the private key is encrypted, and no password is set")
    if password and not is_encrypted:
        raise StoreError("the private key is not encrypted, but a password is set; remove one")
    try:
        key = serialization.load_pem_private_key(
            match.group() + b"\n", password.encode() if password else None
        )
    except (ValueError, TypeError):
        reason = _WRONG_PASSWORD if password else "the private key is damaged"
        raise StoreError(reason) from None
    chain = _pem_certificates(content)
    if not chain:
        raise StoreError("it has no certificate; key and certificates must be in one file")
    return KeyMaterial(_usable(key), chain)


def _pem_certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    found = []
    for match in _PEM_CERTIFICATE.finditer(content):
        text = b"-----BEGIN CERTIFICATE-----%s-----END CERTIFICATE-----\n" % match.group(1)
        try:
            found.append(x509.load_pem_x509_certificate(text))
        except ValueError:
            raise StoreError(f"certificate {len(found) + 1} in it is damaged") from None
    return tuple(found)


def _jks(content: bytes, password: str) -> jks.Jks:
    try:
        return jks.parse(content, password)
    except jks.JksError as error:
        raise StoreError(str(error)) from None


def _jks_keys(content: bytes, password: str) -> KeyMaterial:
    store = _jks(content, password)
    if not store.keys:
        raise StoreError("it has no private key; this is the store of the server's own certificate")
    entry = store.keys[0]
    try:
        key = serialization.load_der_private_key(entry.key(password), None)
    except jks.JksError as error:
        raise StoreError(str(error)) from None
    except ValueError:
        raise StoreError(f"the key {entry.alias!r} is damaged") from None
    return KeyMaterial(_usable(key), _certificates(entry.chain))


def _certificates(found: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(map(x509.load_der_x509_certificate, found))
    except ValueError:
        raise StoreError("a certificate in it is damaged") from None


def _pkcs12(content: bytes, password: str) -> pkcs12.PKCS12KeyAndCertificates:
    if content.startswith(jks.JCEKS_MAGIC):
        raise StoreError("it is a JCEKS store; convert it to PKCS12 (keytool -importkeystore)")
    tries = [password.encode()] if password else [None, b""]
    for each in tries:
        try:
            return pkcs12.load_pkcs12(content, each)
        except ValueError:
            continue
    if content.lstrip().startswith(b"-----BEGIN"):
        raise StoreError("it is a PEM file; set the type to PEM, or name it *.pem")
    reason = _WRONG_PASSWORD if password else jks.NO_PASSWORD
    raise StoreError(f"{reason}; it must be a PKCS12 or JKS store")


# --- keys and chains ------------------------------------------------------------------


def _usable(key: object) -> PrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey):
        raise StoreError("the private key is neither RSA nor EC, nor DSA: TLS in Java has no other")
    return key


def _chain_above(
    own: x509.Certificate, others: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Return who signed a certificate, who signed that, and so on, as far as they are there."""
    chain: list[x509.Certificate] = []
    last = own
    while last.issuer != last.subject:
        above = next(
            (each for each in others if each.subject == last.issuer and each not in chain), None
        )
        if above is None:
            break
        chain.append(above)
        last = above
    return tuple(chain)
