"""The protocols of mail servers: IMAP, POP3 and SMTP, line by line."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable

from .tcp import ProbeError
from .untrusted import Secrets

LONGEST_LINE = 8 * 1024  # bytes
MOST_TEXT = 64 * 1024  # bytes that one connection may send


class Conversation:
    """Commands to a mail server and its responses, of bounded length and number.

    *left* returns the seconds left for the conversation. Responses are lists of lines,
    of which the last has the status. Every method raises ProbeError, and OSError.
    """

    name = ""
    starttls = "STARTTLS"  # the command
    farewell = "QUIT"
    greetings: tuple[str, ...]
    refusals: tuple[str, ...]  # what a server greets with that refuses the connection
    success: str  # what the last line of a good response begins with

    def __init__(
        self, sock: socket.socket, secrets: Secrets, left: Callable[[], float]
    ) -> None:
        self.sock = sock
        self._secrets = secrets
        self._left = left
        self._buffer = b""
        self._received = 0

    def line(self) -> str:
        """Read the next line."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProbeError("protocol", "a line without end")
            self.sock.settimeout(self._left())
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
        self.sock.settimeout(self._left())
        self.sock.sendall(text.encode() + b"\r\n")

    def quoted(self, line: str, most: int = 100) -> str:
        """Return a line of the server for a message, cut, and without secrets."""
        return self._secrets.quoted(line)[:most]

    def greeting(self) -> None:
        """Read the greeting."""
        line = self.greeting_line()
        if not line.upper().startswith(self.greetings):
            raise self._no_greeting(line)

    def greeting_line(self) -> str:
        """Read the line of the greeting that has the status."""
        return self.line()

    def response(self) -> list[str]:
        """Read a response."""
        return [self.line()]

    def command(self, text: str) -> list[str]:
        """Send a command and read the response."""
        self.send(text)
        return self.response()

    def is_good(self, lines: list[str]) -> bool:
        """Return whether a response reports success."""
        return lines[-1].upper().startswith(self.success)

    def capabilities(self) -> tuple[set[str], set[str]]:
        """Return what the server offers, and the SASL mechanisms, in upper case.

        The mechanism LOGIN stands for the protocol's own command, too.
        """
        raise NotImplementedError

    def authenticate(self, mechanism: str) -> list[str]:
        """Begin a SASL exchange (RFC 4422)."""
        return self.command(f"AUTH {mechanism}")

    def login(self, user: str, password: str) -> list[str]:
        """Log in by the protocol's own command."""
        raise NotImplementedError

    def _no_greeting(self, line: str) -> ProbeError:
        shown = f"“{self.quoted(line)}”"
        for starts, server in _GREETINGS.items():
            if line.upper().startswith(starts):
                message = f"no {self.name} greeting: {server} answers there ({shown})"
                cure = "publish the port of the right one"
                return ProbeError("protocol", message, cure)
        if line.upper().startswith(self.refusals):
            message = f"no {self.name} greeting: it turns clients away ({shown})"
            cure = "look at the server's log, and at what it refuses this address for"
            return ProbeError("protocol", message, cure)
        return ProbeError("protocol", f"no {self.name} greeting: {shown}")


# What servers of other kinds send first.
_GREETINGS = {
    ("* OK", "* PREAUTH"): "an IMAP server",
    ("+OK",): "a POP3 server",
    ("220",): "an SMTP server",
    ("HTTP/", "<"): "a web server",
    ("SSH-",): "an SSH server",
}


class Imap(Conversation):
    """IMAP (RFC 9051); every command has the tag "a"."""

    name = "IMAP"
    farewell = "a LOGOUT"
    greetings = ("* OK", "* PREAUTH")
    refusals = ("* BYE", "* NO", "* BAD")
    success = "A OK"

    def response(self) -> list[str]:
        lines = [self.line()]
        while not lines[-1].startswith(("a ", "+")):
            lines.append(self.line())
        return lines

    def command(self, text: str) -> list[str]:
        return super().command(f"a {text}")

    def capabilities(self) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        for line in self.command("CAPABILITY"):
            if line.upper().startswith("* CAPABILITY "):
                words |= set(line.upper().split()[2:])
        mechanisms = {
            word.removeprefix("AUTH=") for word in words if word.startswith("AUTH=")
        }
        if "LOGINDISABLED" not in words:
            mechanisms.add("LOGIN")
        return words, mechanisms

    def authenticate(self, mechanism: str) -> list[str]:
        return self.command(f"AUTHENTICATE {mechanism}")

    def login(self, user: str, password: str) -> list[str]:
        return self.command(f"LOGIN {_quoted(user)} {_quoted(password)}")


class Pop3(Conversation):
    """POP3 (RFC 1939, 2449, 2595)."""

    name = "POP3"
    starttls = "STLS"
    greetings = ("+OK",)
    refusals = ("-ERR",)
    success = "+OK"

    def capabilities(self) -> tuple[set[str], set[str]]:
        if not self.is_good(self.command("CAPA")):
            return set(), {"LOGIN"}  # every server has USER and PASS (RFC 1939)
        words: set[str] = set()
        mechanisms: set[str] = set()
        while (line := self.line().upper()) != ".":
            first, *rest = line.split() or [""]
            words.add("STARTTLS" if first == "STLS" else first)
            mechanisms |= set(rest) if first == "SASL" else set()
        if "USER" in words:
            mechanisms.add("LOGIN")
        return words, mechanisms

    def login(self, user: str, password: str) -> list[str]:
        lines = self.command(f"USER {user}")
        return self.command(f"PASS {password}") if self.is_good(lines) else lines


class Smtp(Conversation):
    """SMTP (RFC 5321, 6409, 3207, 4954)."""

    name = "SMTP"
    greetings = ("220",)
    refusals = ("4", "5")
    success = "2"

    def greeting_line(self) -> str:
        return self.response()[-1]

    def response(self) -> list[str]:
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return lines

    def capabilities(self) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        mechanisms: set[str] = set()
        for line in self.command("EHLO [127.0.0.1]"):
            first, *rest = line[4:].upper().replace("AUTH=", "AUTH ").split() or [""]
            words.add(first)
            mechanisms |= set(rest) if first == "AUTH" else set()
        return words, mechanisms

    def login(self, user: str, password: str) -> list[str]:
        lines = self.authenticate("LOGIN")
        for text in (user, password):
            if not lines[-1].startswith("334"):
                break
            lines = self.command(in_base64(text))
        return lines


CONVERSATIONS: dict[str, type[Conversation]] = {
    "imap": Imap,
    "pop3": Pop3,
    "smtp": Smtp,
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_base64(text: str) -> str:
    """Return *text* in Base64, as SASL sends it (RFC 4422, RFC 4648)."""
    return base64.b64encode(text.encode()).decode()
