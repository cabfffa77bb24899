"""Signs profiles as CMS SignedData (RFC 5652) in DER, with the certificates.

It needs the extra `[sign]` (cryptography), which only a file with `[sign]` imports.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .files import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate


_LEAST_BITS = 2048  # of an RSA key (NIST SP 800-131A, section 3)
_MOST_BYTES = 1024 * 1024  # of a PEM file; a real one has a few thousand


class UnusableError(ValueError):
    """A file that cannot be used; `key` is its key in `[sign]`, `cure` what to do."""

    def __init__(self, key: str, message: str, cure: str) -> None:
        self.key = key
        self.message = message
        self.cure = cure
        super().__init__(message)


class Signer:
    """A certificate with its key and chain."""

    def __init__(self, certificate: Path, key: Path, chain: Path | None) -> None:
        """Read PEM files; raises UnusableError."""
        try:
            import cryptography  # noqa: F401
        except ImportError as error:
            raise UnusableError(
                "certificate",
                "signing needs the package cryptography, which is not installed",
                "pip install 'flask-autoconfig[sign]', or remove [sign]",
            ) from error

        certificates = _certificates("certificate", certificate)
        self._certificate = certificates[0]
        self._chain = certificates[1:]
        if chain is not None:
            self._chain += _certificates("chain", chain)

        self._file = key
        self._key = _private_key(key)
        self._mode = stat.S_IMODE(key.stat().st_mode)
        if self._key.public_key() != self._certificate.public_key():
            raise UnusableError(
                "key", "it is not the certificate's key", "give the one made with it"
            )

    def warnings(self) -> Iterator[tuple[str, str, str]]:
        """Yield what is unsafe: the key in `[sign]`, a message and a cure."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        ends = min(it.not_valid_after_utc for it in (self._certificate, *self._chain))
        if ends < datetime.now(UTC):
            cure = "renew it: devices warn of what is signed with it"
            yield "certificate", f"the certificate ended on {ends:%Y-%m-%d}", cure
        if self._mode & 0o007:
            cure = f"chmod 600 {shlex.quote(str(self._file))}"
            yield (
                "key",
                f"every user of the machine may use it ({self._mode:04o})",
                cure,
            )
        bits = self._key.key_size
        if isinstance(self._key, rsa.RSAPrivateKey) and bits < _LEAST_BITS:
            cure = (
                f"make one of {_LEAST_BITS} bits, and a certificate for it: "
                f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{_LEAST_BITS}"
            )
            yield "key", f"an RSA key of {bits} bits can be broken", cure

    def sign(self, document: bytes) -> bytes:
        """Return the signed document in DER."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

        builder = pkcs7.PKCS7SignatureBuilder().set_data(document)
        builder = builder.add_signer(self._certificate, self._key, SHA256())
        for certificate in self._chain:
            builder = builder.add_certificate(certificate)
        return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def _read(key: str, path: Path) -> bytes:
    try:
        return read_file(path, _MOST_BYTES)
    except OSError as error:
        raise UnusableError(
            key, f"cannot read {path}: {error.strerror}", "give a PEM file"
        ) from error


def _certificates(key: str, path: Path) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    data = _read(key, path)
    try:
        return load_pem_x509_certificates(data)
    except ValueError as error:
        raise UnusableError(
            key, f"{path} has no certificate in PEM", "give a PEM file"
        ) from error


def _private_key(path: Path) -> RSAPrivateKey | EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read("key", path)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableError(
            "key",
            f"{path} has no private key in PEM, or one with a password",
            "give a PEM file without a password",
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise UnusableError("key", f"{path} is no RSA or EC key", "give one of these")
    return key
