"""TLS handshakes: what a certificate is worth, and why one breaks off, in words.

OpenSSL's own words name a symptom; people need the cause and the setting that cures it.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

CHAIN_SETTINGS = (
    "give the server the whole chain (fullchain.pem), the certificate first and then "
    "its intermediates: ssl_certificate in nginx, ssl_cert in Dovecot, "
    "smtpd_tls_chain_files in Postfix"
)


@dataclass
class Certificate:
    """What a server showed: whether it is good for the name, and for how long."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    problem: str = ""  # why no client would take it
    kind: str = ""  # of the problem: expired, early, name, chain, self-signed, unknown
    cure: str = ""  # what to do about the problem
    ends: str = ""  # the day, as 2030-12-31
    version: str = ""  # of TLS
    address: str = ""  # of the server that showed it


class HandshakeError(Exception):
    """Why no TLS came about; `cure` says what to do."""

    def __init__(self, message: str, cure: str = "") -> None:
        self.cure = cure
        super().__init__(message)


def address_of(connection: socket.socket | None) -> str:
    """The address of the other end, "" where there is none any more."""
    with suppress(OSError):
        if connection is not None:
            return str(connection.getpeername()[0])
    return ""


def start_tls(
    connect: Callable[[], socket.socket], host: str
) -> tuple[ssl.SSLSocket, Certificate]:
    """TLS over a connection, and what its certificate is worth.

    Where no client would take the certificate, `connect` is called again and the
    conversation goes on without believing it, so that the rest can be seen too. Raises
    HandshakeError, and TimeoutError.
    """
    context = ssl.create_default_context()
    context.check_hostname = False  # told apart from the chain below
    connection = connect()
    address = address_of(connection)
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        secure = _loose().wrap_socket(connect(), server_hostname=host)
        certificate = _described(secure, host)
        why = error.verify_code, error.verify_message
        judge(certificate, host, _chain(secure), *why)
    except (ssl.SSLError, OSError, ValueError) as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise
        raise _why(error, connect, host) from error
    else:
        certificate = _described(secure, host)
        judge(certificate, host)
    certificate.address = address
    return secure, certificate


def _loose() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- Certificates ---------------------------------------------------------------------


def _chain(secure: ssl.SSLSocket) -> list[dict[str, Any]]:
    """What the server sent, its own first; empty where this Python cannot say."""
    try:
        sent = secure._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
        return [dict(it.get_info()) for it in sent]
    except (AttributeError, ssl.SSLError, ValueError):
        return []


def _described(secure: ssl.SSLSocket, host: str) -> Certificate:
    told: dict[str, Any] = dict(secure.getpeercert() or {})
    told = told or next(iter(_chain(secure)), {})
    certificate = Certificate(version=secure.version() or "")
    alternatives = told.get("subjectAltName", ())
    certificate.names = [str(value) for kind, value in alternatives if kind != "email"]
    with suppress(KeyError, ValueError):  # a date that is none
        ends = ssl.cert_time_to_seconds(told["notAfter"])
        certificate.ends = time.strftime("%Y-%m-%d", time.gmtime(ends))
        certificate.days_left = int((ends - time.time()) // 86400)
    return certificate


_EARLY, _EXPIRED, _SELF_SIGNED, _ROOT = 9, 10, 18, 19  # X509_V_ERR_…
_NO_ISSUER = frozenset((2, 20, 21, 27))


def judge(
    certificate: Certificate,
    host: str,
    sent: Sequence[Mapping[str, Any]] = (),
    code: int = 0,
    message: str = "",
) -> None:
    """Set the certificate's problem and cure, if it has one.

    *code* and *message* are OpenSSL's on the chain *sent*; 0 stands for a good one.
    """
    own = sent[0] if sent else {}
    issuer = _common_name(own.get("issuer"))
    if code == 0 and _is_for(host, certificate.names):
        return
    if code == 0:
        listed = ", ".join(certificate.names[:5]) or "no name"
        certificate.kind = "name"
        certificate.problem = f"it is for {listed}, not for {host}"
        certificate.cure = f"get a certificate that has the name {host} too"
    elif code == _EXPIRED:
        certificate.kind = "expired"
        when = f": it ended on {certificate.ends}" if certificate.ends else ""
        if certificate.days_left is not None and certificate.days_left >= 0:
            when = ": one of its chain has ended"  # an intermediate, or an old root
        certificate.problem = f"certificate has expired{when}"
        certificate.cure = (
            "renew it, and let the server load the new one (a reload: "
            "renewing alone does not); see that the renewal runs by itself"
        )
    elif code == _EARLY:
        certificate.kind = "early"
        certificate.problem = "it is not valid yet"
        certificate.cure = "look at the clocks of the server and of this machine"
    elif code == _SELF_SIGNED or (own and own.get("issuer") == own.get("subject")):
        certificate.kind = "self-signed"
        certificate.problem = "it is self-signed: the server's own, of no authority"
        certificate.cure = (
            f"get one for {host} of an authority that clients know (Let's Encrypt)"
        )
    elif code in _NO_ISSUER and len(sent) == 1:
        certificate.kind = "chain"
        certificate.problem = (
            "no intermediate certificate: the server sends its own alone, and clients "
            f"do not know who issued it ({issuer or 'no name'})"
        )
        certificate.cure = (
            f"{CHAIN_SETTINGS}; if it is of an authority of your own, clients must be "
            "told of that (here by SSL_CERT_FILE)"
        )
    elif code in _NO_ISSUER or code == _ROOT:
        certificate.kind = "unknown"
        name = _common_name(sent[-1].get("issuer")) if sent else issuer
        certificate.problem = f"its authority is one that nobody knows ({name or '?'})"
        certificate.cure = (
            f"get one for {host} of an authority that clients know; your own one is "
            "named in the environment's SSL_CERT_FILE here"
        )
    else:
        certificate.kind = "unknown"
        certificate.problem = message or f"OpenSSL's error {code}"
        certificate.cure = f"install a valid certificate for {host}, with its chain"


def _common_name(name: Any) -> str:
    """The name that a distinguished name gives people."""
    said = {key: value for part in name or () for key, value in part}
    return str(said.get("commonName") or said.get("organizationName") or "")[:80]


def _is_for(host: str, names: list[str]) -> bool:
    return any(_matches(host, name) for name in names)


def _matches(host: str, name: str) -> bool:
    """RFC 6125, section 6.4.3: a wildcard is one whole label, the leftmost."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- Handshakes that break off --------------------------------------------------------

_MODERN = (
    "let the server speak TLS 1.2 and 1.3 (ssl_protocols TLSv1.2 TLSv1.3 in nginx, "
    "ssl_min_protocol = TLSv1.2 in Dovecot, smtpd_tls_protocols = >=TLSv1.2 in Postfix); "
    "an old OpenSSL there needs an update"
)
_LOG = (
    "look at the server's log: most often its certificate or key cannot be read, "
    "or they do not belong together"
)
_OLD_PROTOCOL = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW")
_REASONS = (  # a part of OpenSSL's reason, what it means, the cure
    (
        (
            "WRONG_VERSION_NUMBER",
            "HTTP_REQUEST",
            "UNKNOWN_PROTOCOL",
            "RECORD_TOO_SMALL",
        ),
        "what answers there does not speak TLS",
        "switch TLS on at that port, or publish the port and encryption that it has",
    ),
    (
        ("UNRECOGNIZED_NAME",),
        "the server refuses the name: it has no certificate for it",
        "add the name to the web server's site (server_name) and to its certificate",
    ),
    (
        ("NO_SHARED_CIPHER", "HANDSHAKE_FAILURE"),
        "server and client find no cipher in common, or the server has no certificate",
        f"allow today's ciphers; {_LOG}",
    ),
    (
        ("DH_KEY_TOO_SMALL", "BAD_DH"),
        "its Diffie-Hellman parameters are too short",
        _MODERN,
    ),
    (
        ("KEY_TOO_SMALL", "MD_TOO_WEAK"),
        "its certificate's key or digest is too weak for today's clients",
        "get a certificate with an RSA key of 2048 bits or more, or an EC one",
    ),
    (
        ("CERTIFICATE_REQUIRED",),
        "the server wants a certificate of the client",
        "do not ask clients for certificates there (SSLVerifyClient in Apache, "
        "ssl_verify_client_cert in Dovecot, smtpd_tls_req_ccert in Postfix)",
    ),
    (("INTERNAL_ERROR",), "the server breaks the handshake off (internal error)", _LOG),
)


def _why(
    error: Exception, connect: Callable[[], socket.socket], host: str
) -> HandshakeError:
    reason = str(getattr(error, "reason", None) or "").upper().replace(" ", "_")
    if any(part in reason for part in _OLD_PROTOCOL) or _is_end(error, reason):
        version = _oldest(connect, host)
        if version:
            return HandshakeError(
                f"it speaks {version} at most, which clients refuse", _MODERN
            )
    if _is_end(error, reason):
        return HandshakeError("the TLS handshake breaks off: the server hangs up", _LOG)
    for parts, words, cure in _REASONS:
        if any(part in reason for part in parts):
            return HandshakeError(words, cure)
    said = reason or getattr(error, "strerror", None) or str(error)
    return HandshakeError(f"the TLS handshake fails: {said}"[:200], _LOG)


def told_later(error: Exception) -> HandshakeError | None:
    """Why a server ends TLS after the handshake, None where it is not TLS that ends.

    In TLS 1.3 a server judges the client's part when the client has long gone on
    (RFC 8446, section 4.4.2.4): what it says arrives with the first answer.
    """
    if not isinstance(error, ssl.SSLError):
        return None
    reason = str(error.reason or "").upper().replace(" ", "_")
    if _is_end(error, reason):
        return HandshakeError("the server hangs up after the TLS handshake", _LOG)
    for parts, words, cure in _REASONS:
        if any(part in reason for part in parts):
            return HandshakeError(words, cure)
    return HandshakeError(f"TLS breaks off: {reason or error}"[:200], _LOG)


def _is_end(error: Exception, reason: str) -> bool:
    ends = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
    return isinstance(error, ends) or "EOF" in reason


def _oldest(connect: Callable[[], socket.socket], host: str) -> str:
    """The version of TLS that comes about where old ones are allowed; "" for none."""
    context = _loose()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with suppress(ssl.SSLError):
        context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        suppress(Exception),  # whatever it is, the first failure says more
        context.wrap_socket(connect(), server_hostname=host) as secure,
    ):
        version = secure.version() or ""
        return version if version in ("SSLv3", "TLSv1", "TLSv1.1") else ""
    return ""
