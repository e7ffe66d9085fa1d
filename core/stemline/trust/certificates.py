"""Keys and certificates of signatures: ECDSA on P-256 with SHA-256 (ES256), X.509 certificates.

The one module that imports `cryptography`; others import it when they need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_P = ParamSpec("_P")
_T = TypeVar("_T")
_VALID_DAYS = 3650
_NUMBER_BYTES = 32  # of each of the two numbers of a signature
_ES256 = ec.ECDSA(hashes.SHA256())


class CertificateError(ValueError):
    """A certificate or signature that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as others see it.

    Attributes:
        name: Common name.
        fingerprint: SHA-256 of the DER form.
        valid_from: Start of its validity.
        valid_until: End of its validity.
        der: The DER form.
    """

    name: str
    fingerprint: str
    valid_from: datetime
    valid_until: datetime
    der: bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key of an installation with its certificates: its own, and the root that issued that."""

    key: ec.EllipticCurvePrivateKey
    certificate: Certificate
    root: Certificate

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`: 64 bytes, the numbers r and s (RFC 7518, 3.4)."""
        r, s = utils.decode_dss_signature(self.key.sign(data, _ES256))
        numbers: list[int] = [r, s]
        return b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in numbers)

    def to_pem(self) -> tuple[bytes, bytes]:
        """Return the private key and the chain of certificates, as the signer of C2PA takes them."""
        chain = b"".join(map(pem_of, (self.certificate, self.root)))
        return _private_pem(self.key), chain


def make_signing_key(name: str, start: datetime) -> bytes:
    """Return a new key and its certificates as PEM: the private key, its certificate, the root certificate.

    The root's own key is discarded, so no other certificate can be issued under it.

    Args:
        name: Common name of both certificates.
        start: Start of their ten years, in UTC.
    """
    key, root_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    subject, issuer = (
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, kind), _common_name(name)])
        for kind in ("Stemline records", "Stemline root")
    )
    root = _draft(issuer, issuer, root_key, start, is_root=True).sign(root_key, hashes.SHA256())
    own = _draft(subject, issuer, key, start, is_root=False)
    own = own.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    leaf = own.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
    ).sign(root_key, hashes.SHA256())
    parts: list[bytes] = [_private_pem(key), *(each.public_bytes(serialization.Encoding.PEM) for each in (leaf, root))]
    return b"".join(parts)


def read_signing_key(pem: bytes) -> SigningKey:
    """Read what `make_signing_key` returned. Raises CertificateError."""
    return _refusing(_read_signing_key, pem)


def read_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM text. Raises CertificateError."""
    return tuple(map(_facts, _refusing(x509.load_pem_x509_certificates, pem)))


def pem_of(certificate: Certificate) -> bytes:
    """Return the PEM form of a certificate."""
    pem: bytes = x509.load_der_x509_certificate(certificate.der).public_bytes(serialization.Encoding.PEM)
    return pem


def check_root(certificate: Certificate) -> None:
    """Raise CertificateError unless the certificate is a root for ES256 keys that signed itself."""
    _refusing(_check_root, x509.load_der_x509_certificate(certificate.der))


def check_signature(data: bytes, signature: bytes, chain: Sequence[bytes]) -> tuple[Certificate, Certificate]:
    """Check a signature, and that the root of its chain issued the certificate of its key.

    Args:
        data: The signed bytes.
        signature: As `SigningKey.sign` returns it.
        chain: The certificate of the key and its root, in DER.

    Returns:
        The two certificates. Whether the root is trusted and whether they are valid now is left to the caller.

    Raises:
        CertificateError: Something does not match.
    """
    return _refusing(_check_signature, data, signature, chain)


def _refusing(function: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Call a function on untrusted certificates. Raises CertificateError in place of whatever it raises."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return function(*args, **named)
    except Exception as error:  # damaged certificates raise errors of many kinds
        raise CertificateError(str(error) or type(error).__name__) from error


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def _common_name(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, name)


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, *, is_root: bool
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_root,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _facts(certificate: x509.Certificate) -> Certificate:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Certificate(
        name=str(names[0].value) if names else "",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        valid_from=certificate.not_valid_before_utc.astimezone(UTC),
        valid_until=certificate.not_valid_after_utc.astimezone(UTC),
        der=der,
    )


def _read_signing_key(pem: bytes) -> SigningKey:
    key = serialization.load_pem_private_key(pem, None)
    leaf, root = x509.load_pem_x509_certificates(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != leaf.public_key():
        raise CertificateError("the key and its certificate do not belong together")
    _check_issued(leaf, root)
    return SigningKey(key, _facts(leaf), _facts(root))


def _check_signature(data: bytes, signature: bytes, chain: Sequence[bytes]) -> tuple[Certificate, Certificate]:
    leaf, root = (x509.load_der_x509_certificate(der) for der in chain)
    _check_issued(leaf, root)
    if len(signature) != 2 * _NUMBER_BYTES:
        raise CertificateError("the signature has another length")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_NUMBER_BYTES], signature[_NUMBER_BYTES:]))
    _key_of(leaf).verify(utils.encode_dss_signature(r, s), data, _ES256)
    return _facts(leaf), _facts(root)


def _check_issued(leaf: x509.Certificate, root: x509.Certificate) -> None:
    _check_root(root)
    leaf.verify_directly_issued_by(root)
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    if constraints.ca or not usage.digital_signature:
        raise CertificateError("the certificate is not one for signing records")


def _check_root(root: x509.Certificate) -> None:
    _key_of(root)
    root.verify_directly_issued_by(root)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    if not constraints.ca or not usage.key_cert_sign:
        raise CertificateError("the certificate is not a root")


def _key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError("the key of the certificate is not on the curve P-256")
    return key
