"""The protocols of mail servers: IMAP, POP3 and SMTP, line by line.

A server is hostile until proven otherwise: lines and answers have a greatest length.
"""

from __future__ import annotations

import base64
import socket
from typing import Any

from .tcp import ProbeError
from .untrusted import Secrets

LONGEST_LINE = 8 * 1024
MOST_TEXT = 64 * 1024  # of one conversation


class Conversation:
    """Lines to and from a mail server, of bounded length and number."""

    def __init__(self, sock: socket.socket, secrets: Secrets) -> None:
        self.sock = sock
        self._secrets = secrets
        self._buffer = b""
        self._received = 0

    def line(self) -> str:
        """The next line; raises ProbeError where it or all of them are too long."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProbeError("protocol", "a line without end")
            data = self.sock.recv(4096)
            if not data:
                raise ProbeError("protocol", "the server closed the connection")
            self._received += len(data)
            if self._received > MOST_TEXT:
                raise ProbeError("protocol", "an answer without end")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def send(self, text: str) -> None:
        """Send one line."""
        self.sock.sendall(text.encode() + b"\r\n")

    def quoted(self, line: str, most: int = 100) -> str:
        """A line of the server's for a message: without secrets, and then cut."""
        return self._secrets.quoted(line)[:most]


# What a server of another kind says first.
_OTHERS = (
    (("* OK", "* PREAUTH"), "an IMAP server"),
    (("+OK",), "a POP3 server"),
    (("220",), "an SMTP server"),
    (("HTTP/", "<"), "a web server"),
    (("SSH-",), "an SSH server"),
)
_TURNS_AWAY = {
    "IMAP": ("* BYE", "* NO", "* BAD"),
    "POP3": ("-ERR",),
    "SMTP": ("4", "5"),
}


def _no_greeting(protocol: str, talk: Conversation, line: str) -> ProbeError:
    shown = f"“{talk.quoted(line)}”"
    for starts, who in _OTHERS:
        if line.upper().startswith(starts):
            message = f"no {protocol} greeting: {who} answers there ({shown})"
            return ProbeError("protocol", message, "publish the port of the right one")
    if line.upper().startswith(_TURNS_AWAY[protocol]):
        message = f"no {protocol} greeting: it turns clients away ({shown})"
        cure = "look at the server's log, and at what it refuses this address for"
        return ProbeError("protocol", message, cure)
    return ProbeError("protocol", f"no {protocol} greeting: {shown}")


class _Imap:
    """RFC 9051."""

    starttls = "STARTTLS"

    @staticmethod
    def greeting(talk: Conversation) -> None:
        line = talk.line()
        if not line.upper().startswith(("* OK", "* PREAUTH")):
            raise _no_greeting("IMAP", talk, line)

    @staticmethod
    def command(talk: Conversation, text: str) -> list[str]:
        """The answer's lines, the tagged one last."""
        talk.send(f"a {text}")
        lines = [talk.line()]
        while not lines[-1].startswith(("a ", "+")):
            lines.append(talk.line())
        return lines

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        for line in cls.command(talk, "CAPABILITY"):
            if line.upper().startswith("* CAPABILITY "):
                words |= set(line.upper().split()[2:])
        mechanisms = {
            it.removeprefix("AUTH=") for it in words if it.startswith("AUTH=")
        }
        if "LOGINDISABLED" not in words:
            mechanisms.add("LOGIN")  # the command
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].upper().startswith("A OK")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTHENTICATE {mechanism}")

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        lines = [talk.line()]
        while not lines[-1].startswith(("a ", "+")):
            lines.append(talk.line())
        return lines

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        return cls.command(talk, f"LOGIN {_quoted(user)} {_quoted(password)}")


class _Pop3:
    """RFC 1939, 2449, 2595."""

    starttls = "STLS"

    @staticmethod
    def greeting(talk: Conversation) -> None:
        line = talk.line()
        if not line.upper().startswith("+OK"):
            raise _no_greeting("POP3", talk, line)

    @staticmethod
    def command(talk: Conversation, text: str) -> list[str]:
        talk.send(text)
        return [talk.line()]

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        talk.send("CAPA")
        words: set[str] = set()
        mechanisms: set[str] = set()
        if not talk.line().upper().startswith("+OK"):
            # No CAPA is no sign of no methods: every server has these (RFC 1939).
            return words, {"LOGIN"}
        while (line := talk.line().upper()) != ".":
            first, *rest = line.split() or [""]
            words.add("STARTTLS" if first == "STLS" else first)
            mechanisms |= set(rest) if first == "SASL" else set()
        if "USER" in words:
            mechanisms.add("LOGIN")  # USER and PASS
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].upper().startswith("+OK")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTH {mechanism}")

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        return [talk.line()]

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        lines = cls.command(talk, f"USER {user}")
        return cls.command(talk, f"PASS {password}") if cls.is_good(lines) else lines


class _Smtp:
    """RFC 5321, 6409, 3207, 4954."""

    starttls = "STARTTLS"

    @classmethod
    def greeting(cls, talk: Conversation) -> None:
        lines = cls.wait(talk)
        if not lines[-1].startswith("220"):
            raise _no_greeting("SMTP", talk, lines[-1])

    @classmethod
    def command(cls, talk: Conversation, text: str) -> list[str]:
        talk.send(text)
        return cls.wait(talk)

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        lines = [talk.line()]
        while lines[-1][3:4] == "-":
            lines.append(talk.line())
        return lines

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        mechanisms: set[str] = set()
        for line in cls.command(talk, "EHLO [127.0.0.1]"):
            first, *rest = line[4:].upper().replace("AUTH=", "AUTH ").split() or [""]
            words.add(first)
            mechanisms |= set(rest) if first == "AUTH" else set()
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].startswith("2")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTH {mechanism}")

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        lines = cls.authenticate(talk, "LOGIN")
        for text in (user, password):
            if not lines[-1].startswith("334"):
                break
            talk.send(in_base64(text))
            lines = cls.wait(talk)
        return lines


PROTOCOLS: dict[str, Any] = {"imap": _Imap, "pop3": _Pop3, "smtp": _Smtp}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_base64(text: str) -> str:
    """Return *text* in Base64, as SASL sends it (RFC 4422, RFC 4648)."""
    return base64.b64encode(text.encode()).decode()
