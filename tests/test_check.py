"""init, dns and check against real servers, and against the mistakes that people make."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.zone
import pytest
from bind import bind
from strangers import HEARING, at_terminal
from support import (
    BIN,
    TWO_DOMAINS,
    ZONE_HEAD,
    certificate_for,
    free_port,
    open_folder,
    program,
    serving,
    until,
)
from support import (
    run_process as run,
)
from world import DOMAIN, PASSWORD, USER, World, dovecot, nginx, submission, web, world

from flask_autoconfig.config.reading import load, loads

pytestmark = pytest.mark.world
Findings = list[dict[str, str]]
TIMEOUT = ("--timeout", "6")  # machines are shared, and slow at times


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    # Dovecot's mail user and nginx's workers go in there.
    with open_folder() as folder, world(folder) as here:
        (folder / "true.toml").write_text(here.toml)
        yield here


@pytest.fixture(scope="module")
def zone(here: World) -> str:
    """The records that are true of this world."""
    done = run(
        "--config", here.folder / "true.toml", "dns", "--target", f"www.{DOMAIN}"
    )
    assert done.returncode == 0
    return done.stdout


@pytest.fixture(scope="module")
def service(here: World) -> Iterator[str]:
    """The service as it should be, for whatever stands in front of it."""
    options = ("--workers", "1", "--proxies", "1")
    with serving(here.folder / "true.toml", *options) as url:
        yield url


@pytest.fixture(scope="module")
def front(here: World, service: str) -> Iterator[int]:
    """The service with nginx in front, as it should be."""
    with nginx(here.folder / "front", service, here.certificates["web"]) as port:
        yield port


@pytest.fixture(autouse=True)
def _published(here: World, zone: str) -> None:
    here.names.load(zone)


Ask = Callable[..., Findings]


@pytest.fixture
def findings(here: World, tmp_path: Path) -> Ask:
    """What `check` finds, with a file of this text; only what is not ok by default."""

    def ask(
        text: str, *options: str | Path, port: int = 0, ok: bool = False
    ) -> Findings:
        file = tmp_path / "autoconfig.toml"
        file.write_text(text)
        done = here.flask_autoconfig(
            "--config", file, "check", DOMAIN, "--json", *TIMEOUT, *options, web=port
        )
        assert done.stderr == "" or "Password" in done.stderr, done.stderr
        found: Findings = json.loads(done.stdout)["findings"]
        failed = any(it["status"] == "failure" for it in found)
        assert done.returncode == (1 if failed else 0)
        assert all(
            it["why"] and it["cure"] for it in found if it["status"] == "failure"
        )
        return [it for it in found if ok or it["status"] in ("warning", "failure")]

    return ask


def of(done: Any) -> Findings:
    found: Findings = json.loads(done.stdout)["findings"]
    return found


def only(found: Findings) -> dict[str, str]:
    assert len(found) == 1, found
    return found[0]


# --- From nothing to a domain that works -----------------------------------------------


def test_the_whole_way_from_nothing_to_all_green(here: World) -> None:
    here.names.load("")
    file = here.folder / "way.toml"
    done = here.flask_autoconfig("init", DOMAIN, "-o", file, *TIMEOUT)
    assert done.returncode == 0, done.stderr
    with web(here, file, "way") as port:
        printed = run("--config", file, "dns", "--target", f"www.{DOMAIN}")
        here.names.load(printed.stdout)
        done = here.flask_autoconfig(
            "--config", file, "check", USER, *TIMEOUT, "--json", web=port
        )
    found = json.loads(done.stdout)["findings"]
    assert [it for it in found if it["status"] not in ("ok", "note")] == []
    assert done.returncode == 0
    steps = {"file", "dns", "https", "document", "server"}
    assert {it["step"] for it in found} <= steps


def test_without_a_file_what_is_published_is_checked(
    here: World, front: int, tmp_path: Path
) -> None:
    elsewhere = World(**{**vars(here), "folder": tmp_path})
    (tmp_path / "ca.pem").write_bytes((here.folder / "ca.pem").read_bytes())
    done = elsewhere.flask_autoconfig("check", USER, "-v", *TIMEOUT, web=front)
    assert done.returncode == 0, done.stdout
    assert "imap imap.example.test:993 SSL: it offers LOGIN, PLAIN" in done.stdout
    assert "failure" not in done.stdout
    assert "\x1b[" not in done.stdout


def test_a_domain_with_nothing_published_is_told_what_to_do(
    here: World, tmp_path: Path
) -> None:
    here.names.load("")
    elsewhere = World(**{**vars(here), "folder": tmp_path})
    (tmp_path / "ca.pem").write_bytes((here.folder / "ca.pem").read_bytes())
    done = elsewhere.flask_autoconfig("check", DOMAIN, "--json", *TIMEOUT)
    assert done.returncode == 1
    found = json.loads(done.stdout)["findings"]
    failed = [it for it in found if it["status"] == "failure"]
    assert any("flask-autoconfig init" in it["cure"] for it in failed)


# --- init ------------------------------------------------------------------------------


def test_init_takes_the_safest_server_of_each_kind(here: World, tmp_path: Path) -> None:
    here.names.load("")
    done = here.flask_autoconfig("init", DOMAIN, "-o", "-", *TIMEOUT)
    assert done.returncode == 0
    (provider,) = loads(done.stdout).provider
    found = [
        (it.type, it.hostname, it.port, it.socket_type) for _, it in provider.servers
    ]
    assert found == [
        ("imap", f"imap.{DOMAIN}", 993, "SSL"),
        ("pop3", f"pop.{DOMAIN}", 995, "SSL"),
        ("smtp", f"smtp.{DOMAIN}", 465, "SSL"),
    ]
    assert "imap imap.example.test:143 STARTTLS is left out" in done.stderr
    assert f"MX {DOMAIN}: mx.{DOMAIN}" in done.stderr


def test_init_goes_by_srv_records(here: World, zone: str) -> None:
    done = here.flask_autoconfig("init", DOMAIN, "-o", "-", *TIMEOUT)
    (provider,) = loads(done.stdout).provider
    assert provider.calendar[0].url == f"https://dav.{DOMAIN}/"


def test_init_leaves_an_odd_url_out_and_says_so(here: World) -> None:
    here.names.load(
        "_caldavs._tcp IN SRV 0 0 443 dav.example.test.\n"
        '_caldavs._tcp IN TXT "path=/a b"\n'
        "_carddavs._tcp IN SRV 0 0 443 _dav.example.test.\n"
        "_jmap._tcp IN SRV 0 0 443 dav.example.test.\n"
    )
    done = here.flask_autoconfig("init", DOMAIN, "-o", "-", *TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert f"note: caldav https://dav.{DOMAIN}/a b is left out: " in done.stderr
    assert (
        f"note: carddav https://_dav.{DOMAIN}/.well-known/carddav is left out: "
        in done.stderr
    )
    (provider,) = loads(done.stdout).provider
    assert not provider.calendar
    assert not provider.address_book
    assert provider.incoming[-1].url == f"https://dav.{DOMAIN}/.well-known/jmap"


def test_init_never_overwrites_a_file_unasked(here: World, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine")
    done = here.flask_autoconfig("init", DOMAIN, "-o", file, *TIMEOUT)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert file.read_text() == "# mine"
    done = here.flask_autoconfig("init", DOMAIN, "-o", file, "--force", *TIMEOUT)
    assert done.returncode == 0
    assert load(file).provider


def test_init_that_finds_nothing_says_what_to_do(here: World, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    done = here.flask_autoconfig("init", "nowhere.test", "-o", file, *TIMEOUT)
    assert done.returncode == 1
    assert "there is no such domain in DNS: look at how it is spelt" in done.stderr
    assert not file.exists()


def test_init_of_a_domain_without_servers_says_what_to_do() -> None:
    with bind(DOMAIN) as server:
        done = run("init", DOMAIN, "-o", "-", "--resolver", server.resolver, *TIMEOUT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "write the file by hand" in done.stderr


def test_init_without_a_name_server_says_so_at_once() -> None:
    nobody = ("--resolver", "192.0.2.1", "--timeout", "0.2")
    done = run("init", DOMAIN, "-o", "-", *nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "no name server answers" in done.stderr
    assert "--resolver" in done.stderr


def test_init_leaves_out_what_the_domain_says_it_does_not_offer(here: World) -> None:
    here.names.load("_pop3s._tcp IN SRV 0 0 0 .\n_imaps._tcp IN SRV 0 0 993 imap\n")
    done = here.flask_autoconfig("init", DOMAIN, "-o", "-", *TIMEOUT)
    (provider,) = loads(done.stdout).provider
    assert [it.type for it in provider.incoming] == ["imap"]
    assert (
        f"note: pop3 pop.{DOMAIN}:995 SSL is left out: _pop3s._tcp.{DOMAIN} in DNS says"
        in done.stderr
    )


def test_init_looks_for_nothing_before_it_knows_where_to_write(tmp_path: Path) -> None:
    file = tmp_path / "nowhere/mine.toml"
    done = run("init", DOMAIN, "-o", file, "--resolver", "192.0.2.1")
    assert done.returncode == 1
    assert f"{file}: cannot write it: {file.parent}: No such file" in done.stderr
    assert "DNS" not in done.stderr


def test_init_publishes_encrypted_passwords_only_where_nothing_else_is_offered(
    here: World, tmp_path: Path
) -> None:
    with dovecot(
        here.folder / "cram", here.certificates["mail"], mechanisms="cram-md5"
    ) as server:
        done = run(
            *("init", DOMAIN, "-o", "-", *TIMEOUT),
            *("--resolver", f"127.0.0.1:{here.names.port}"),
            *("--connect-to", f"imap.{DOMAIN}:993:127.0.0.1:{server.imaps}"),
            *("--connect-to", f"smtp.{DOMAIN}:465:127.0.0.1:{here.smtps}"),
            SSL_CERT_FILE=str(here.folder / "ca.pem"),
        )
    (provider,) = loads(done.stdout).provider
    assert provider.incoming[0].authentication == ("password-encrypted",)
    assert provider.outgoing[0].authentication == ("password-cleartext",)


def test_init_of_something_that_is_no_domain_is_wrong_usage() -> None:
    assert run("init", "not a domain").returncode == 2
    assert run("init", "192.0.2.1").returncode == 2
    assert run("init", "example.com", "--resolver", "x:y:z").returncode == 2


# --- dns -------------------------------------------------------------------------------


def test_the_zone_is_one_for_dnspython_and_for_bind(zone: str, tmp_path: Path) -> None:
    zone = ZONE_HEAD + zone
    parsed = dns.zone.from_text(zone, origin=DOMAIN)
    target = parsed.find_rdataset("_imaps._tcp", "SRV")[0]
    assert (target.priority, target.port, str(target.target)) == (0, 993, "imap")
    assert str(parsed.find_rdataset("_imap._tcp", "SRV")[0].target) == "."
    for label in ("autoconfig", "autodiscover", "ua-auto-config"):
        assert str(parsed.find_rdataset(label, "CNAME")[0].target) == "www"
    (path,) = parsed.find_rdataset("_caldavs._tcp", "TXT")[0].strings
    assert path == b"path=/"
    (tmp_path / "zone").write_text(zone)
    subprocess.run(
        [program("named-checkzone"), DOMAIN, str(tmp_path / "zone")],
        check=True,
        capture_output=True,
    )


def test_every_exact_domain_has_a_zone(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS.replace('"example2.com"', '"example2.com", "*.x.test"'))
    done = run("--config", file, "dns", "--target", "www.example.com", "--json")
    zones = json.loads(done.stdout)
    assert list(zones) == ["example.com", "example2.com"]
    assert zones["example.com"]["certificate_names"] == [
        "autoconfig.example.com",
        "autodiscover.example.com",
        "ua-auto-config.example.com",
        "example.com",
    ]
    done = run("--config", file, "dns", "a.x.test", "--target", "www.example.com")
    assert "$ORIGIN a.x.test." in done.stdout


def test_the_days_of_a_change_over_have_both_digests(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(TWO_DOMAINS)
    new.write_text(TWO_DOMAINS.replace("imap.", "mail."))
    options = ("dns", "example.com", "--target", "www.example.com")
    first = _digests(run("--config", old, *options).stdout)
    second = _digests(run("--config", new, *options).stdout)
    both = _digests(run("--config", new, *options, "--previous", old).stdout)
    assert len(first) == len(second) == 1
    assert both == [*second, *first]


def _digests(zone: str) -> list[str]:
    return [line for line in zone.splitlines() if line.startswith("_ua-auto-config ")]


def test_dns_of_a_domain_that_is_not_in_the_file_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    done = run("--config", file, "dns", "nowhere.test", "--target", "www.example.com")
    assert done.returncode == 1
    assert "the file does not serve it" in done.stderr
    for target in ("a b", "192.0.2.1"):
        assert run("--config", file, "dns", "--target", target).returncode == 2


# --- check: each mistake, really made ----------------------------------------------------


def test_a_wrong_port_is_told_with_the_right_one(
    here: World, findings: Ask, front: int
) -> None:
    text = here.toml.replace('"imap"', f'"imap"\nport = {free_port()}')
    found = only(
        [it for it in findings(text, "--unpublished") if it["status"] == "failure"]
    )
    assert "nothing listens there" in found["seen"]
    assert "port = 993" in found["cure"]


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        (
            'type = "imap"\nport = 143\nsocket_type = "SSL"',
            'socket_type = "STARTTLS"',
        ),
        (
            'type = "imap"\nport = 993\nsocket_type = "STARTTLS"',
            'socket_type = "SSL"',
        ),
    ],
)
def test_wrong_encryption_is_told_with_the_right_one(
    here: World, findings: Ask, line: str, cure: str
) -> None:
    text = here.toml.replace('type = "imap"', line)
    found = only(
        [it for it in findings(text, "--unpublished") if it["status"] == "failure"]
    )
    assert found["subject"].startswith("imap imap.example.test")
    assert cure in found["cure"]


def _certificate(here: World, name: str, kind: str) -> tuple[Path, Path]:
    folder = here.folder / kind
    folder.mkdir(exist_ok=True)
    if kind == "misnamed":
        return certificate_for("other.test", folder=folder)
    ends = datetime.now(UTC) + timedelta(days=-1 if kind == "expired" else 3)
    return certificate_for(name, folder=folder, not_after=ends)


@pytest.mark.parametrize(
    ("kind", "status", "seen"),
    [
        ("expired", "failure", "certificate has expired"),
        ("misnamed", "failure", "it is for other.test, not for smtp.example.test"),
        ("ending", "warning", "the certificate ends in"),
    ],
)
def test_a_mail_servers_bad_certificate_is_told(
    here: World, findings: Ask, kind: str, status: str, seen: str
) -> None:
    certificate = _certificate(here, f"smtp.{DOMAIN}", kind)
    with submission(certificate, starttls=False) as port:
        text = here.toml.replace('"smtp"', f'"smtp"\nport = {port}')
        found = findings(text, "--unpublished")
    assert (f"smtp smtp.{DOMAIN}:{port} SSL", status) in [
        (it["subject"], it["status"]) for it in found
    ]
    assert any(seen in it["seen"] for it in found)


@pytest.mark.parametrize("kind", ["expired", "misnamed"])
def test_a_web_servers_bad_certificate_is_told(
    here: World, service: str, findings: Ask, kind: str
) -> None:
    certificate = _certificate(here, f"autoconfig.{DOMAIN}", kind)
    with nginx(here.folder / f"web-{kind}", service, certificate) as port:
        found = findings(here.toml, port=port)
    failed = [it["subject"] for it in found if it["status"] == "failure"]
    assert any(it.startswith("https://autoconfig.example.test/") for it in failed)
    assert any("https://autodiscover.example.test/" in it for it in failed)


def test_a_method_that_is_published_and_not_offered_is_told(
    here: World, findings: Ask
) -> None:
    text = here.toml.replace('"imap"', '"imap"\nauthentication = "password-encrypted"')
    found = only(
        [it for it in findings(text, "--unpublished") if it["status"] == "failure"]
    )
    assert found["seen"] == (
        "password-encrypted is published, the server offers LOGIN, PLAIN"
    )
    assert 'authentication = "password-cleartext"' in found["cure"]


def test_logindisabled_is_told(here: World, findings: Ask, zone: str) -> None:
    # Dovecot trusts a client of its own address: this one listens at another.
    here.names.load(zone, "disabled IN A 127.0.0.2\n")
    certificate = here.certificates["mail"]
    with dovecot(
        here.folder / "disabled", certificate, ssl="no", address="127.0.0.2"
    ) as server:
        line = f'"imap"\nport = {server.imap}\nsocket_type = "plain"'
        text = here.toml.replace('"imap"', line).replace('"imap.', '"disabled.')
        found = findings(text, "--unpublished")
    assert "LOGINDISABLED" in [it["seen"] for it in found if it["status"] == "failure"]


def test_passwords_before_encryption_are_told(here: World, findings: Ask) -> None:
    with dovecot(
        here.folder / "open", here.certificates["mail"], disable_plaintext="no"
    ) as server:
        line = f'"imap"\nport = {server.imap}\nsocket_type = "STARTTLS"'
        found = findings(here.toml.replace('"imap"', line), "--unpublished")
    assert "it takes passwords before encryption too" in [it["seen"] for it in found]


def test_a_server_without_encryption_is_told(here: World, findings: Ask) -> None:
    line = f'"imap"\nport = {here.dovecot.imap}\nsocket_type = "plain"'
    found = findings(here.toml.replace('"imap"', line), "--unpublished")
    assert "unencrypted" in [it["seen"] for it in found if it["step"] == "server"]


MISTAKES = {
    "a wrong content type": (
        "proxy_hide_header Content-Type; add_header Content-Type text/html;",
        "content type text/html",
        "https",
    ),
    "an answer that is compressed unasked": (
        "add_header Content-Encoding gzip;",
        "compressed unasked (gzip)",
        "https",
    ),
    "an empty answer": ("return 200 '';", "an empty answer", "https"),
    "a status of 404": ("return 404;", "(status 404)", "https"),
    "a page for people": (
        "default_type text/xml; return 200 '<html></html>';",
        "a web page where the settings should be",
        "https",
    ),
    "a redirect loop": (
        "return 302 https://$host$request_uri;",
        "redirects without end",
        "https",
    ),
}


@pytest.mark.parametrize(
    ("extra", "seen", "step"), MISTAKES.values(), ids=MISTAKES.keys()
)
def test_a_web_servers_mistake_is_told(
    here: World,
    service: str,
    findings: Ask,
    extra: str,
    seen: str,
    step: str,
    tmp_path: Path,
) -> None:
    folder, certificate = here.folder / tmp_path.name, here.certificates["web"]
    with nginx(folder, service, certificate, extra) as port:
        found = findings(here.toml, port=port)
    assert any(
        it["status"] == "failure" and it["step"] == step and seen in it["seen"]
        for it in found
        if "autoconfig" in it["subject"]
    ), found


def test_a_calendar_server_that_is_not_there_is_told(
    here: World, findings: Ask
) -> None:
    text = here.toml.replace("https://dav.", "https://imap.")
    found = only(findings(text, "--unpublished"))
    assert (found["status"], found["subject"]) == (
        "failure",
        f"https://imap.{DOMAIN}/",
    )


def test_an_mx_host_that_is_not_below_mx_domains_is_told(
    here: World, findings: Ask, front: int
) -> None:
    text = here.toml.replace("domains =", 'mx_domains = ["other.test"]\ndomains =')
    found = [it for it in findings(text, port=front) if it["subject"].endswith(" MX")]
    assert only(found)["seen"] == f"mx.{DOMAIN}: none is below mx_domains"


def test_a_domain_without_mx_is_told(here: World, findings: Ask, front: int) -> None:
    here.names.drop("MX")
    found = [
        it for it in findings(here.toml, port=front) if it["subject"].endswith(" MX")
    ]
    assert only(found)["status"] == "warning"


def test_a_terminal_gets_colours_and_types_the_password_unseen(here: World) -> None:
    options = ["--config", str(here.folder / "true.toml"), "check", USER, "--login"]
    options += ["--unpublished", "--resolver", f"127.0.0.1:{here.names.port}", *TIMEOUT]
    for (host, port), real in here.places.items():
        options += ["--connect-to", f"{host}.{DOMAIN}:{port}:127.0.0.1:{real}"]
    code, shown = at_terminal(
        *options,
        typed={f"smtp smtp.{DOMAIN}:465 SSL: ": PASSWORD},
        SSL_CERT_FILE=str(here.folder / "ca.pem"),
    )
    assert code == 0, shown
    assert f"Password of {USER} at imap imap.{DOMAIN}:993 SSL, pop3 " in shown
    assert f"{USER} is let in" in " ".join(shown.split())
    assert PASSWORD not in shown
    assert "\x1b[32m" in shown


def test_ctrl_c_at_the_password_gives_the_terminal_its_echo_back(here: World) -> None:
    words = ["--config", str(here.folder / "true.toml"), "check", USER, "--login"]
    words += ["--unpublished", "--resolver", f"127.0.0.1:{here.names.port}", *TIMEOUT]
    for (host, port), real in here.places.items():
        words += ["--connect-to", f"{host}.{DOMAIN}:{port}:127.0.0.1:{real}"]
    leader, inside = pty.openpty()
    process = subprocess.Popen(
        [BIN / "python", "-c", HEARING, BIN / "flask-autoconfig", *words],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**os.environ, "SSL_CERT_FILE": str(here.folder / "ca.pem")},
    )

    def echoes() -> bool:
        return bool(termios.tcgetattr(inside)[3] & termios.ECHO)

    try:
        until(lambda: not echoes())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert echoes()
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(inside)


def test_a_document_that_differs_from_the_file_is_told(
    here: World, findings: Ask, front: int
) -> None:
    text = here.toml.replace(f"imap.{DOMAIN}", f"dav.{DOMAIN}")
    found = findings(text, port=front)
    seen = [it["seen"] for it in found if it["step"] == "document"]
    wanted = f"incoming[0].hostname is imap.{DOMAIN}, the file says dav.{DOMAIN}"
    assert wanted in seen
    differing = "".join(it["subject"] for it in found if it["step"] == "document")
    assert "/autodiscover/autodiscover.xml" in differing
    assert f"https://ua-auto-config.{DOMAIN}/" in differing


def test_a_missing_name_is_told(
    here: World, findings: Ask, front: int, zone: str
) -> None:
    lines = [
        line for line in zone.splitlines(True) if not line.startswith("autoconfig ")
    ]
    here.names.load("".join(lines))
    assert findings(here.toml, port=front) == []  # the .well-known URL still works
    found = findings(here.toml, port=front, ok=True)
    told = only([it for it in found if it["subject"] == f"autoconfig.{DOMAIN}"])
    assert told["status"] == "note"
    assert "publish a CNAME" in told["cure"]
    with nginx(
        here.folder / "nothing", "http://127.0.0.1:9", here.certificates["web"]
    ) as port:
        found = findings(here.toml, port=port)
    assert any("the proxy gets no answer" in it["seen"] for it in found)


def test_a_wrong_srv_record_is_told(
    here: World, findings: Ask, front: int, zone: str
) -> None:
    here.names.load(zone.replace("0 1 993 imap", "0 1 143 mail"))
    found = only(findings(here.toml, port=front))
    assert found["status"] == "failure"
    assert found["seen"] == (
        f"it says mail.{DOMAIN}:143, the file says imap.{DOMAIN}:993"
    )


def test_an_srv_record_for_what_is_not_offered_is_told(
    here: World, findings: Ask, front: int, zone: str
) -> None:
    here.names.load(
        zone.replace(
            "_imap._tcp IN SRV 0 0 0 .", f"_imap._tcp IN SRV 0 1 143 imap.{DOMAIN}."
        )
    )
    found = only(findings(here.toml, port=front))
    assert found["seen"].endswith("the file says “not offered”")


def test_missing_srv_records_are_noted_and_a_missing_digest_stops_pacc(
    here: World, findings: Ask, front: int, zone: str
) -> None:
    names = [line for line in zone.splitlines(True) if "CNAME" in line or "$" in line]
    here.names.load("".join(names))
    found = findings(here.toml, port=front, ok=True)
    seen = {(it["status"], it["seen"]) for it in found}
    assert {("note", "there is none"), ("failure", "there is no digest")} <= seen
    hurt = [str(it["clients"]) for it in found if it["status"] == "failure"]
    assert hurt == ["['PACC']"]


def test_a_stale_digest_is_told(
    here: World, findings: Ask, front: int, zone: str
) -> None:
    stale = "".join(
        'ua-auto IN A 127.0.0.1\n_ua-auto-config IN TXT "v=UAAC1; a=sha256; d=old="\n'
        if line.startswith("_ua-auto-config")
        else line
        for line in zone.splitlines(True)
    )
    here.names.load(stale)
    found = only(findings(here.toml, port=front))
    assert found["status"] == "failure"
    assert "not that of the document served" in found["seen"]


def test_a_web_server_that_is_not_there_is_told(here: World, findings: Ask) -> None:
    found = findings(here.toml, "--allow-private", port=free_port())
    failed = [it for it in found if it["status"] == "failure"]
    assert {it["step"] for it in failed} == {"https"}
    assert all("nothing listens there" in it["seen"] for it in failed)


def test_a_name_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    resolver = ("--resolver", f"127.0.0.1:{free_port()}", "--timeout", "0.2")
    done = run("--config", file, "check", "example.com", "--json", *resolver)
    assert done.returncode == 1
    assert any("no name server answers" in it["seen"] for it in of(done))


# --- check: the document by each client's rules -------------------------------------------


def test_a_foreign_document_is_judged_by_each_clients_rules(
    here: World, tmp_path: Path
) -> None:
    document = (
        '\ufeff<clientConfig version="1.1"><emailProvider id="example.test">'
        '<domain>example.test</domain><incomingServer type="imap" x="y">'
        "<hostname> imap.example.test</hostname><port>993</port>"
        "<socketType>SSL</socketType><username>%EMAILADDRESS%</username>"
        "<authentication>password-encrypted</authentication></incomingServer>"
        '<outgoingServer type="smtp"><hostname>smtp.example.test</hostname>'
        "<port>465</port><socketType>SSL</socketType><username>a&amp;b</username>"
        "<authentication>password-cleartext</authentication></outgoingServer>"
        "</emailProvider></clientConfig>"
    )
    page = here.folder / "foreign.xml"
    page.write_text(document, encoding="utf-8")
    (tmp_path / "ca.pem").write_bytes((here.folder / "ca.pem").read_bytes())
    extra = f"default_type text/xml; alias {page};"
    text = extra.replace("default", "}} location = /mail/config-v1.1.xml {{ default")
    with nginx(
        here.folder / "foreign",
        "http://127.0.0.1:9",
        here.certificates["web"],
        text.replace("{{", "{").replace("}}", "}"),
    ) as port:
        elsewhere = World(**{**vars(here), "folder": tmp_path})
        done = elsewhere.flask_autoconfig("check", DOMAIN, "--json", *TIMEOUT, web=port)
    said = {
        (" ".join(it["clients"]), it["seen"].replace(f"{it['clients'][0]}: ", "")[:25])
        for it in of(done)
        if it["step"] == "document" and it["status"] == "warning"
    }
    assert said == {
        ("Evolution", "a byte order mark stands "),
        ("Kontact and Evolution", "incoming[0].authenticatio"),
        ("Delta Chat", "outgoing[0].username: it "),
        ("Every client", "outgoing[0].username: eve"),
    }


# --- check: login ----------------------------------------------------------------------


def _log_in(here: World, password: str, text: str | None = None) -> Any:
    file = here.folder / "login.toml"
    file.write_text(text or here.toml)
    read, write = os.pipe()
    os.write(write, f"{password}\n".encode())
    os.close(write)
    options = ["--config", str(file), "check", USER]
    options += ["--unpublished", "--json", "--password-fd", str(read)]
    options += ["--resolver", f"127.0.0.1:{here.names.port}", *TIMEOUT]
    for (host, port), real in here.places.items():
        options += ["--connect-to", f"{host}.{DOMAIN}:{port}:127.0.0.1:{real}"]
    try:
        return subprocess.run(
            [str(BIN / "flask-autoconfig"), *options],
            pass_fds=[read],
            env={**os.environ, "SSL_CERT_FILE": str(here.folder / "ca.pem")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(read)


def test_a_real_login_is_tried_at_each_server(here: World) -> None:
    done = _log_in(here, PASSWORD)
    assert done.returncode == 0, done.stdout
    logins = [it for it in of(done) if it["step"] == "login"]
    assert [it["subject"].split()[0] for it in logins] == ["imap", "pop3", "smtp"]
    assert {it["seen"] for it in logins} == {f"{USER} is let in"}


def test_a_wrong_password_is_told_and_shown_nowhere(here: World) -> None:
    done = _log_in(here, "wrong-password")
    assert done.returncode == 1
    logins = [it for it in of(done) if it["step"] == "login"]
    assert len(logins) == 3
    assert all(it["seen"].startswith(f"{USER} is refused: ") for it in logins)
    assert "wrong-password" not in done.stdout + done.stderr


def test_a_login_by_cram_md5(here: World) -> None:
    with dovecot(
        here.folder / "cram2", here.certificates["mail"], mechanisms="plain cram-md5"
    ) as server:
        text = here.toml.replace(
            '"imap"',
            f'"imap"\nport = {server.imaps}\nauthentication = "password-encrypted"',
        )
        done = _log_in(here, PASSWORD, text)
    assert done.returncode == 0, done.stdout
    assert "password-encrypted" in done.stdout


def test_no_password_goes_to_a_server_that_cannot_be_trusted(here: World) -> None:
    certificate = _certificate(here, f"smtp.{DOMAIN}", "misnamed")
    with submission(certificate, starttls=False) as port:
        done = _log_in(
            here, PASSWORD, here.toml.replace('"smtp"', f'"smtp"\nport = {port}')
        )
    smtp = [it for it in of(done) if it["subject"].startswith("smtp smtp.")]
    assert "the certificate is not good" in smtp[0]["seen"]
    (login,) = [it for it in smtp if it["step"] == "login"]
    assert (login["status"], login["seen"]) == ("warning", "not tried")


def test_login_without_an_address_is_wrong_usage(here: World) -> None:
    file = here.folder / "true.toml"
    assert run("--config", file, "check", DOMAIN, "--login").returncode == 2
