"""Signs profiles as CMS SignedData (RFC 5652) in DER, with the certificates.

It needs the extra `[sign]` (cryptography), which only a file with `[sign]` imports.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .errors import ConfigError
from .files import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Read = TypeVar("Read")
_MIN_BITS = 2048  # of an RSA key (NIST SP 800-131A, section 3)
_MAX_BYTES = 1024 * 1024  # of a PEM file; a real one has a few thousand


class Signer:
    """A certificate with its key and chain."""

    def __init__(self, certificate: Path, key: Path, chain: Path | None) -> None:
        """Read PEM files; raises OSError and ConfigError."""
        try:
            from cryptography.x509 import load_pem_x509_certificates as parse
        except ImportError as error:
            raise ConfigError.of(
                "certificate",
                "signing needs the package cryptography, which is not installed",
                "pip install 'flask-autoconfig[sign]', or remove [sign]",
            ) from error

        lack = "no certificate in PEM"
        self._certificate, *self._chain = _read("certificate", certificate, parse, lack)
        if chain is not None:
            self._chain += _read("chain", chain, parse, lack)
        self._file = key
        lack = "no RSA or EC key in PEM without a password"
        self._key = _read("key", key, _private_key, lack)
        self._mode = stat.S_IMODE(key.stat().st_mode)
        if self._key.public_key() != self._certificate.public_key():
            message = "it is not the certificate's key"
            raise ConfigError.of("key", message, "give the one made with it")

    def warnings(self) -> Iterator[tuple[str, str, str]]:
        """Yield the key in `[sign]`, message and cure for each file that is not safe."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        certificates = (self._certificate, *self._chain)
        end = min(certificate.not_valid_after_utc for certificate in certificates)
        if end < datetime.now(UTC):
            cure = "renew it: devices warn of what is signed with it"
            yield "certificate", f"the certificate ended on {end:%Y-%m-%d}", cure
        if self._mode & 0o007:
            message = f"every user of the machine may use it ({self._mode:04o})"
            yield "key", message, f"chmod 600 {shlex.quote(str(self._file))}"
        bits = self._key.key_size
        if isinstance(self._key, rsa.RSAPrivateKey) and bits < _MIN_BITS:
            cure = (
                f"make one of {_MIN_BITS} bits, and a certificate for it: "
                f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{_MIN_BITS}"
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


def _read(key: str, path: Path, parse: Callable[[bytes], Read], lack: str) -> Read:
    """Return a parsed file; if it cannot be parsed, the message says what it lacks."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return parse(read_file(path, _MAX_BYTES))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError.of(key, f"{path} has {lack}", "give a PEM file") from error


def _private_key(data: bytes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(data, password=None)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise ValueError("a key of another kind")
