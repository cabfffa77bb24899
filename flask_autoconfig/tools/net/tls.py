"""TLS handshakes: what is wrong with a certificate, and why a handshake fails."""

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
    """The certificate that a server sent, and what is wrong with it."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    lifetime: int = 0  # days from its first to its last, if issued since _APPLES_RULE
    problem: str = ""  # why no client accepts it
    kind: str = ""  # of the problem: a name in [certificate] of failures.toml
    cure: str = ""
    ends: str = ""  # the day, as 2030-12-31
    version: str = ""  # of TLS
    address: str = ""  # of the server that sent it
    wants_staple: bool = False  # no good without an OCSP response (RFC 7633)
    old_cipher: str = ""  # that the server chose, having none of today's


def address_of(connection: socket.socket | None) -> str:
    """Return the address of the peer, "" if it is no longer connected."""
    with suppress(OSError):
        if connection is not None:
            return str(connection.getpeername()[0])
    return ""


def start_tls(
    connect: _Connect, host: str, *, is_old: bool = False
) -> tuple[socket.socket, Certificate]:
    """Start TLS on a new connection and judge the certificate.

    If the certificate is bad, *connect* is called again and the new connection accepts
    it, so that the rest of the conversation can be seen too. With *is_old* the server is
    offered old ciphers, having taken none of today's. Raises ProbeError and TimeoutError.
    """
    context = _context(is_old, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
    seen = _watched(context)
    connection = connect()
    address = address_of(connection)
    code, message = 0, ""
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        secure = _trusting().wrap_socket(connect(), server_hostname=host)
        code, message = error.verify_code, error.verify_message
    except (OSError, ValueError) as error:
        connection.close()
        if is_old or isinstance(error, TimeoutError):
            raise
        if _is_end(error) or "HANDSHAKE_FAILURE" in _reason(error):
            with suppress(OSError, ValueError, ProbeError):
                return start_tls(connect, host, is_old=True)
        raise _handshake_error(error, connect, seen) from error

    chain = _chain(secure) or [dict(secure.getpeercert() or {})]
    alternatives = chain[0].get("subjectAltName", ())
    names = [str(value) for kind, value in alternatives if kind != "email"]
    certificate = Certificate(names, version=secure.version() or "", address=address)
    cipher = str((secure.cipher() or ("",))[0]) if is_old else ""
    certificate.old_cipher = "" if _OF_TODAY.match(cipher) else cipher
    ends = _time(chain[0])
    if ends is not None:
        certificate.ends = _day(ends)
        certificate.days_left = int((ends - time.time()) // 86400)
        begins = _time(chain[0], "notBefore") or 0
        if begins >= _APPLES_RULE:
            certificate.lifetime = int((ends - begins) // 86400)
    certificate.wants_staple = _WANTS_STAPLE in (secure.getpeercert(True) or b"")
    judge(certificate, host, chain, code, message)
    return secure, certificate


@lru_cache(8)
def _context(is_old: bool, *_trusted: str | None) -> ssl.SSLContext:
    """Return the context for these variables of OpenSSL; reading its file takes 25 ms."""
    context = ssl.create_default_context()
    context.set_ciphers(_OLD_CIPHERS if is_old else _CIPHERS)
    context.check_hostname = False  # judge() tells a wrong name from a bad chain
    return context


_APPLES_RULE = 1561939200  # 2019-07-01: longer than 825 days is refused since


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Messages(threading.local):
    """The types of the messages of a thread's last handshake."""

    seen: set[int]


_messages = _Messages()


def _watched(context: ssl.SSLContext) -> set[int]:
    """Return a set that gets the types of the messages of this thread's next handshake.

    It stays empty where this version of Python does not tell.
    """
    context._msg_callback = _note  # type: ignore[attr-defined]
    _messages.seen = set()
    return _messages.seen


def _note(_: Any, way: str, version: Any, kind: int, message: int, *rest: Any) -> None:
    if way == "read" and kind == _HANDSHAKE:
        _messages.seen.add(int(message))


def _chain(secure: ssl.SSLSocket) -> list[dict[str, Any]]:
    """Return the certificates that the server sent, its own first.

    The list is empty where this version of Python does not give them.
    """
    try:
        sent = secure._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
        return [dict(certificate.get_info()) for certificate in sent]
    except (AttributeError, ssl.SSLError, ValueError):
        return []


# --- Older servers and clients --------------------------------------------------------

# Python's own, which Linux distributions replace by others.
_CIPHERS = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!aDSS:!SHA1"
# Those of today come first; rustls has no others, NSS and GnuTLS do.
_OLD_CIPHERS = "ECDHE+AESGCM:ECDHE+AES:kRSA+AES"
_OF_TODAY = re.compile("TLS_|ECDHE.*(GCM|POLY1305)")
# The object identifier of the extension in a certificate (RFC 7633, section 4).
_WANTS_STAPLE = bytes.fromhex("06082b06010505070118")
_STATUS_REQUEST = bytes.fromhex("000500050100000000")  # RFC 6066, section 8
STAPLE = 22  # the message with an OCSP response
REFUSED_VERSION, NO_CIPHER = -70, -40  # alerts; Dovecot hangs up for the second
# Makes a ClientHello as long as with a key share of ML-KEM: more than a packet (RFC 7685).
PADDING = bytes.fromhex("00150578") + bytes(1400)
TOO_LONG = -1  # only a ClientHello without it is answered
_SAID = {"UNSOLICITED_EXTENSION": STAPLE, "HANDSHAKE_FAILURE": NO_CIPHER}
_SAID |= {"ALERT_PROTOCOL": REFUSED_VERSION, "EOF": NO_CIPHER}
_HANDSHAKE = 22  # record


def first_messages(connect: _Connect, host: str, padding: bytes = b"") -> set[int]:
    """Return what a server answers to a client of TLS 1.2 that asks for a staple.

    Messages are numbers (RFC 5246, section 7.4), and an alert a negative one. The ssl
    module asks for no staple: so its ClientHello gets one more extension, and OpenSSL ends
    the handshake where the server's ServerHello has it, too. Raises OSError and ProbeError.
    """
    context = _trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_ALL  # among them padding of OpenSSL's own
    context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")  # whatever an old client may have
    seen = _watched(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    with connect() as connection:
        until = time.monotonic() + (connection.gettimeout() or 0)
        connection.sendall(_extended(bytearray(outgoing.read()), padding))
        while not outgoing.pending:  # until it is the client's turn
            connection.settimeout(max(until - time.monotonic(), 0.001))
            data = connection.recv(4096)
            incoming.write(data)
            if not data:
                incoming.write_eof()
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                reason = "EOF" if _is_end(error) else _reason(error)
                return {*seen, *(it for word, it in _SAID.items() if word in reason)}
    return seen


def _extended(hello: bytearray, padding: bytes) -> bytes:
    """Return a ClientHello in a record that asks for a staple, and has padding."""
    more = _STATUS_REQUEST + padding
    at = 5 + 4 + 2 + 32  # behind record, message, version and random
    for size in (1, 2, 1):  # session, ciphers and compression
        at += size + int.from_bytes(hello[at : at + size])
    for start, size in ((3, 2), (6, 3), (at, 2)):
        length = int.from_bytes(hello[start : start + size]) + len(more)
        hello[start : start + size] = length.to_bytes(size)
    return bytes(hello + more)


# --- Certificates ---------------------------------------------------------------------

Sent = Sequence[Mapping[str, Any]]  # certificates as the ssl module describes them

_NO_ISSUER = frozenset((2, 19, 20, 21, 27))


def judge(
    certificate: Certificate, host: str, sent: Sent, code: int, message: str = ""
) -> None:
    """Set the problem of the certificate, with its kind and cure, if it has one.

    *code* and *message* are OpenSSL's for the chain *sent*; 0 stands for a valid one.
    """
    kind = _kind(certificate, host, sent, code)
    if not kind:
        return
    now = time.time()
    ended = [one for one in sent[1:] if (_time(one) or now) < now]
    root = _name(_path(sent)[-1:]) or "?"
    begins = _time(sent[0], "notBefore") if sent else None
    values = {
        "host": host,
        "names": ", ".join(certificate.names[:5]) or "no name",
        "when": f": it ended on {certificate.ends}" if certificate.ends else "",
        "begins": f" before {_day(begins)}" if begins else " yet",
        "issuer": _name(sent[:1]) or "no name",
        "other": _name(sent[1:2], "subject") or "?",
        "root": root,
        "ended": _name(ended[:1], "subject") or root,
        "at": ", ".join(sent[0].get("caIssuers", ())[:1]) if sent else "",
        "message": message or f"OpenSSL's error {code}",
    }
    text = texts()["certificate"][kind]
    certificate.kind = kind
    certificate.problem = text["problem"].format(**values)
    certificate.cure = text["cure"].format(**values)
    names = certificate.names
    if kind == "expired" and names and not any(matches(host, one) for one in names):
        other = texts()["certificate"]["name"]
        certificate.problem += f", and {other['problem'].format(**values)}"
        certificate.cure = other["cure"].format(**values)


def _kind(certificate: Certificate, host: str, sent: Sent, code: int) -> str:
    first = sent[0] if sent else {}
    if code == 0:
        if any(matches(host, name) for name in certificate.names):
            return ""
        is_named = matches(host, _name(sent[:1], "subject"))
        return "no-names" if is_named and not certificate.names else "name"
    days = certificate.days_left
    is_own = bool(first) and first.get("issuer") == first.get("subject")
    if is_own and code != 10:
        default = texts()["certificate"]["default"]["issuers"]
        name = _name(sent[:1])
        return "default" if re.search(default, name, re.I) else "self-signed"
    if days is not None and days < 0:
        return "expired"
    if code not in _NO_ISSUER:
        kinds = texts()["certificate"].items()
        return next((one for one, it in kinds if code in it.get("codes", ())), "other")
    # Clients do not know the last issuer, or the server sends no way to it.
    path = _path(sent)
    last = path[-1] if path else {}
    issuer = str(last.get("issuer"))
    for kind, row in texts()["certificate"].items():
        if "issuers" in row and re.search(row["issuers"], issuer, re.I):
            return str(kind)
    if len(path) > 1 or not first:
        return "unknown"
    links = [one for one in sent[1:] if one.get("issuer") != one.get("subject")]
    if any(one.get("subject") != last.get("subject") for one in links):
        return "wrong-issuer"
    return "chain" if last.get("caIssuers") else "no-issuer"


def _path(sent: Sent) -> list[Mapping[str, Any]]:
    path = list(sent[:1])
    while path:
        issuer = path[-1].get("issuer")
        more = [one for one in sent if one.get("subject") == issuer and one not in path]
        if not more or not issuer:
            break
        path.append(more[0])
    return path


def _name(sent: Sent, part: str = "issuer") -> str:
    named = [pair for one in sent for parts in one.get(part) or () for pair in parts]
    names = dict(named)
    return str(names.get("commonName") or names.get("organizationName") or "")[:80]


def _time(info: Mapping[str, Any], when: str = "notAfter") -> float | None:
    with suppress(KeyError, ValueError):  # a date that is none
        return float(ssl.cert_time_to_seconds(info[when]))
    return None


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def matches(host: str, name: str) -> bool:
    """Match a certificate's name, whose first label may be a wildcard (RFC 6125, 6.4.3)."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- Handshakes that fail -------------------------------------------------------------

_ENDS = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_SERVER_HELLO, _CERTIFICATE_REQUEST = 2, 13  # messages (RFC 8446, section 4)


def _handshake_error(error: Exception, connect: _Connect, seen: set[int]) -> ProbeError:
    reason = _reason(error)
    is_shut = _is_end(error) or "ALERT" in reason
    is_about_version = "PROTOCOL_VERSION" in reason
    if is_shut and _CERTIFICATE_REQUEST in seen:
        reason = "CERTIFICATE_REQUIRED"
    elif is_shut and _SERVER_HELLO not in seen and not is_about_version:
        reason = "NO_SERVER_HELLO" if _is_end(error) else reason
        with suppress(Exception), _trusting().wrap_socket(connect()):
            reason = "UNRECOGNIZED_NAME"  # since it works without one
    failure = "the TLS handshake fails"
    return explained(error, failure, f"{failure}: the server hangs up", reason)


def explained(error: Exception, failure: str, end: str, reason: str = "") -> ProbeError:
    """Return the error in words, which are *end* where the server hung up."""
    cures, reason = texts()["cures"], reason or _reason(error)
    for entry in texts()["handshake"]:
        if any(part in reason for part in entry["reasons"]):
            return ProbeError("tls", entry["problem"], entry["cure"].format(**cures))
    if _is_end(error):
        return ProbeError("tls", end, cures["log"])
    other = reason or getattr(error, "strerror", None) or error
    return ProbeError("tls", f"{failure}: {other}"[:200], cures["log"])


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or "").upper().replace(" ", "_")


def _is_end(error: Exception) -> bool:
    return isinstance(error, _ENDS) or "EOF" in _reason(error)
