"""Invalid values from servers and from DNS: findings, never tracebacks."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from paper import Every, Paper
from seeds import fixed
from strangers import answering, server
from support import rows, tables
from world import DOMAIN, OTHER_NAMES, USER, WEB, Answer, FrontRequest

from flask_autoconfig import families
from flask_autoconfig.tools.check import Case, Facts, Report
from flask_autoconfig.tools.commands.check import _side_by_side
from flask_autoconfig.tools.net.http import Request, fetch_once
from flask_autoconfig.tools.net.mail import Endpoint, mail_server
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError

pytestmark = pytest.mark.world  # the signature of a profile is read by openssl

NETWORK = Network(Resolver(timeout=1), timeout=2.0, allow_private=True)
MARKED = f"""
[[provider]]
domains = ["{DOMAIN}"]
mx_domains = ["marked.test"]
incoming = [
    {{type = "imap", hostname = "marked.test", username = "marked.test"}},
    {{type = "pop3", hostname = "marked.test"}},
]
outgoing = [{{type = "smtp", hostname = "marked.test", port = 4242}}]
calendar = [{{type = "caldav", url = "https://marked.test/"}}]
"""

ADDRESSES = f"$ORIGIN {DOMAIN}.\n" + "".join(
    f"{name} IN A {WEB}\n"
    for name in ("@", "autoconfig", "autodiscover", "ua-auto-config")
)


def assert_reported(world: Paper, folder: Path, value: str, records: str = "") -> None:
    """Let the web servers of the domain put the value in place of each marked one."""
    (file := folder / "marked.toml").write_text(MARKED)
    web = world.web(WEB, Every(), file)
    world.names.serve(ADDRESSES + records)

    def answer(request: FrontRequest) -> Answer:
        own = request.host.startswith("autoconfig") or "caldav" in request.path
        if own or "carddav" in request.path or "mail/config" in request.path:
            target = f"https://{value}/" if own else value
            location = target.encode("utf-8", "surrogatepass").decode("latin-1")
            return fixed(302, "", {"Location": location, "Age": "9" * 12})(request)
        return changed(request)

    def changed(request: FrontRequest) -> Answer:
        status, headers, body = request.served()
        is_json = "json" in headers["Content-Type"]
        fit = "".join(char for char in value if char >= " " and char != "\ud800")
        fitted = json.dumps(value)[1:-1] if is_json else escape(fit)
        redirect = f"<Account><RedirectUrl>https://{fitted}/</RedirectUrl>"
        text = body.decode().replace("<Account>", redirect)
        for marked in ("marked.test", "4242", *[request.host] * is_json):
            text = text.replace(marked, fitted)
        return status, headers, text.encode()

    web.answer = answer
    found = world.check(USER, "--allow-private")["findings"]
    assert found
    seen = [finding["seen"] for finding in found]
    assert not [text for text in seen if text.startswith("could not be checked")]
    for words in (("check", USER, "--verbose"), ("init", DOMAIN, "-o", "-")):
        options = ("--allow-private", "--resolver", OTHER_NAMES, "--timeout", "5")
        result = world.invoke(*words, *options)
        assert isinstance(result.exception, SystemExit | None), result.exception


TABLES = tables("foreign_values.toml")
VALUES = TABLES["values"] | {"a surrogate": "a\ud800b"}
VALUES |= {
    name: before + times * repeated + after
    for name, (before, repeated, times, after) in TABLES["repeated"].items()
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_invalid_value_is_a_finding(
    world: Paper, tmp_path: Path, value: str
) -> None:
    assert_reported(world, tmp_path, value)


@rows("names", "name", "foreign_values.toml")
def test_an_invalid_name_is_a_finding(world: Paper, tmp_path: Path, name: str) -> None:
    target = name if name.count(".") > 1 else f"{name}.{DOMAIN}"
    services = ("_imaps", "_submissions", "_caldavs", "_carddavs", "_autodiscover")
    records = (
        f"@ IN MX 1 {target}.",
        *(f"{service}._tcp IN SRV 0 1 443 {target}." for service in services),
        f'_caldavs._tcp IN TXT "path=/{"[x" if "[" in name else "a b"}"\n',
    )
    assert_reported(world, tmp_path, "x.test", "\n".join(records))


# --- Invalid HTTP -----------------------------------------------------------------------


@rows("responses", "before, repeated, times, after", "foreign_values.toml")
def test_an_invalid_response_is_an_error_with_a_message(
    before: str, repeated: str, times: int, after: str
) -> None:
    raw = (before + times * repeated + after).encode("latin-1")
    with server(answering(raw)) as port:
        try:
            response = fetch_once(NETWORK.step(), Request(f"http://127.0.0.1:{port}/"))
        except ProbeError as error:
            assert str(error)
        else:
            assert len(response.body) < 100


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_an_invalid_port_is_an_error_with_a_message(port: int) -> None:
    with pytest.raises(ProbeError, match="is not a valid port"):
        mail_server(NETWORK, Endpoint("imap", "127.0.0.1", port, "SSL"))


def test_a_check_that_fails_does_not_stop_the_others() -> None:
    chosen = families.chosen(None, "")
    cases = [Case(f"{name}.test", chosen) for name in ("fails", "ends")]

    def look(case: Case, facts: Facts) -> Report:
        if case.domain == "fails.test":
            raise OverflowError("int too large\x1b")
        return Report(case.domain, (), (), None, False)

    results = list(_side_by_side(cases, look, NETWORK, lambda _: None))
    assert [case for case, _ in results] == cases
    (failed,), ended = (report.findings for _, report in results)
    assert failed.status == "failure"
    assert failed.seen == "could not be checked: OverflowError: int too large?"
    assert not ended
