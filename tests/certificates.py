"""Certificates for tests: authorities and what they sign, with any name, any dates, any lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

NOW = datetime.now(UTC)


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Issued:
    """A certificate with its key, and who has signed it."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        signers: Sequence[x509.Certificate] = (),
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.signers = tuple(signers)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.signers))

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pem(self, password: str = "") -> bytes:
        """The key and its chain, as a key store of the kind PEM has them."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        signers = b"".join(each.public_bytes(Encoding.PEM) for each in self.signers)
        return key + self.certificate_pem + signers

    def pkcs12(self, password: str) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            b"me",
            self.key,
            self.certificate,
            self.signers,
            BestAvailableEncryption(password.encode()),
        )


class Authority(Issued):
    """Signs certificates; with ``parent`` it is itself signed by another one."""

    def __init__(
        self,
        name: str = "Test CA",
        parent: Authority | None = None,
        days: tuple[float, float] = (-1, 30),
        ocsp: str | None = None,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = named(name)
        builder = _builder(subject, parent.certificate.subject if parent else subject, key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        if ocsp is not None:
            builder = builder.add_extension(_responder(ocsp), False)
        signed = builder.sign((parent or self._of(key)).key, hashes.SHA256())
        above = (parent.certificate, *parent.signers) if parent else ()
        super().__init__(signed, key, above)

    @staticmethod
    def _of(key: ec.EllipticCurvePrivateKey) -> Issued:
        return Issued(None, key)  # type: ignore[arg-type]  # only the key is asked for

    def issue(
        self,
        subject: str | x509.Name = "localhost",
        *,
        names: Sequence[str] = (),
        days: tuple[float, float] = (-1, 30),
        crl: str | None = None,
        ocsp: str | None = None,
        purposes: Sequence[x509.ObjectIdentifier] = (),
    ) -> Issued:
        """Sign a certificate for a subject. ``names`` are hosts, addresses or URIs; ``days`` from
        now it is valid; ``crl`` is where the list of those revoked is, ``ocsp`` where the responder
        is; ``purposes`` are what it is for, if it says so."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(subject) if isinstance(subject, str) else subject
        builder = _builder(name, self.certificate.subject, key, days)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(list(map(_general, names))),
                critical=not list(name),
            )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if crl is not None:
            place = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([place]), False)
        if ocsp is not None:
            builder = builder.add_extension(_responder(ocsp), False)
        signers = (self.certificate, *self.signers)
        return Issued(builder.sign(self.key, hashes.SHA256()), key, signers[:-1])

    def revoke(
        self, *revoked: Issued, days: tuple[float, float] = (-1, 1), since: float = -1
    ) -> bytes:
        """The list of those revoked, as DER; ``days`` from now it is valid, and they are revoked
        ``since`` days from now."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW + timedelta(days=days[0]))
            .next_update(NOW + timedelta(days=days[1]))
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(NOW + timedelta(days=since))
                .build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: tuple[float, float],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )


def _responder(place: str) -> x509.AuthorityInformationAccess:
    name = x509.UniformResourceIdentifier(place)
    one = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, name)
    return x509.AuthorityInformationAccess([one])


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write(path: Path, content: bytes) -> str:
    """Write a file for its owner alone, and return its path as a key of zoo.cfg has it."""
    path.touch(0o600)
    path.write_bytes(content)
    return str(path)
