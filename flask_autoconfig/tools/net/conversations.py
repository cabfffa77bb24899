"""The protocols of mail servers: IMAP, POP3 and SMTP, line by line."""

import base64
import re
import socket
from collections.abc import Callable
from contextlib import suppress

from .common import ProbeError, texts
from .tcp import Network
from .untrusted import Secrets

LONGEST_LINE = 8 * 1024  # bytes
MOST_TEXT = 64 * 1024  # bytes that one connection may send


class Conversation:
    """Commands to a mail server and its responses, of bounded length and number.

    *left* returns the seconds left for the conversation. Responses are lists of lines,
    of which the last has the status. Every method raises ProbeError, and OSError.
    """

    name = ""
    tag = ""  # in front of each command
    starttls, sasl, farewell = "STARTTLS", "AUTH", "QUIT"  # the commands
    look = ""  # the command that looks into the mailbox after a login
    at_once = False  # clients send the first response of SASL with the command
    greetings: tuple[str, ...]
    refusals: tuple[str, ...]  # what a server greets with that refuses the connection
    last = re.compile("")  # the beginning of the last line of a response
    success: str  # what that line begins with if the response is good

    def __init__(
        self, sock: socket.socket, secrets: Secrets, left: Callable[[], float]
    ) -> None:
        self.sock, self._secrets, self._left = sock, secrets, left
        self.heard: list[str] = []
        self.rest = b""  # what came after the last line
        self._received = 0
        self._last = ""  # line that was read

    def line(self) -> str:
        while b"\n" not in self.rest:
            if len(self.rest) > LONGEST_LINE:
                raise ProbeError("protocol", "a line without end")
            self.sock.settimeout(self._left())
            data = self.sock.recv(4096)
            if not data:
                if self._last.upper().startswith(self.refusals):
                    raise self.refused("it turns clients away", self._last)
                after = f" after “{self.quoted(self._last)}”" if self._last else ""
                when = after if self.heard else " before its greeting"
                problem = f"the server closed the connection{when}"
                raise ProbeError("protocol", problem, texts()["mail"]["closed"])
            self._received += len(data)
            if self._received > MOST_TEXT:
                raise ProbeError("protocol", "an answer without end")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        self._last = line.rstrip(b"\r").decode("utf-8", "replace")
        self.heard.append(self._last)
        return self._last

    def refused(self, problem: str, line: str) -> ProbeError:
        rows = texts()["refused"]
        cures = (row["cure"] for row in rows if re.search(row["words"], line, re.I))
        cure = next(cures, texts()["mail"]["refused"])
        said = f"“{self.quoted(line)}”{meaning(line)}"
        return ProbeError("refused", f"{problem}: {said}", cure)

    def send(self, text: str) -> None:
        self.sock.settimeout(self._left())
        self.sock.sendall(text.encode() + b"\r\n")

    def quoted(self, line: str, most: int = 100) -> str:
        """Return a line of the server for a message, cut, and without secrets."""
        return self._secrets.quoted(line)[:most]

    def has_greeted(self) -> bool:
        """Read the greeting; return False if it does not come in time."""
        try:
            line = self.line()
            while line.startswith("220-"):
                line = self.line()
        except (TimeoutError, ProbeError) as error:
            if getattr(error, "kind", "timeout") != "timeout":
                raise
            return False
        if line.upper().startswith(self.greetings):
            return True
        if line.upper().startswith(self.refusals):
            raise self.refused("it turns clients away", line)
        raise self.unlike(line)

    def unlike(self, line: str) -> ProbeError:
        """Return the error for a line that is no greeting of the protocol."""
        server, said = server_of(line), f"“{self.quoted(line)}”"
        there = f"{server} answers there ({said})" if server else ""
        cure = texts()["mail"]["other"].format(name=self.name)
        return ProbeError("protocol", there or f"no {self.name} greeting: {said}", cure)

    def response(self) -> list[str]:
        lines = [self.line()]
        while not self.last.match(lines[-1]):
            lines.append(self.line())
        return lines

    def command(self, text: str) -> list[str]:
        self.send(self.tag + text)
        return self.response()

    def is_good(self, lines: list[str]) -> bool:
        return lines[-1].upper().startswith(self.success)

    def capabilities(self) -> tuple[set[str], set[str]]:
        """Return what the server offers, and the SASL mechanisms, in upper case.

        The mechanism LOGIN stands for the protocol's own command, too.
        """
        words: set[str] = set()
        mechanisms: set[str] = set()
        for line in self.offers():
            keyword, *rest = line.replace("AUTH=", "AUTH ").split() or [""]
            words.add(keyword)
            mechanisms |= set(rest) if keyword == "AUTH" else set()
        return words, mechanisms

    def offers(self) -> list[str]:
        """Return what the server offers, in SMTP's form: `STARTTLS`, `AUTH PLAIN`."""
        raise NotImplementedError

    def login(self, user: str, password: str) -> list[str]:
        raise NotImplementedError

    def use(self, address: str) -> tuple[str, str]:
        """Do what a client does after the login; nothing is sent or changed.

        Returns what failed, inbox, sender, recipient or greeting ("" for nothing), and
        the response. *address* is the person's.
        """
        return self._tried("inbox", self.look)

    def _tried(self, what: str, text: str) -> tuple[str, str]:
        lines = self.command(text)
        first, *more = [line for line in lines if not line.startswith("* ")] or lines
        said = " ".join([first, *(line[4:] for line in more)])
        return "" if self.is_good(lines) else what, said


# What Cisco's firewalls put in place of the extensions that they do not let pass.
_MASKED = re.compile("X{4,}[A-Z]?")


def meaning(line: str) -> str:
    """Return what the code in a response means, in brackets, if its words say little."""
    code = re.search(r"^\d{3}[ -]\d\.(\d{1,3}\.\d{1,3})\b|\[([A-Z/-]+)\]", line)
    words = re.sub(texts()["vague"], "", line[code.end() :], flags=re.I) if code else ""
    meant = code and texts()["meanings"].get(code[1] or code[2])
    return f" ({meant})" if meant and not re.search(r"[^\W_]{2}", words) else ""


def server_of(line: str) -> str:
    """Return what server says such a line, "" for none that is known."""
    rows = texts()["first_line"].items()
    return next((it for it, start in rows if re.match(start, line, re.I)), "")


def server_at(network: Network, host: str, port: int) -> tuple[str, str]:
    """Return what server sends a line first, without TLS, and the line."""
    line = ""
    with suppress(OSError, ProbeError), network.step().connect(host, port) as sock:
        sock.settimeout(1.0)
        line = sock.recv(100).decode("utf-8", "replace").strip()
    return server_of(line), line


class Imap(Conversation):
    """IMAP (RFC 9051); every command has the tag "a"."""

    name = "IMAP"
    tag = "a "
    sasl, farewell = "AUTHENTICATE", "a LOGOUT"
    look = "EXAMINE INBOX"  # SELECT would reset flags
    greetings = ("* OK", "* PREAUTH")
    refusals = ("* BYE", "* NO", "* BAD")
    last = re.compile(r"a |\+|\* BYE")
    success = "A OK"

    def offers(self) -> list[str]:
        response = self.command("CAPABILITY")
        if not self.is_good(response):
            raise self.refused("it refuses CAPABILITY", response[-1])
        lines = [line.upper().split() for line in response]
        words = [
            word for line in lines if line[:2] == ["*", "CAPABILITY"] for word in line
        ]
        return words if "LOGINDISABLED" in words else [*words, "AUTH LOGIN"]

    def login(self, user: str, password: str) -> list[str]:
        quoted = [re.sub(r'["\\]', r"\\\g<0>", text) for text in (user, password)]
        return self.command('LOGIN "{}" "{}"'.format(*quoted))

    def use(self, address: str) -> tuple[str, str]:
        # 163.com opens no inbox for clients that have not named themselves (RFC 2971).
        if any(re.match(r"\* CAPABILITY.* ID\b", line, re.I) for line in self.heard):
            self.command('ID ("name" "flask-autoconfig")')
        found = super().use(address)
        with suppress(OSError, ProbeError):  # such as for more folders than can be read
            listed = ("", "") if found[0] else self._tried("folders", 'LIST "" "%"')
            found = listed if listed[1].upper().startswith("A NO") else found
        return found


class Pop3(Conversation):
    """POP3 (RFC 1939, 2449, 2595)."""

    name = "POP3"
    starttls, look = "STLS", "STAT"
    greetings = ("+OK",)
    refusals = ("-ERR",)
    success = "+OK"

    def offers(self) -> list[str]:
        if not self.is_good(self.command("CAPA")):
            return ["AUTH LOGIN"]  # every server has USER and PASS (RFC 1939)
        lines = []
        while (line := self.line().upper()) != ".":
            lines.append(line.strip().replace("SASL ", "AUTH "))
        return [*lines, "AUTH LOGIN"] if "USER" in lines else lines

    def login(self, user: str, password: str) -> list[str]:
        lines = self.command(f"USER {user}")
        return self.command(f"PASS {password}") if self.is_good(lines) else lines


class Smtp(Conversation):
    """SMTP (RFC 5321, 6409, 3207, 4954)."""

    name, at_once = "SMTP", True
    greetings = ("220",)
    refusals = ("4", "5")
    last = re.compile("(?!...-)")
    success = "2"

    def offers(self) -> list[str]:
        # As K-9; Thunderbird has an address, too.
        lines = self.command("EHLO [127.0.0.1]")
        offered = [line[4:].upper() for line in lines]
        is_whole = any(line.startswith(("STARTTLS", "AUTH")) for line in offered)
        # The rest of a response that seems to be over comes before the next response.
        rest = [] if is_whole or not self.is_good(lines) else self.command("NOOP")
        if odd := [it for it in (*lines, *rest) if not re.match(r"\d{3}", it)]:
            problem = f"the response to EHLO is malformed, at “{self.quoted(odd[0])}”"
            raise ProbeError("protocol", problem, texts()["mail"]["malformed"])
        if not self.is_good(lines):
            for line in self.heard:  # LMTP and FTP greet with 220 too
                if server_of(line) not in ("an SMTP server", ""):
                    raise self.unlike(line)
            raise self.refused("it refuses what mail clients greet with", lines[-1])
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

    def use(self, address: str) -> tuple[str, str]:
        if not address.isascii():  # it needs SMTPUTF8 (RFC 6531)
            return "", ""
        found = self._begun(address)
        if not found[0]:
            # Outlook gives the name of its computer.
            failed, said = self._tried("greeting", "EHLO desktop")
            failed, said = (failed, said) if failed else self._begun(address)
            found = ("greeting", said) if failed and _NO_NAME.search(said) else found
        return found

    def _begun(self, address: str) -> tuple[str, str]:
        """Begin a mail and give it up; see `use`."""
        # Many servers look a recipient's domain up in DNS, where example.net takes no
        # mail (RFC 7505); a web host has an address at least.
        domains = ("example.net", f"www.{address.rpartition('@')[2]}")
        found = self._tried("sender", f"MAIL FROM:<{address}>")
        for domain in () if found[0] else domains:
            tried = self._tried("recipient", f"RCPT TO:<postmaster@{domain}>")
            is_unknown = bool(tried[0] and _NO_DOMAIN.search(tried[1]))
            found = found if is_unknown and found[0] else tried  # the first says more
            if not is_unknown:
                break
        with suppress(OSError, ProbeError):
            self.command("RSET")
        return found


# What servers say of a recipient's domain (RFC 3463, 3.2).
_NO_DOMAIN = re.compile(r"^... [45]\.1\.|null ?MX|domain not found", re.IGNORECASE)
_NO_NAME = re.compile("helo|fully.?qualified|host ?name", re.IGNORECASE)

CONVERSATIONS = {"imap": Imap, "pop3": Pop3, "smtp": Smtp}


def in_base64(text: str) -> str:
    """Return *text* in Base64, as SASL sends it (RFC 4422, RFC 4648)."""
    return base64.b64encode(text.encode()).decode()
