"""TLS handshakes: the faults of certificates, and why a handshake fails."""

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .common import ProbeError, texts

_Connect = Callable[[], socket.socket]


@dataclass
class Certificate:
    """The certificate that a server sent, and why clients refuse it, if they do."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    lifetime: int = 0  # days that it is valid in all, if issued since _APPLES_RULE
    problem: str = ""  # why no client accepts it
    kind: str = ""  # of the problem: a name in [certificate] of failures.toml
    cure: str = ""
    ends: str = ""  # the last day, as 2030-12-31
    version: str = ""  # of TLS
    address: str = ""  # of the server that sent it
    old_cipher: str = ""  # the cipher in use, if the server supports only old ones


def address_of(connection: socket.socket | None) -> str:
    """Return the address of the peer, "" if it is no longer connected."""
    with suppress(OSError):
        if connection is not None:
            return str(connection.getpeername()[0])
    return ""


def start_tls(
    connect: _Connect, host: str, *, is_old: bool = False
) -> tuple[socket.socket, Certificate]:
    """Start TLS on a new connection and verify the certificate.

    If the certificate is bad, *connect* is called again and the new connection accepts
    it, so that the conversation can go on. With *is_old* the client offers old ciphers
    too, since the server refused the modern ones. Raises ProbeError and TimeoutError.
    """
    context = _context(is_old, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
    received = _record_messages(context)
    connection = connect()
    address = address_of(connection)
    code, message = 0, ""
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        secure = _unverifying().wrap_socket(connect(), server_hostname=host)
        code, message = error.verify_code, error.verify_message
    except (OSError, ValueError) as error:
        connection.close()
        if is_old or isinstance(error, TimeoutError):
            raise
        if _is_hangup(error) or "HANDSHAKE_FAILURE" in _reason(error):
            with suppress(OSError, ValueError, ProbeError):
                return start_tls(connect, host, is_old=True)
        raise _failure(error, connect, received) from error

    chain = _chain(secure) or [dict(secure.getpeercert() or {})]
    alternatives = chain[0].get("subjectAltName", ())
    names = [str(value) for kind, value in alternatives if kind != "email"]
    certificate = Certificate(names, version=secure.version() or "", address=address)
    cipher = str((secure.cipher() or ("",))[0]) if is_old else ""
    certificate.old_cipher = "" if _MODERN_CIPHER.match(cipher) else cipher
    ends = _time(chain[0])
    if ends is not None:
        certificate.ends = _day(ends)
        certificate.days_left = int((ends - time.time()) // 86400)
        begins = _time(chain[0], "notBefore") or 0
        if begins >= _APPLES_RULE:
            certificate.lifetime = int((ends - begins) // 86400)
    judge(certificate, host, chain, code, message)
    return secure, certificate


@lru_cache(8)
def _context(is_old: bool, *_trusted: str | None) -> ssl.SSLContext:
    """Return the context for these variables of OpenSSL; cached, as it takes 25 ms."""
    context = ssl.create_default_context()
    context.set_ciphers(_OLD_CIPHERS if is_old else _CIPHERS)
    context.check_hostname = False  # `judge` tells a wrong name from a bad chain
    return context


_APPLES_RULE = 1561939200  # 2019-07-01; Apple refuses more than 825 days since then


def _unverifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# `received` has the types of the messages in a thread's last handshake.
_messages = threading.local()


def _record_messages(context: ssl.SSLContext) -> set[int]:
    """Return a set that collects this thread's messages, if Python provides them."""
    context._msg_callback = _record  # type: ignore[attr-defined]
    _messages.received = received = set[int]()
    return received


def _record(_: Any, direction: str, version: Any, kind: int, *message: Any) -> None:
    if direction == "read" and kind == _HANDSHAKE:
        _messages.received.add(int(message[0]))


def _chain(secure: ssl.SSLSocket) -> list[dict[str, Any]]:
    """Return the certificates that the server sent, [] if Python does not provide them."""
    try:
        sent = secure._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
        return [dict(certificate.get_info()) for certificate in sent]
    except (AttributeError, ssl.SSLError, ValueError):
        return []


# --- Older servers and clients --------------------------------------------------------

# Python's own, which Linux distributions replace by others.
_CIPHERS = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!aDSS:!SHA1"
# Modern ones come first; rustls has no others, NSS and GnuTLS do.
_OLD_CIPHERS = "ECDHE+AESGCM:ECDHE+AES:kRSA+AES"
_MODERN_CIPHER = re.compile("TLS_|ECDHE.*(GCM|POLY1305)")
_HANDSHAKE = 22  # record


def refusal_of_tls12(connect: _Connect, host: str) -> str:
    """Return why a server refuses a client of TLS 1.2: version, ciphers, or "" (none).

    Raises OSError and ProbeError.
    """
    context = _unverifying()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")  # all that an old client may have
    received = _record_messages(context)
    try:
        context.wrap_socket(connect(), server_hostname=host).close()
    except (ssl.SSLError, ConnectionError) as error:
        reason = _reason(error)
        if "PROTOCOL_VERSION" in reason:
            return "version"
        # Dovecot hangs up in place of the alert.
        is_refused = "HANDSHAKE_FAILURE" in reason or _is_hangup(error)
        return "ciphers" if is_refused and _SERVER_HELLO not in received else ""
    return ""


# --- Certificates ---------------------------------------------------------------------

# The certificates that a server sent, as the ssl module describes them, its own first.
Chain = Sequence[Mapping[str, Any]]

_NO_ISSUER, _EXPIRED = frozenset((2, 19, 20, 21, 27)), 10  # OpenSSL's X509_V_ERR_…


def judge(
    certificate: Certificate, host: str, chain: Chain, code: int, message: str = ""
) -> None:
    """Set the problem of the certificate, with its kind and cure, if it has one.

    *code* and *message* are OpenSSL's for the chain; 0 stands for a valid one.
    """
    kind = _problem_of(certificate, host, chain, code)
    if not kind:
        return
    now = time.time()
    ended = [link for link in chain[1:] if (_time(link) or now) < now]
    root = _name(_path(chain)[-1:]) or "?"
    begins = _time(chain[0], "notBefore") if chain else None
    values = {
        "host": host,
        "names": ", ".join(certificate.names[:5]) or "no name",
        "when": f": it ended on {certificate.ends}" if certificate.ends else "",
        "begins": f" before {_day(begins)}" if begins else " yet",
        "issuer": _name(chain[:1]) or "no name",
        "other": _name(chain[1:2], "subject") or "?",
        "root": root,
        "ended": _name(ended[:1], "subject") or root,
        "at": ", ".join(chain[0].get("caIssuers", ())[:1]) if chain else "",
        "message": message or f"OpenSSL's error {code}",
    }
    row = texts()["certificate"][kind]
    certificate.kind = kind
    certificate.problem = row["problem"].format(**values)
    certificate.cure = row["cure"].format(**values)
    names = certificate.names
    if kind == "expired" and names and not any(matches(host, name) for name in names):
        other = texts()["certificate"]["name"]
        certificate.problem += f", and {other['problem'].format(**values)}"
        certificate.cure = other["cure"].format(**values)


def _problem_of(certificate: Certificate, host: str, chain: Chain, code: int) -> str:
    """Return the kind of the certificate's problem, "" if clients accept it."""
    first = chain[0] if chain else {}
    if code == 0:
        if any(matches(host, name) for name in certificate.names):
            return ""
        is_subject = matches(host, _name(chain[:1], "subject"))
        return "no-names" if is_subject and not certificate.names else "name"
    is_self_signed = bool(first) and first.get("issuer") == first.get("subject")
    if is_self_signed and code != _EXPIRED:
        default = texts()["certificate"]["default"]["issuers"]
        is_default = re.search(default, _name(chain[:1]), re.I)
        return "default" if is_default else "self-signed"
    if certificate.days_left is not None and certificate.days_left < 0:
        return "expired"
    rows = texts()["certificate"].items()
    if code not in _NO_ISSUER:
        kinds = (kind for kind, row in rows if code in row.get("codes", ()))
        return next(kinds, "other")
    # Clients do not know the last issuer, or the server does not send its certificate.
    path = _path(chain)
    last = path[-1] if path else {}
    issuer = str(last.get("issuer"))
    for kind, row in rows:
        if "issuers" in row and re.search(row["issuers"], issuer, re.I):
            return str(kind)
    if len(path) > 1 or not first:
        return "unknown"
    links = [link for link in chain[1:] if link.get("issuer") != link.get("subject")]
    if any(link.get("subject") != last.get("subject") for link in links):
        return "wrong-issuer"
    return "chain" if last.get("caIssuers") else "no-issuer"


def _path(chain: Chain) -> list[Mapping[str, Any]]:
    """Return the certificates of a chain from the first one, each before its issuer's."""
    path = list(chain[:1])
    while path and (issuer := path[-1].get("issuer")):
        issuers = [link for link in chain if link.get("subject") == issuer]
        unused = [link for link in issuers if link not in path]
        if not unused:
            break
        path.append(unused[0])
    return path


def _name(chain: Chain, part: str = "issuer") -> str:
    pairs = [pair for link in chain for rdn in link.get(part) or () for pair in rdn]
    names = dict(pairs)
    return str(names.get("commonName") or names.get("organizationName") or "")[:80]


def _time(info: Mapping[str, Any], key: str = "notAfter") -> float | None:
    with suppress(KeyError, ValueError):  # an invalid date
        return float(ssl.cert_time_to_seconds(info[key]))
    return None


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def matches(host: str, name: str) -> bool:
    """Match a certificate's name, which may begin with a wildcard (RFC 6125, 6.4.3)."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- Handshakes that fail -------------------------------------------------------------

_HANGUPS = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_SERVER_HELLO, _CERTIFICATE_REQUEST = 2, 13  # messages (RFC 8446, section 4)


def _failure(error: Exception, connect: _Connect, received: set[int]) -> ProbeError:
    reason = _reason(error)
    is_refused = _is_hangup(error) or "ALERT" in reason
    is_about_version = "PROTOCOL_VERSION" in reason
    if is_refused and _CERTIFICATE_REQUEST in received:
        reason = "CERTIFICATE_REQUIRED"
    elif is_refused and _SERVER_HELLO not in received and not is_about_version:
        reason = "NO_SERVER_HELLO" if _is_hangup(error) else reason
        with suppress(Exception), _unverifying().wrap_socket(connect()):
            reason = "UNRECOGNIZED_NAME"  # since it works without one
    failure = "the TLS handshake fails"
    return explained(error, failure, f"{failure}: the server hangs up", reason)


def explained(error: Exception, failure: str, end: str, reason: str = "") -> ProbeError:
    """Return the error in words, which are *end* if the server hung up."""
    cures, reason = texts()["cures"], reason or _reason(error)
    for row in texts()["handshake"]:
        if any(part in reason for part in row["reasons"]):
            return ProbeError("tls", row["problem"], row["cure"].format(**cures))
    if _is_hangup(error):
        return ProbeError("tls", end, cures["log"])
    other = reason or getattr(error, "strerror", None) or error
    return ProbeError("tls", f"{failure}: {other}"[:200], cures["log"])


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or "").upper().replace(" ", "_")


def _is_hangup(error: Exception) -> bool:
    return isinstance(error, _HANGUPS) or "EOF" in _reason(error)
