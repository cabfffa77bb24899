"""TLS handshakes: what is wrong with a certificate, and why a handshake fails."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .common import ProbeError, texts


@dataclass
class Certificate:
    """The certificate that a server sent, and what is wrong with it."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    problem: str = ""  # why no client accepts it
    kind: str = ""  # of the problem: expired, early, name, chain, self-signed, unknown
    cure: str = ""
    ends: str = ""  # the day, as 2030-12-31
    version: str = ""  # of TLS
    address: str = ""  # of the server that sent it


def address_of(connection: socket.socket | None) -> str:
    """Return the address of the peer, "" if it is no longer connected."""
    with suppress(OSError):
        if connection is not None:
            return str(connection.getpeername()[0])
    return ""


def start_tls(
    connect: Callable[[], socket.socket], host: str
) -> tuple[ssl.SSLSocket, Certificate]:
    """Start TLS on a new connection and judge the certificate.

    If the certificate is bad, *connect* is called again and the new connection accepts
    it, so that the rest of the conversation can be seen too. Raises ProbeError and
    TimeoutError.
    """
    context = ssl.create_default_context()
    context.check_hostname = False  # judge() tells a wrong name from a bad chain
    connection = connect()
    address = address_of(connection)
    chain: list[dict[str, Any]] = []
    code, message = 0, ""
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        secure = _trusting().wrap_socket(connect(), server_hostname=host)
        chain, code, message = _chain(secure), error.verify_code, error.verify_message
    except TimeoutError:
        connection.close()
        raise
    except (OSError, ValueError) as error:
        connection.close()
        raise _handshake_error(error, connect, host) from error

    info: dict[str, Any] = dict(secure.getpeercert() or {})
    info = info or next(iter(_chain(secure)), {})
    alternatives = info.get("subjectAltName", ())
    names = [str(value) for kind, value in alternatives if kind != "email"]
    version = secure.version() or ""
    certificate = Certificate(names, version=version, address=address)
    with suppress(KeyError, ValueError):  # a date that is none
        ends = ssl.cert_time_to_seconds(info["notAfter"])
        certificate.ends = time.strftime("%Y-%m-%d", time.gmtime(ends))
        certificate.days_left = int((ends - time.time()) // 86400)
    judge(certificate, host, chain, code, message)
    return secure, certificate


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _chain(secure: ssl.SSLSocket) -> list[dict[str, Any]]:
    """Return the certificates that the server sent, its own first.

    The list is empty where this version of Python does not give them.
    """
    try:
        sent = secure._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
        return [dict(certificate.get_info()) for certificate in sent]
    except (AttributeError, ssl.SSLError, ValueError):
        return []


# --- Certificates ---------------------------------------------------------------------

_KINDS = {10: "expired", 9: "early", 18: "self-signed", 19: "unknown"}  # X509_V_ERR_…
_NO_ISSUER = frozenset((2, 20, 21, 27))


def judge(
    certificate: Certificate,
    host: str,
    sent: Sequence[Mapping[str, Any]] = (),
    code: int = 0,
    message: str = "",
) -> None:
    """Set the problem of the certificate, with its kind and cure, if it has one.

    *code* and *message* are OpenSSL's for the chain *sent*; 0 stands for a valid one.
    """
    kind = _KINDS.get(code, "other")
    if code == 0:
        if any(_matches(host, name) for name in certificate.names):
            return
        kind = "name"
    elif kind in ("unknown", "other"):
        first = sent[0] if sent else {}
        if first and first.get("issuer") == first.get("subject"):
            kind = "self-signed"
        elif code in _NO_ISSUER:
            kind = "chain" if len(sent) == 1 else "unknown"

    when = f": it ended on {certificate.ends}" if certificate.ends else ""
    if certificate.days_left is not None and certificate.days_left >= 0:
        when = ": a certificate of its chain has expired"
    values = {
        "host": host,
        "names": ", ".join(certificate.names[:5]) or "no name",
        "when": when,
        "issuer": _issuer(sent[:1]) or "no name",
        "root": _issuer(sent[-1:]) or "?",
        "message": message or f"OpenSSL's error {code}",
    }
    text = texts()["certificate"][kind]
    certificate.kind = "unknown" if kind == "other" else kind
    certificate.problem = text["problem"].format(**values)
    certificate.cure = text["cure"].format(**values)


def _issuer(sent: Sequence[Mapping[str, Any]]) -> str:
    parts = [part for each in sent for part in each.get("issuer") or ()]
    names = {key: value for part in parts for key, value in part}
    return str(names.get("commonName") or names.get("organizationName") or "")[:80]


def _matches(host: str, name: str) -> bool:
    """Match a certificate's name, whose first label may be a wildcard (RFC 6125, 6.4.3)."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- Handshakes that fail -------------------------------------------------------------

_OLD_PROTOCOL = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW")
_ENDS = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def _handshake_error(
    error: Exception, connect: Callable[[], socket.socket], host: str
) -> ProbeError:
    if _is_end(error) or any(part in _reason(error) for part in _OLD_PROTOCOL):
        version = _old_version(connect, host)
        if version:
            problem = f"it supports at most {version}, which clients refuse"
            return ProbeError("tls", problem, texts()["cures"]["modern"])
    failure = "the TLS handshake fails"
    return _explained(error, failure, f"{failure}: the server hangs up")


def ended_later(error: Exception) -> ProbeError | None:
    """Return why a server ended TLS after the handshake, None if it is not TLS that ended.

    In TLS 1.3 a server judges the client's part when the client has long gone on
    (RFC 8446, section 4.4.2.4): its alert arrives with the first answer.
    """
    if not isinstance(error, ssl.SSLError):
        return None
    end = "the server hangs up after the TLS handshake"
    return _explained(error, "TLS breaks off", end)


def _explained(error: Exception, failure: str, end: str) -> ProbeError:
    """Return the error in words, which are *end* where the server hung up."""
    cures, reason = texts()["cures"], _reason(error)
    if _is_end(error):
        return ProbeError("tls", end, cures["log"])
    for entry in texts()["handshake"]:
        if any(part in reason for part in entry["reasons"]):
            return ProbeError("tls", entry["problem"], entry["cure"].format(**cures))
    other = reason or getattr(error, "strerror", None) or error
    return ProbeError("tls", f"{failure}: {other}"[:200], cures["log"])


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or "").upper().replace(" ", "_")


def _is_end(error: Exception) -> bool:
    return isinstance(error, _ENDS) or "EOF" in _reason(error)


def _old_version(connect: Callable[[], socket.socket], host: str) -> str:
    """Return the old version of TLS that the server speaks, "" for none."""
    context = _trusting()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with suppress(ssl.SSLError):
        context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        suppress(Exception),  # the first failure says more than any of these
        context.wrap_socket(connect(), server_hostname=host) as secure,
    ):
        version = secure.version() or ""
        return version if version in ("SSLv3", "TLSv1", "TLSv1.1") else ""
    return ""
