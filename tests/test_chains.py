"""Chains of certificates that a server may send, and what a real handshake says of each."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from strangers import server
from support import Patch

from flask_autoconfig.tools.net.common import ProbeError
from flask_autoconfig.tools.net.tls import (
    refusal_of_tls12,
    start_tls,
)

HOST = "imap.example.test"
PEM = serialization.Encoding.PEM
NOW = datetime.now(UTC)
Made = tuple[x509.Certificate, Any]  # and its key


def issued(
    name: str,
    by: Made | None = None,
    *extensions: x509.ExtensionType,
    days: int = 90,
    key: Any = None,
) -> Made:
    """Issue a certificate, by itself without *by*."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (by[0].subject, by[1]) if by else (subject, key)
    begins, ends = NOW - timedelta(days=400), NOW + timedelta(days=days)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(ends)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)
NAMES = x509.SubjectAlternativeName([x509.DNSName(HOST)])
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
WHERE = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            x509.oid.AuthorityInformationAccessOID.CA_ISSUERS,
            x509.UniformResourceIdentifier("http://r3.example.test/"),
        )
    ]
)
SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too short on purpose


def authority(name: str, by: Made | None = None, days: int = 90) -> Made:
    return issued(name, by, AUTHORITY, days=days)


def leaf(by: Made, *more: x509.ExtensionType, **options: Any) -> Made:
    return issued("x", by, NAMES, *more, **options)


ROOT, STRANGER = authority("Root"), authority("Stranger")
ENDED = authority("Ended root", days=-3)
R3, R4, OLD = authority("R3", ROOT), authority("R4", ROOT), authority("Old", ROOT, -3)
OF_ENDED, UNKNOWN = authority("R5", ENDED), authority("R6", STRANGER)
WHOLE = leaf(R3)
# What a server sends, the kind of problem and a part of its text.
CHAINS: dict[str, tuple[list[Made], str, str]] = {
    "a whole chain": ([WHOLE, R3], "", ""),
    "another authority's intermediate": (
        *([WHOLE, R4], "wrong-issuer", "sends that of R4, but R3 issued"),
    ),
    "no intermediate": ([WHOLE], "no-issuer", "that of R3"),
    "no intermediate, which has a URL": ([leaf(R3, WHERE)], "chain", "that of R3"),
    "the root instead": ([WHOLE, ROOT], "no-issuer", "that of R3"),
    "an intermediate that ended": (
        *([leaf(OLD), OLD], "issuer-expired", "(Old) has expired"),
    ),
    "a root that ended": (
        *([leaf(OF_ENDED), OF_ENDED], "issuer-expired", "(Ended root) has expired"),
    ),
    "a certificate that ended": ([leaf(R3, days=-2), R3], "expired", ""),
    "an own authority": ([leaf(UNKNOWN), UNKNOWN, STRANGER], "unknown", "(Stranger)"),
    "signed by itself": ([issued(HOST, None, NAMES)], "self-signed", ""),
    "a common name alone": ([issued(HOST, R3), R3], "no-names", HOST),
    "another name": ([issued("other.test", R3), R3], "name", ""),
    "for clients": ([leaf(R3, CLIENT), R3], "usage", ""),
    "1024 bits": ([leaf(R3, key=SHORT), R3], "small-key", ""),
}


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[Callable[[], socket.socket]]:
    """Yield a function that connects to a TLS server."""

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    with server(behave) as port:
        yield lambda: socket.create_connection(("127.0.0.1", port), 5)


def loaded(chain: list[Made], folder: Path) -> ssl.SSLContext:
    file = folder / "chain.pem"
    key = chain[0][1].private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(key + b"".join(link.public_bytes(PEM) for link, _ in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(file)
    return context


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: Patch) -> None:
    roots = (root.public_bytes(PEM) for root, _ in (ROOT, ENDED))
    (tmp_path / "roots.pem").write_bytes(b"".join(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_judged_by_what_was_sent(name: str, tmp_path: Path) -> None:
    chain, kind, words = CHAINS[name]
    with serving(loaded(chain, tmp_path)) as connect:
        secure, certificate = start_tls(connect, HOST)
        secure.close()
    assert certificate.kind == kind, certificate.problem
    assert words in certificate.problem


def refusal(context: ssl.SSLContext) -> str:
    with serving(context) as connect, pytest.raises(ProbeError) as raised:
        start_tls(connect, HOST)
    return str(raised.value)


@pytest.mark.usefixtures("trusting")
def test_a_handshake_that_fails_says_what_the_server_wanted(tmp_path: Path) -> None:
    def fresh() -> ssl.SSLContext:
        return loaded(CHAINS["a whole chain"][0], tmp_path)

    context = fresh()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "roots.pem")
    assert "asks for a client certificate" in refusal(context)

    context = fresh()

    def only_nameless(_: object, name: str | None, __: object) -> int | None:
        return ssl.ALERT_DESCRIPTION_ACCESS_DENIED if name else None

    context.sni_callback = only_nameless
    assert "refuses the name" in refusal(context)


@pytest.mark.usefixtures("trusting")
def test_a_server_with_old_ciphers_alone_is_reached(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    context = loaded([leaf(R3, key=key), R3], tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for ciphers, old in (
        ("AES128-GCM-SHA256", "AES128-GCM-SHA256"),  # RSA key exchange
        ("ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"),
        ("AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256", ""),
    ):
        context.set_ciphers(ciphers)
        with serving(context) as connect:
            secure, certificate = start_tls(connect, HOST)
            secure.close()
        assert (certificate.problem, certificate.old_cipher) == ("", old)


def test_a_client_of_tls_1_2_sees_whether_the_server_takes_it(tmp_path: Path) -> None:
    context = loaded(CHAINS["a whole chain"][0], tmp_path)
    older, newest = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    for oldest, ciphers, expected in (
        (older, "ALL", ""),
        (older, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", ""),  # as Outlook's
        (older, "ECDHE-RSA-AES128-GCM-SHA256", "ciphers"),  # for another kind of key
        (newest, "ALL", "version"),
    ):
        context.set_ciphers(ciphers)
        context.minimum_version = oldest
        with serving(context) as connect:
            assert refusal_of_tls12(connect, HOST) == expected


def test_a_server_that_hangs_up_has_no_cipher_for_a_client_of_tls_1_2() -> None:
    """As Dovecot does, without an alert."""
    with server(lambda connection: connection.recv(65536)) as port:
        address = ("127.0.0.1", port)
        seen = refusal_of_tls12(lambda: socket.create_connection(address, 5), HOST)
    assert seen == "ciphers"
