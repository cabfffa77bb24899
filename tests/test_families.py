"""Outlook, Apple, PACC, calendars and address books: what each client is told."""

import hashlib
import html
import json
import plistlib
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from client_requests import PACC, POX, outlook_request
from defusedxml.ElementTree import fromstring
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from readers import payloads
from services import captured, run
from support import (
    FULL,
    TWO_DOMAINS,
    Log,
    Patch,
    Send,
    Write,
    certificate_for,
    loads,
    program,
    rows,
    sender,
    site,
    table,
)
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder, TestResponse, run_wsgi_app

from flask_autoconfig import AutoconfigMiddleware, ConfigError, create_app, load
from flask_autoconfig.documents import Recipient, outlook, pacc
from flask_autoconfig.page.words import languages
from flask_autoconfig.tools.warnings import find_warnings

Serve = Callable[[str], Send]
PROFILE = "/mail/mobileconfig?emailaddress=fred@example.com"
ACCEPTED = outlook.RESPONSE
TABLES = "families.toml"
DAV = '[[provider.calendar]]\ntype = "caldav"\nurl = "{}"\n'


@pytest.fixture
def serve(toml: Write) -> Serve:
    return lambda text: sender(create_app(toml(text)))


# --- Outlook -------------------------------------------------------------------------


def pox(email: str = "fred@example.com") -> bytes:
    return outlook_request(email).encode()


def protocols(response: TestResponse) -> list[dict[str, str]]:
    (account,) = fromstring(response.data).iter(f"{{{ACCEPTED}}}Account")
    return [
        {str(element.tag).partition("}")[2]: element.text or "" for element in protocol}
        for protocol in account.iter(f"{{{ACCEPTED}}}Protocol")
    ]


def test_outlook_gets_every_server_in_the_files_order(serve: Serve) -> None:
    text = FULL.replace("%EMAILDOMAIN%", "example.com")
    response = serve(text)(POX, "POST", data=pox())
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "private, no-store"
    found = protocols(response)
    types = ["IMAP", "POP3", "SMTP", "SMTP", "CardDAV", "CalDAV"]
    assert [protocol["Type"] for protocol in found] == types
    assert found[0] == table("outlook", TABLES)
    assert (found[3]["SSL"], found[3]["Encryption"]) == ("off", "None")
    assert found[3]["AuthRequired"] == "off"
    assert (found[2]["UsePOPAuth"], found[2]["SMTPLast"]) == ("off", "off")
    assert found[5]["Server"] == "https://dav.example.com/calendars/fred@example.com/"
    # Nobody sends mail under the provider's name.
    assert not [e for e in fromstring(response.data).iter() if "User" in str(e.tag)]
    assert "Example &amp; S" not in response.text


def test_a_sites_limit_of_bodies_keeps_no_answer_from_outlook(toml: Write) -> None:
    app = site(toml(TWO_DOMAINS), MAX_CONTENT_LENGTH=10)
    assert len(protocols(sender(app)(POX, "POST", data=pox()))) == 3


@pytest.mark.parametrize("length", [16_384, 3_000_000])
def test_a_long_request_of_outlooks_is_invalid(serve: Serve, length: int) -> None:
    body = pox() + b" " * length
    response = serve(TWO_DOMAINS)(POX, "POST", data=body, Host="x.test")
    assert "<ErrorCode>600</ErrorCode>" in response.text


@given(st.one_of(st.binary(), st.text().map(pox)))
def test_any_request_is_read_or_gets_an_error_of_outlooks(body: bytes) -> None:
    try:
        assert outlook.read_request(body)[0]
    except ValueError:
        fromstring(outlook.error(outlook.INVALID_REQUEST))


def test_a_get_over_http_is_sent_to_https_if_a_proxy_says_so(toml: Write) -> None:
    headers = {"Host": "autodiscover.example.com", "X-Forwarded-Proto": "http"}
    app = site(toml(TWO_DOMAINS))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    file = toml(TWO_DOMAINS)
    behind = AutoconfigMiddleware(Flask("site"), file, proxies=1)
    for door in (app, create_app(file, proxies=1), behind):
        response = Client(door).get(POX, headers=headers)
        assert response.status_code == 302
        expected = "https://autodiscover.example.com/autodiscover/autodiscover.xml"
        assert response.headers["Location"] == expected
    plain = Client(create_app(toml(TWO_DOMAINS))).get(POX, headers=headers)
    assert plain.status_code == 200


# --- Apple ---------------------------------------------------------------------------


def mail_of(response: TestResponse) -> dict[str, Any]:
    return payloads(response.data)["com.apple.mail.managed"]


def test_a_profile_has_everything_but_the_password(serve: Serve, toml: Write) -> None:
    response = serve(FULL)(PROFILE)
    assert response.headers["Content-Type"] == "application/x-apple-aspen-config"
    disposition = 'attachment; filename="example.com.mobileconfig"'
    assert response.headers["Content-Disposition"] == disposition
    assert response.headers["Cache-Control"] == "private, no-store"
    assert mail_of(response).items() >= table("mail", TABLES).items()
    found = payloads(response.data)
    calendar = found["com.apple.caldav.account"]
    assert calendar.items() >= table("caldav", TABLES).items()
    assert found["com.apple.carddav.account"]["CardDAVPrincipalURL"] == "/contacts/"
    keys = {key for payload in found.values() for key in payload}
    passwords = {key for key in keys if key.endswith("Password")}
    assert passwords == {"OutgoingPasswordSameAsIncomingPassword"}
    option = ("show", "fred@example.com", "--format", "apple")
    assert run("--config", toml(FULL), *option).stdout == response.text


def test_each_address_has_identifiers_of_its_own(serve: Serve) -> None:
    send = serve(FULL)

    def identifiers(target: str) -> set[str]:
        root = plistlib.loads(send(target).data)
        items = [root, *root["PayloadContent"]]
        keys = ("PayloadUUID", "PayloadIdentifier")
        return {item[key] for item in items for key in keys}

    first = identifiers(PROFILE)
    assert len(first) == 8
    assert identifiers("/email.mobileconfig?email=fred@example.com") == first
    assert not identifiers(PROFILE.replace("fred", "ann")) & first
    assert all(name.startswith("com.example.") for name in first if name.count(".") > 1)


@rows("apple", "type_, methods, account, method", TABLES)
def test_the_best_server_that_apple_can_use_is_taken(
    serve: Serve, type_: str, methods: str, account: str, method: str
) -> None:
    lines = f'type = "{type_}"\nauthentication = {methods}'
    text = TWO_DOMAINS.replace('type = "imap"', lines)
    mail = mail_of(serve(text)(PROFILE))
    assert mail["EmailAccountType"] == account
    assert mail["IncomingMailServerAuthentication"] == method
    found = find_warnings(loads(text).provider)
    places = [w.place for w in found if w.client == "iPhone, iPad and Mac"]
    assert places == (["provider[0].incoming[0]"] if "GSSAPI" in methods else [])


def test_a_name_in_raw_bytes_is_read_as_utf8(toml: Write) -> None:
    query = "emailaddress=fred@example.com&name=Frédéric".encode().decode("latin-1")
    environ = EnvironBuilder("/mail/mobileconfig").get_environ()
    environ["QUERY_STRING"] = query
    body, status, _ = run_wsgi_app(create_app(toml(FULL)), environ)
    assert status.startswith("200")
    mail = payloads(b"".join(body))["com.apple.mail.managed"]
    assert mail["EmailAccountName"] == "Frédéric"


def test_a_profile_asks_for_consent_in_every_language(serve: Serve) -> None:
    send = serve(FULL)
    consent = plistlib.loads(send(PROFILE).data)["ConsentText"]
    assert set(consent) == {"default", *languages()}
    assert consent["default"] == consent["en"] != consent["fr"]
    for text in consent.values():
        assert "Example & Söhne" in text
        assert "fred@example.com" in text
    french = plistlib.loads(send(f"{PROFILE}&lang=fr").data)["ConsentText"]
    assert french["default"] == french["fr"] == consent["fr"]


# --- Signed profiles --------------------------------------------------------------------

SIGN = '[sign]\ncertificate = "signer.pem"\nkey = "signer.key"\n'
CHAIN = f'{SIGN}chain = "middle.pem"\n'


def _openssl(*arguments: str | Path, cwd: Path) -> str:
    result = captured(program("openssl"), *arguments, cwd=cwd, code=0)
    return result.stdout


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """The folder of the file, with a root, an intermediate and a signing certificate."""
    root = trustme.CA()
    middle = root.create_child_ca()
    signer = middle.issue_cert("signer.test")
    for name, pem in {
        "root.pem": root.cert_pem,
        "root.key": root.private_key_pem,
        "middle.pem": middle.cert_pem,
        "signer.pem": signer.cert_chain_pems[0],
        "signer.key": signer.private_key_pem,
    }.items():
        pem.write_to_path(tmp_path / name)
    return tmp_path


@pytest.mark.world
def test_openssl_verifies_a_signed_profile(serve: Serve, certificates: Path) -> None:
    response = serve(CHAIN + TWO_DOMAINS)(PROFILE)
    (certificates / "profile.der").write_bytes(response.data)
    verify = ("cms", "-verify", "-inform", "DER", "-in", "profile.der", "-CAfile")
    text = _openssl(*verify, "root.pem", "-binary", "-purpose", "any", cwd=certificates)
    assert "imap.example.com" in text
    assert payloads(text.encode())["com.apple.mail.managed"]
    assert response.headers["Content-Type"] == "application/x-apple-aspen-config"


@rows("keys", "old, new, key, message", TABLES)
def test_a_key_that_cannot_sign_is_a_problem_of_the_file(
    toml: Write, certificates: Path, old: str, new: str, key: str, message: str
) -> None:
    file = toml(CHAIN.replace(old, new) + TWO_DOMAINS)
    result = run("--config", file, "validate", code=1)
    assert f"sign.{key}: " in result.stdout
    assert message in result.stdout
    with pytest.raises(ConfigError, match=message):
        create_app(file)


def test_without_the_extra_signing_is_a_problem_that_says_how_to_get_it(
    toml: Write, certificates: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.x509", None)
    with pytest.raises(ConfigError, match=r"pip install 'flask-autoconfig\[sign\]'"):
        load(toml(CHAIN + TWO_DOMAINS))


def test_an_old_certificate_is_told(toml: Write, tmp_path: Path, caplog: Log) -> None:
    ended = datetime(2020, 2, 3, tzinfo=UTC)
    certificate_for("signer", folder=tmp_path, not_after=ended)
    file = toml(SIGN + TWO_DOMAINS)
    warning = "sign.certificate: the certificate ended on 2020-02-03"
    (tmp_path / "signer.key").chmod(0o644)
    create_app(file)
    assert f"{warning}; renew it" in caplog.text
    validated = run("--config", file, "validate")
    assert warning in validated.stdout
    assert validated.returncode == 0  # it goes on
    options = ("--unpublished", "--timeout", "1", "--resolver", "127.0.0.1:9")
    checked = run("--config", file, "check", "example.com", *options)
    assert "the certificate ended on 2020-02-03" in checked.stdout
    assert "why: profiles are signed with it all the same, and" in checked.stdout
    assert "whoever gets the key can sign others in your name" in checked.stdout
    certificate_for("signer", folder=tmp_path)
    assert "ended" not in run("--config", file, "validate").stdout


@pytest.mark.world
def test_an_unsafe_key_is_told(toml: Write, tmp_path: Path, caplog: Log) -> None:
    new = ("req", "-x509", "-nodes", "-subj", "/CN=signer", "-days", "9")
    files = ("-keyout", "signer.key", "-out", "signer.pem")
    file = toml(SIGN + TWO_DOMAINS)
    _openssl(*new, "-newkey", "rsa:1024", *files, cwd=tmp_path)
    key = tmp_path / "signer.key"
    key.chmod(0o644)
    create_app(file)
    validated = run("--config", file, "validate")
    assert validated.returncode == 0
    for output in (caplog.text, " ".join(validated.stdout.split())):
        assert "sign.key: every user of the machine may use it (0644)" in output
        assert f"chmod 600 {key}" in output
        assert "sign.key: an RSA key of 1024 bits can be broken" in output
        assert "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048" in output
    for kind in (("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        _openssl(*new, "-newkey", *kind, *files, cwd=tmp_path)
        key.chmod(0o600)
        assert "sign.key" not in run("--config", file, "validate").stdout


# --- PACC ----------------------------------------------------------------------------


def test_pacc_says_what_it_can(serve: Serve) -> None:
    response = serve(FULL)(PACC, Host="ua-auto-config.example.com")
    assert response.headers["Content-Type"] == "application/json"
    assert "no-transform" in response.headers["Cache-Control"]
    assert response.json == table("pacc", TABLES)
    found = find_warnings(loads(FULL).provider)
    assert [warning.place for warning in found if warning.client == "PACC"] == [
        f"provider[0].{at}"
        for at in ("incoming[1]", "outgoing[0]", "outgoing[1]", "calendar[0]")
    ]


@rows("logins", "of_imap, of_smtp, protocols", TABLES)
def test_pacc_says_nothing_of_another_login_than_the_address(
    serve: Serve, of_imap: str, of_smtp: str, protocols: list[str]
) -> None:
    text = TWO_DOMAINS.replace('"imap.', f'"imap.example.com"\n{of_imap}#')
    response = serve(text.replace('"smtp.', f'"smtp.example.com"\n{of_smtp}#'))(PACC)
    assert response.status_code == (200 if protocols else 404)
    assert response.data
    assert not protocols or {*json.loads(response.data)["protocols"]} == {*protocols}


def test_pacc_takes_the_only_domain_in_a_user_name(serve: Serve) -> None:
    name = 'username = "%EMAILLOCALPART%@example.com"'
    text = TWO_DOMAINS.replace('"imap.', f'"imap.example.com"\n{name}#')
    assert serve(text)(PACC).status_code == 404
    one_domain = text.replace('"example.com", "example2.com"', '"example.com"')
    assert "imap" in serve(one_domain)(PACC).get_json()["protocols"]


@pytest.mark.parametrize(
    "url",
    ["https://dav.test:8443/", "https://192.0.2.1/", "https://[2001:db8::1]/"]
    + ["http://dav.test/", "https://dav.test/%EMAILLOCALPART%/"],
)
def test_pacc_names_no_url_that_it_cannot(url: str) -> None:
    (provider,) = loads(TWO_DOMAINS + DAV.format(url)).provider
    document = pacc.write(provider, Recipient("example.com"))
    assert "caldav" not in json.loads(document or b"")["protocols"]
    assert [place for place, _ in pacc.left_out(provider)] == ["calendar[0]"]


def test_pacc_is_the_same_whoever_asks_and_whenever(serve: Serve) -> None:
    send = serve(TWO_DOMAINS)
    response = send(PACC)
    first = response.data
    assert response.json is not None
    for name in ("submit", "smtp"):
        assert response.json["protocols"][name] == {"host": "smtp.example.com"}
    assert send(f"{PACC}?x=y").data == first
    provider = loads(TWO_DOMAINS).provider[0]
    assert pacc.write(provider, Recipient("example.com")) == first
    digest = b64encode(hashlib.sha256(first).digest()).decode()
    assert pacc.digest_record(first) == f"v=UAAC1; a=sha256; d={digest}"


@pytest.mark.parametrize(
    "local", ["o'neill", '"a b"', "a+b", "ö", "a&b", "a%41", "x" * 64, "{{7*7}}"]
)
def test_odd_local_parts_are_as_good_as_any(serve: Serve, local: str) -> None:
    send, address = serve(TWO_DOMAINS), f"{local}@example.com"
    query = f"?emailaddress={quote(address)}"
    assert mail_of(send(f"/mail/mobileconfig{query}"))["EmailAddress"] == address
    page = send(f"/mail/setup{query}")
    assert page.status_code == 200
    assert address in html.unescape(page.text)
    found = protocols(send(POX, "POST", data=pox(html.escape(address))))
    assert found[0]["LoginName"] == address
