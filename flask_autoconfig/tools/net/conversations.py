"""The protocols of mail servers: IMAP, POP3 and SMTP, line by line."""

import base64
import hmac
import re
import socket
from collections.abc import Callable
from contextlib import suppress

from .common import ProbeError, texts
from .untrusted import Secrets

LONGEST_LINE = 8 * 1024  # bytes
MAX_TEXT = 64 * 1024  # bytes that one connection may send


class Conversation:
    """A conversation with a mail server, with limits on the length of responses.

    *seconds_left* returns the seconds left for the conversation. A response is a list of
    lines, whose last one has the status. Every method raises ProbeError and OSError.
    """

    name = ""
    tag = ""  # in front of each command
    starttls, sasl, logout = "STARTTLS", "AUTH", "QUIT"  # the commands
    open_inbox = ""  # the command that opens the mailbox after a login
    has_initial_response = False  # clients send it with the SASL command (RFC 4422)
    greetings: tuple[str, ...]
    refusals: tuple[str, ...]  # the beginnings of greetings that refuse the connection
    last_line = re.compile("")  # matches the last line of a response
    success: str  # what that line begins with if the command succeeded

    def __init__(
        self, sock: socket.socket, secrets: Secrets, seconds_left: Callable[[], float]
    ) -> None:
        self.sock, self._secrets, self._seconds_left = sock, secrets, seconds_left
        self.transcript: list[str] = []  # the server's lines
        self.buffer = b""  # data after the last line
        self._received = 0  # bytes
        self._previous = ""  # line

    def read_line(self) -> str:
        while b"\n" not in self.buffer:
            if len(self.buffer) > LONGEST_LINE:
                raise ProbeError("protocol", "a line without end")
            self.sock.settimeout(self._seconds_left())
            data = self.sock.recv(4096)
            if not data:
                raise self._closed()
            self._received += len(data)
            if self._received > MAX_TEXT:
                raise ProbeError("protocol", "an answer without end")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        self._previous = line.rstrip(b"\r").decode("utf-8", "replace")
        self.transcript.append(self._previous)
        return self._previous

    def _closed(self) -> ProbeError:
        if self._previous.upper().startswith(self.refusals):
            return self.refusal("it turns clients away", self._previous)
        after = f" after “{self.quoted(self._previous)}”" if self._previous else ""
        when = after if self.transcript else " before its greeting"
        problem = f"the server closed the connection{when}"
        return ProbeError("protocol", problem, texts()["mail"]["closed"])

    def refusal(self, problem: str, line: str) -> ProbeError:
        """Return the error for a line by which the server refuses something."""
        rows = texts()["refused"]
        cures = (row["cure"] for row in rows if re.search(row["words"], line, re.I))
        cure = next(cures, texts()["mail"]["refused"])
        return ProbeError("refused", f"{problem}: “{self.quoted(line)}”", cure)

    def send(self, text: str) -> None:
        self.sock.settimeout(self._seconds_left())
        self.sock.sendall(text.encode() + b"\r\n")

    def quoted(self, line: str, most: int = 100) -> str:
        """Return a line of the server for a message, shortened and without secrets."""
        return self._secrets.quoted(line)[:most]

    def read_greeting(self) -> bool:
        """Read the greeting; return False if it does not come in time."""
        try:
            line = self.read_line()
            while line.startswith("220-"):
                line = self.read_line()
        except (TimeoutError, ProbeError) as error:
            if getattr(error, "kind", "timeout") != "timeout":
                raise
            return False
        if line.upper().startswith(self.greetings):
            return True
        if line.upper().startswith(self.refusals):
            raise self.refusal("it turns clients away", line)
        raise self.wrong_protocol(line)

    def wrong_protocol(self, line: str) -> ProbeError:
        """Return the error for a line that is no greeting of the protocol."""
        server, quotation = server_of(line), f"“{self.quoted(line)}”"
        problem = f"no {self.name} greeting: {quotation}"
        if server:
            problem = f"{server} answers there ({quotation})"
        cure = texts()["mail"]["other"].format(name=self.name)
        return ProbeError("protocol", problem, cure)

    def read_response(self) -> list[str]:
        lines = [self.read_line()]
        while not self.last_line.match(lines[-1]):
            lines.append(self.read_line())
        return lines

    def command(self, text: str) -> list[str]:
        self.send(self.tag + text)
        return self.read_response()

    def is_success(self, lines: list[str]) -> bool:
        return lines[-1].upper().startswith(self.success)

    def capabilities(self) -> tuple[set[str], set[str]]:
        """Return the server's capabilities and its SASL mechanisms, in upper case.

        The mechanism LOGIN also stands for the protocol's own command.
        """
        words: set[str] = set()
        mechanisms: set[str] = set()
        for line in self.offers():
            keyword, *rest = line.replace("AUTH=", "AUTH ").split() or [""]
            words.add(keyword)
            mechanisms |= set(rest) if keyword == "AUTH" else set()
        return words, mechanisms

    def offers(self) -> list[str]:
        """Return the capabilities in SMTP's form, such as `STARTTLS`, `AUTH PLAIN`."""
        raise NotImplementedError

    def authenticate(self, mechanism: str, user: str, password: str) -> list[str]:
        """Log in by PLAIN (RFC 4616), CRAM-MD5 (RFC 2195) or LOGIN; return the response."""
        if mechanism == "LOGIN":
            return self.login(user, password)
        command, message = f"{self.sasl} {mechanism}", f"\0{user}\0{password}"
        if mechanism == "PLAIN" and self.has_initial_response:
            return self.command(f"{command} {in_base64(message)}")
        lines = self.command(command)
        if not lines[-1].startswith(("+", "334")) or lines[-1].upper().startswith(
            "+OK"
        ):
            return lines
        if mechanism != "PLAIN":
            challenge = b""
            with suppress(ValueError):
                challenge = base64.b64decode(lines[-1].partition(" ")[2])
            digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
            self._secrets.add(digest)  # a weak password can be found from it
            message = f"{user} {digest}"
        self.send(in_base64(message))
        return self.read_response()

    def login(self, user: str, password: str) -> list[str]:
        """Log in by the protocol's own command; return the response."""
        raise NotImplementedError

    def use_account(self, address: str) -> tuple[str, str]:
        """Do what a client does after the login, without sending or changing anything.

        Return what failed (inbox, sender, recipient or greeting, "" for nothing), and
        the server's words. *address* is the user's.
        """
        return self._attempt("inbox", self.open_inbox)

    def _attempt(self, stage: str, text: str) -> tuple[str, str]:
        lines = self.command(text)
        first, *more = [line for line in lines if not line.startswith("* ")] or lines
        words = " ".join([first, *(line[4:] for line in more)])
        return "" if self.is_success(lines) else stage, words


# What Cisco's firewalls put in place of the extensions that they do not let pass.
_MASKED = re.compile("X{4,}[A-Z]?")


def server_of(line: str) -> str:
    """Return the kind of server that greets with this line, "" if it is unknown."""
    rows = texts()["first_line"].items()
    return next((name for name, regex in rows if re.match(regex, line, re.I)), "")


class Imap(Conversation):
    """IMAP (RFC 9051); every command has the tag "a"."""

    name = "IMAP"
    tag = "a "
    sasl, logout = "AUTHENTICATE", "a LOGOUT"
    open_inbox = "EXAMINE INBOX"  # SELECT would reset flags
    greetings = ("* OK", "* PREAUTH")
    refusals = ("* BYE", "* NO", "* BAD")
    last_line = re.compile(r"a |\+|\* BYE")
    success = "A OK"

    def offers(self) -> list[str]:
        response = self.command("CAPABILITY")
        if not self.is_success(response):
            raise self.refusal("it refuses CAPABILITY", response[-1])
        lines = [line.upper().split() for line in response]
        words = [
            word for line in lines if line[:2] == ["*", "CAPABILITY"] for word in line
        ]
        return words if "LOGINDISABLED" in words else [*words, "AUTH LOGIN"]

    def login(self, user: str, password: str) -> list[str]:
        quoted = [re.sub(r'["\\]', r"\\\g<0>", text) for text in (user, password)]
        return self.command('LOGIN "{}" "{}"'.format(*quoted))

    def use_account(self, address: str) -> tuple[str, str]:
        # 163.com opens no inbox for clients that have not named themselves (RFC 2971).
        if re.search(r"(?im)^\* CAPABILITY.* ID\b", "\n".join(self.transcript)):
            self.command('ID ("name" "flask-autoconfig")')
        return super().use_account(address)


class Pop3(Conversation):
    """POP3 (RFC 1939, 2449, 2595)."""

    name = "POP3"
    starttls, open_inbox = "STLS", "STAT"
    greetings = ("+OK",)
    refusals = ("-ERR",)
    success = "+OK"

    def offers(self) -> list[str]:
        if not self.is_success(self.command("CAPA")):
            return ["AUTH LOGIN"]  # every server has USER and PASS (RFC 1939)
        lines = []
        while (line := self.read_line().upper()) != ".":
            lines.append(line.strip().replace("SASL ", "AUTH "))
        return [*lines, "AUTH LOGIN"] if "USER" in lines else lines

    def login(self, user: str, password: str) -> list[str]:
        lines = self.command(f"USER {user}")
        return self.command(f"PASS {password}") if self.is_success(lines) else lines


class Smtp(Conversation):
    """SMTP (RFC 5321, 6409, 3207, 4954)."""

    name, has_initial_response = "SMTP", True
    greetings = ("220",)
    refusals = ("4", "5")
    last_line = re.compile("(?!...-)")
    success = "2"

    def offers(self) -> list[str]:
        # K-9 sends this literal, and Thunderbird an address literal, too.
        lines = self.command("EHLO [127.0.0.1]")
        offered = [line[4:].upper() for line in lines]
        is_whole = any(line.startswith(("STARTTLS", "AUTH")) for line in offered)
        if not self.is_success(lines):
            raise self.refusal("it refuses what mail clients greet with", lines[-1])
        masked = [line for line in offered if _MASKED.fullmatch(line)]
        if masked and not is_whole:
            problem = f"a firewall hides what the server offers (“250-{masked[0]}”)"
            raise ProbeError("masked", problem)
        return offered

    def login(self, user: str, password: str) -> list[str]:
        lines = self.command("AUTH LOGIN")
        for text in (user, password):
            if not lines[-1].startswith("334"):
                break
            lines = self.command(in_base64(text))
        return lines

    def use_account(self, address: str) -> tuple[str, str]:
        if not address.isascii():  # it needs SMTPUTF8 (RFC 6531)
            return "", ""
        outcome = self._begin_mail(address)
        if not outcome[0]:
            # Outlook greets with the name of its computer.
            failed, words = self._attempt("greeting", "EHLO desktop")
            if not failed:
                failed, words = self._begin_mail(address)
            if failed and _NAME_REFUSED.search(words):
                return "greeting", words
        return outcome

    def _begin_mail(self, address: str) -> tuple[str, str]:
        """Begin a mail and abort it; return the same as `use_account`."""
        # Many servers look a recipient's domain up in DNS, where example.net takes no
        # mail (RFC 7505); a web host has an address at least.
        domains = ("example.net", f"www.{address.rpartition('@')[2]}")
        outcome = self._attempt("sender", f"MAIL FROM:<{address}>")
        for domain in () if outcome[0] else domains:
            failed, words = self._attempt("recipient", f"RCPT TO:<postmaster@{domain}>")
            is_unknown = bool(failed and _DOMAIN_REFUSED.search(words))
            if not (is_unknown and outcome[0]):  # the first refusal says more
                outcome = failed, words
            if not is_unknown:
                break
        with suppress(OSError, ProbeError):
            self.command("RSET")
        return outcome


# A refusal because of the recipient's domain (RFC 3463, 3.2), and of the client's name.
_DOMAIN_REFUSED = re.compile(r"^... [45]\.1\.|null ?MX|domain not found", re.IGNORECASE)
_NAME_REFUSED = re.compile("helo|fully.?qualified|host ?name", re.IGNORECASE)

CONVERSATIONS = {"imap": Imap, "pop3": Pop3, "smtp": Smtp}


def in_base64(text: str) -> str:
    """Return *text* in Base64, as SASL sends it (RFC 4422, RFC 4648)."""
    return base64.b64encode(text.encode()).decode()
