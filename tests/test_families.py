"""Outlook, Apple, PACC, calendars and address books: what each client is told."""

from __future__ import annotations

import hashlib
import html
import json
import plistlib
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import readers
from defusedxml.ElementTree import fromstring
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from support import (
    BIN,
    TWO_DOMAINS,
    certificate_for,
    free_port,
    names,
    outlook_asks,
    program,
    run,
    running,
)
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder, TestResponse, run_wsgi_app
from world import radicale

from flask_autoconfig import (
    AutoconfigMiddleware,
    ConfigError,
    autoconfig,
    create_app,
    load,
)
from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.documents import Recipient, outlook, pacc
from flask_autoconfig.page.words import languages
from flask_autoconfig.tools.warnings import find_warnings

Write = Callable[..., Path]
Ask = Callable[..., TestResponse]
FULL = (Path(__file__).parent / "full.toml").read_text(encoding="utf-8")
POX = "/autodiscover/autodiscover.xml"
RESPONSE = (
    "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
)
REQUEST = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="{scheme}://schemas.microsoft.com/exchange/autodiscover/{kind}/requestschema/2006">
<Request><EMailAddress>{email}</EMailAddress><AcceptableResponseSchema>{accepted}</AcceptableResponseSchema>
</Request></Autodiscover>"""
ACCEPTED = (
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)


def blueprint(file: Path) -> Flask:
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(autoconfig)
    return app


@pytest.fixture(params=[blueprint, create_app], ids=["blueprint", "standalone"])
def serve(request: pytest.FixtureRequest, toml: Write) -> Callable[[str], Ask]:
    """Serve a configuration; gives a function that sends a request to it."""

    def start(text: str) -> Ask:
        client = Client(request.param(toml(text)))

        def ask(target: str, method: str = "GET", **options: Any) -> TestResponse:
            path, _, query = target.partition("?")
            host = options.pop("host", "autoconfig.example.com")
            headers = {"Host": host, **options.pop("headers", {})}
            return client.open(
                path, method=method, query_string=query, headers=headers, **options
            )

        return ask

    return start


# --- Outlook -------------------------------------------------------------------------


def pox(
    email: str = "fred@example.com",
    scheme: str = "http",
    kind: str = "outlook",
    accepted: str = ACCEPTED,
) -> bytes:
    return REQUEST.format(
        scheme=scheme, kind=kind, email=email, accepted=accepted
    ).encode()


def protocols(body: bytes) -> list[dict[str, str]]:
    root = fromstring(body)
    (account,) = root.iter(f"{RESPONSE}Account")
    return [
        {str(it.tag).removeprefix(RESPONSE): it.text or "" for it in protocol}
        for protocol in account.iter(f"{RESPONSE}Protocol")
    ]


def error_code(reply: TestResponse) -> str | None:
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/xml")
    for element in fromstring(reply.data).iter():
        if str(element.tag).endswith("}ErrorCode"):
            return element.text
    return None


def test_outlook_gets_every_server_in_the_files_order(
    serve: Callable[[str], Ask],
) -> None:
    text = FULL.replace("%EMAILDOMAIN%", "example.com")
    reply = serve(text)(POX, "POST", data=pox())
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "private, no-store"
    found = protocols(reply.data)
    types = ["IMAP", "POP3", "SMTP", "SMTP", "CardDAV", "CalDAV"]
    assert [it["Type"] for it in found] == types
    assert found[0] == {
        "Type": "IMAP",
        "Server": "imap.example.com",
        "Port": "993",
        "DomainRequired": "off",
        "LoginName": "fred@example.com",
        "SPA": "off",
        "SSL": "on",
        "Encryption": "SSL",
        "AuthRequired": "on",
    }
    assert found[1]["LoginName"] == "fred"
    assert (found[2]["SSL"], found[2]["Encryption"]) == ("on", "TLS")
    assert (found[3]["SSL"], found[3]["Encryption"]) == ("off", "None")
    assert found[3]["AuthRequired"] == "off"
    assert (found[2]["UsePOPAuth"], found[2]["SMTPLast"]) == ("off", "off")
    assert found[5]["Server"] == "https://dav.example.com/calendars/fred@example.com/"


def test_only_ntlm_is_secure_password_authentication(
    serve: Callable[[str], Ask],
) -> None:
    text = TWO_DOMAINS.replace('"imap"', '"imap"\nauthentication = "NTLM"')
    found = protocols(serve(text)(POX, "POST", data=pox()).data)
    assert [it["SPA"] for it in found] == ["on", "off", "off"]


@pytest.mark.parametrize(
    "path",
    [POX, "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.XML"],
)
def test_outlook_spells_the_path_as_it_likes(
    serve: Callable[[str], Ask], path: str
) -> None:
    ask = serve(TWO_DOMAINS)
    assert len(protocols(ask(path, "POST", data=pox()).data)) == 3
    assert len(protocols(ask(path).data)) == 3


def test_a_sites_own_catch_all_does_not_swallow_outlooks_path(toml: Write) -> None:
    app = Flask("site")

    @app.get("/<path:rest>")
    def rest(rest: str) -> str:
        return "a page"

    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(autoconfig)
    assert b"Protocol" in Client(app).post(POX, data=pox()).data


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_requests_namespace_comes_in_both_schemes(
    serve: Callable[[str], Ask], scheme: str
) -> None:
    body = pox(scheme=scheme)
    reply = serve(TWO_DOMAINS)(POX, "POST", data=body, content_type="odd/type")
    assert len(protocols(reply.data)) == 3


def test_a_schema_that_is_odd_or_missing_is_no_reason_to_refuse(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(TWO_DOMAINS)
    for accepted in ("", "http://example.com/odd"):
        reply = ask(POX, "POST", data=pox(accepted=accepted))
        assert len(protocols(reply.data)) == 3


FAULTY = {
    "nothing": (b"", "600"),
    "no XML": (b"hello", "600"),
    "broken XML": (pox()[:-5], "600"),
    "a DTD": (b'<!DOCTYPE a SYSTEM "b">' + pox()[38:], "600"),
    "an entity": (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "600"),
    "another namespace": (pox(kind="other"), "600"),
    "no namespace": (b"<Autodiscover><EMailAddress>a@b.c</EMailAddress>", "600"),
    "no address": (pox(email=""), "600"),
    "something that is no address": (pox(email="fred"), "600"),
    "16 KiB and more": (pox() + b" " * 16384, "600"),
    "some megabytes": (pox() + b" " * 3_000_000, "600"),
    "a mobilesync request": (pox(kind="mobilesync"), "601"),
    "mobilesync wanted": (
        pox(accepted=ACCEPTED.replace("outlook", "mobilesync")),
        "601",
    ),
    "a domain that is not served": (pox(email="fred@nowhere.test"), "500"),
}


@pytest.mark.parametrize(("body", "code"), FAULTY.values(), ids=FAULTY.keys())
def test_what_outlook_cannot_have_is_told_in_its_own_format(
    serve: Callable[[str], Ask], body: bytes, code: str
) -> None:
    reply = serve(TWO_DOMAINS)(POX, "POST", data=body, host="x.test")
    assert error_code(reply) == code


@given(st.one_of(st.binary(), st.text().map(lambda text: pox(email=text))))
def test_any_request_is_read_or_gets_an_error_of_outlooks(body: bytes) -> None:
    try:
        assert outlook.read_request(body).address
    except outlook.RequestError as error:
        fromstring(outlook.error(error.code))


# --- ActiveSync and Exchange Web Services ----------------------------------------------

MOBILE = (
    "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
)
EAS = '[[provider.incoming]]\ntype = "activesync"\nurl = "https://eas.{}/"\n'
EXCHANGE_ALONE = """
[[provider]]
domains = ["example.com"]
display_name = "A Company"
[[provider.incoming]]
type = "{}"
url = "https://exchange.example.com/{}"
"""


@pytest.mark.parametrize("accepted", [MOBILE, ""])
def test_a_phone_gets_the_url_of_an_activesync_server(
    serve: Callable[[str], Ask], accepted: str
) -> None:
    ask = serve(TWO_DOMAINS + EAS.format("%EMAILDOMAIN%"))
    body = pox("fred@example2.com", kind="mobilesync", accepted=accepted)
    reply = ask(POX, "POST", data=body)
    assert reply.headers["Cache-Control"] == "private, no-store"
    (response,) = fromstring(reply.data)
    found = {
        str(it.tag).removeprefix(f"{{{MOBILE}}}"): (it.text or "").strip()
        for it in response.iter()
    }
    assert found == {
        "Response": "",
        "Culture": "en:us",
        "User": "",
        "EMailAddress": "fred@example2.com",
        "Action": "",
        "Settings": "",
        "Server": "",
        "Type": "MobileSync",
        "Url": "https://eas.example2.com/",
        "Name": "https://eas.example2.com/",
    }


def test_the_url_of_an_older_exchange_table_is_as_good(
    serve: Callable[[str], Ask],
) -> None:
    text = EXCHANGE_ALONE.format("exchange", "eas").replace("url =", "eas_url =")
    ask = serve(text)
    reply = ask(POX, "POST", data=pox(kind="mobilesync", accepted=MOBILE))
    assert "<Url>https://exchange.example.com/eas</Url>" in reply.text
    v2 = "/autodiscover/autodiscover.json?Email=a@example.com&Protocol=ActiveSync"
    told = ask(v2).json
    assert told is not None
    assert told["Url"] == "https://exchange.example.com/eas"


def test_outlook_gets_no_account_without_mail(serve: Callable[[str], Ask]) -> None:
    ask = serve(EXCHANGE_ALONE.format("activesync", "eas"))
    assert error_code(ask(POX, "POST", data=pox())) == "500"
    assert ask(POX).status_code == 404
    mobile = pox(kind="mobilesync", accepted=MOBILE)
    assert error_code(ask(POX, "POST", data=mobile)) is None
    calendar = '[[provider]]\ndomains = ["example.com"]\n[[provider.calendar]]\n'
    calendar += 'type = "caldav"\nurl = "https://dav.example.com/"\n'
    assert error_code(serve(calendar)(POX, "POST", data=pox())) == "500"


def test_exchange_web_services_alone_are_an_exchange_account(
    serve: Callable[[str], Ask],
) -> None:
    url = "https://exchange.example.com/ews"
    found = protocols(
        serve(EXCHANGE_ALONE.format("ews", "ews"))(POX, "POST", data=pox()).data
    )
    assert found == [
        {"Type": it, "ASUrl": url, "EwsUrl": url} for it in ("EXCH", "EXPR")
    ]
    ews = f'[[provider.incoming]]\ntype = "ews"\nurl = "{url}"\n'
    found = protocols(serve(TWO_DOMAINS + ews)(POX, "POST", data=pox()).data)
    assert [it["Type"] for it in found] == ["IMAP", "POP3", "SMTP"]


def test_nobody_sends_mail_under_the_providers_name(
    serve: Callable[[str], Ask],
) -> None:
    reply = serve(FULL)(POX, "POST", data=pox())
    assert not [it for it in fromstring(reply.data).iter() if "User" in str(it.tag)]
    assert "Example &amp; S" not in reply.text


def test_a_limit_of_the_site_does_not_turn_into_a_413(toml: Write) -> None:
    app = blueprint(toml(TWO_DOMAINS))
    app.config["MAX_CONTENT_LENGTH"] = 10
    assert len(protocols(Client(app).post(POX, data=pox()).data)) == 3


def test_a_get_is_answered_by_host_without_a_login_name(
    serve: Callable[[str], Ask],
) -> None:
    reply = serve(TWO_DOMAINS)(POX, host="autodiscover.example2.com")
    assert all("LoginName" not in protocol for protocol in protocols(reply.data))
    assert reply.headers["Cache-Control"].startswith("public")


def test_a_get_over_plain_http_is_sent_to_https_if_a_trusted_proxy_says_so(
    toml: Write,
) -> None:
    headers = {"Host": "autodiscover.example.com", "X-Forwarded-Proto": "http"}
    app = blueprint(toml(TWO_DOMAINS))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    for door in (app, create_app(toml(TWO_DOMAINS), proxies=1)):
        reply = Client(door).get(POX, headers=headers)
        assert reply.status_code == 302
        expected = "https://autodiscover.example.com/autodiscover/autodiscover.xml"
        assert reply.headers["Location"] == expected
    plain = Client(create_app(toml(TWO_DOMAINS))).get(POX, headers=headers)
    assert plain.status_code == 200


SHARED_HOST = "autodiscover-s.hoster.test"
TWO_BRANDS = "".join(
    f"""
[[provider]]
domains = ["{domain}"]
autodiscover_host = "{SHARED_HOST}"
incoming = [{{ type = "imap", hostname = "imap.{domain}" }}]
outgoing = [{{ type = "smtp", hostname = "smtp.{domain}" }}]
"""
    for domain in ("hoster.test", "brand.test")
)


def test_outlooks_third_step_leads_to_the_common_host_and_the_right_settings(
    toml: Write,
) -> None:
    """MS-OXDSCLI, 3.1.5.4: a 302 from http, then a POST with the address there."""
    client = Client(create_app(toml(TWO_BRANDS), proxies=1))
    for domain in ("hoster.test", "brand.test"):
        headers = {"Host": f"autodiscover.{domain}", "X-Forwarded-Proto": "http"}
        redirect = client.get(POX, headers=headers)
        assert redirect.status_code == 302
        target = redirect.headers["Location"]
        assert target == f"https://{SHARED_HOST}/autodiscover/autodiscover.xml"
        at_target = {"Host": SHARED_HOST, "X-Forwarded-Proto": "https"}
        data = outlook_asks(f"fred@{domain}")
        account = readers.pox(client.post(POX, data=data, headers=at_target).data)
        assert account is not None
        assert account.reading[0].host == f"imap.{domain}"
        v2 = "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=fred@"
        reply = client.get(f"{v2}{domain}", headers={"Host": f"autodiscover.{domain}"})
        assert reply.json is not None
        assert reply.json["Url"] == target


def test_the_common_host_has_no_settings_for_a_get_without_an_address(
    serve: Callable[[str], Ask],
) -> None:
    """Delta Chat asks at the domain, by GET; it must not get another brand's servers."""
    ask = serve(TWO_BRANDS)
    assert ask(POX, host=SHARED_HOST).status_code == 404
    for host, domain in (
        ("autodiscover.brand.test", "brand.test"),
        ("hoster.test", "hoster.test"),
    ):
        account = readers.pox(ask(POX, host=host).data)
        assert account is not None
        assert account.reading[0].host == f"imap.{domain}"
    by_address = ask(f"{POX}?emailaddress=fred@brand.test", host=SHARED_HOST).data
    assert b"imap.brand.test" in by_address


def test_a_certificate_may_be_requested_for_the_common_host(toml: Write) -> None:
    client = Client(create_app(toml(TWO_BRANDS.replace("-s.hoster", "-s.other"))))
    for host, status in (("autodiscover-s.other.test", 200), ("other.test", 404)):
        assert client.get(f"/healthz?domain={host}").status_code == status


@pytest.mark.parametrize("host", ["autodiscover.hoster.test", "hoster.test"])
def test_a_common_host_named_after_a_domain_has_the_settings_of_that_one(
    serve: Callable[[str], Ask], host: str
) -> None:
    reply = serve(TWO_BRANDS.replace(SHARED_HOST, host))(POX, host=host)
    assert b"imap.hoster.test" in reply.data


def test_version_2_leads_to_pox(serve: Callable[[str], Ask]) -> None:
    ask = serve(TWO_DOMAINS)
    host = "autodiscover.example.com"
    v2 = "/autodiscover/autodiscover.json"
    for target in (
        f"{v2}?Email=fred%40example.com&Protocol=AutodiscoverV1&RedirectCount=1",
        f"{v2}?protocol=autodiscoverv1&email=fred%40example.com",
        f"{v2}/v1.0/fred@example.com?Protocol=AutodiscoverV1",
        "/Autodiscover/AUTODISCOVER.json/v1.0/fred%40example.com?Protocol=AutoDiscoverV1",
    ):
        reply = ask(target, host=host)
        assert reply.status_code == 200, target
        url = f"https://{host}/autodiscover/autodiscover.xml"
        assert reply.json == {"Protocol": "AutodiscoverV1", "Url": url}


def test_version_2_names_no_host_that_is_none(serve: Callable[[str], Ask]) -> None:
    ask = serve(TWO_DOMAINS.replace('"example.com", "example2.com"', '"*"'))
    target = "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1"
    reply = ask(target, host="192.0.2.1")
    assert reply.status_code == 404
    assert reply.json is not None
    assert reply.json["ErrorCode"] == "UserNotFound"
    known = ask(f"{target}&Email=fred@example.net", host="192.0.2.1").json
    assert known is not None
    assert known["Url"].startswith("https://autodiscover.example.net/autodiscover/")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("?Email=fred@example.com&Protocol=ActiveSync", 400, "InvalidProtocol"),
        ("?Email=fred@example.com", 400, "MandatoryParameterMissing"),
        ("?Email=fred&Protocol=AutodiscoverV1", 400, "InvalidRequest"),
        ("/v1.0/fred@nowhere.test?Protocol=AutodiscoverV1", 404, "UserNotFound"),
    ],
)
def test_version_2_says_what_it_cannot_do(
    serve: Callable[[str], Ask], target: str, status: int, code: str
) -> None:
    ask = serve(TWO_DOMAINS)
    reply = ask(f"/autodiscover/autodiscover.json{target}", host="x.test")
    assert reply.status_code == status
    assert reply.json is not None
    assert reply.json["ErrorCode"] == code
    assert "fred" not in reply.text


def test_version_2_knows_the_servers_with_a_url(serve: Callable[[str], Ask]) -> None:
    ask = serve(FULL)
    target = "/autodiscover/autodiscover.json?Email=a@example.com&Protocol=activesync"
    assert ask(target).json == {
        "Protocol": "ActiveSync",
        "Url": "https://eas.example.com/",
    }


# --- Apple ---------------------------------------------------------------------------

PROFILE = "/mail/mobileconfig?emailaddress=fred@example.com"


def payloads(profile: bytes) -> dict[str, dict[str, Any]]:
    root = plistlib.loads(profile)
    return {it["PayloadType"]: it for it in root["PayloadContent"]}


def test_the_profile_of_an_address_has_everything_but_the_password(
    serve: Callable[[str], Ask],
) -> None:
    reply = serve(FULL)(PROFILE)
    assert reply.headers["Content-Type"] == "application/x-apple-aspen-config"
    disposition = 'attachment; filename="example.com.mobileconfig"'
    assert reply.headers["Content-Disposition"] == disposition
    assert reply.headers["Cache-Control"] == "private, no-store"
    found = payloads(reply.data)
    mail = found["com.apple.mail.managed"]
    expected = {
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAddress": "fred@example.com",
        "IncomingMailServerHostName": "imap.example.com",
        "IncomingMailServerPortNumber": 993,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": "fred@example.com",
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": "smtp.example.com",
        "OutgoingMailServerPortNumber": 587,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": "fred@example.com",
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingPasswordSameAsIncomingPassword": True,
    }
    assert mail.items() >= expected.items()
    assert (
        found["com.apple.caldav.account"].items()
        >= {
            "CalDAVHostName": "dav.example.com",
            "CalDAVPort": 443,
            "CalDAVUseSSL": True,
            "CalDAVPrincipalURL": "/calendars/fred@example.com/",
            "CalDAVUsername": "fred@example.com",
        }.items()
    )
    assert found["com.apple.carddav.account"]["CardDAVPrincipalURL"] == "/contacts/"
    keys = {key for payload in found.values() for key in payload}
    assert not {key for key in keys if key.endswith("Password")} - {
        "OutgoingPasswordSameAsIncomingPassword"
    }


def test_the_profile_without_an_address_lets_the_device_ask(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)
    for path in ("/mail/mobileconfig", "/.well-known/apple-mail.mobileconfig"):
        reply = ask(path)
        assert reply.headers["Cache-Control"].startswith("public")
        mail = payloads(reply.data)["com.apple.mail.managed"]
        assert mail["IncomingMailServerHostName"] == "imap.example.com"
        assert not {"EmailAddress", "IncomingMailServerUsername"} & set(mail)
        assert "%" not in reply.text.replace("%20", "")


def test_the_same_address_gets_the_same_identifiers_and_another_gets_others(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)

    def identifiers(target: str) -> set[str]:
        root = plistlib.loads(ask(target).data)
        items = [root, *root["PayloadContent"]]
        keys = ("PayloadUUID", "PayloadIdentifier")
        return {it[key] for it in items for key in keys}

    first = identifiers(PROFILE)
    assert len(first) == 8
    assert identifiers("/email.mobileconfig?email=fred@example.com") == first
    assert not identifiers(PROFILE.replace("fred", "ann")) & first
    assert all(it.startswith("com.example.") for it in first if it.count(".") > 1)


@pytest.mark.parametrize(
    ("lines", "type_", "method"),
    [
        ('type = "pop3"', "EmailTypePOP", "EmailAuthPassword"),
        (
            'type = "imap"\nauthentication = ["OAuth2", "password-encrypted"]',
            "EmailTypeIMAP",
            "EmailAuthCRAMMD5",
        ),
        ('type = "imap"\nauthentication = "NTLM"', "EmailTypeIMAP", "EmailAuthNTLM"),
        # Apple's programs cannot do GSSAPI by profile: the next server is taken.
        (
            'type = "imap"\nauthentication = "GSSAPI"',
            "EmailTypePOP",
            "EmailAuthPassword",
        ),
    ],
)
def test_the_best_server_that_apple_can_use_is_taken(
    serve: Callable[[str], Ask], lines: str, type_: str, method: str
) -> None:
    text = TWO_DOMAINS.replace('type = "imap"', lines)
    mail = payloads(serve(text)(PROFILE).data)["com.apple.mail.managed"]
    assert mail["EmailAccountType"] == type_
    assert mail["IncomingMailServerAuthentication"] == method


def _openssl(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program("openssl"), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        check=True,
        timeout=60,
    )


@pytest.fixture
def certificates(tmp_path: Path, chain: Path) -> Path:
    """A folder of the test's own with the chain in it."""
    shutil.copytree(chain, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, an intermediate and a signing certificate, made by openssl."""
    tmp_path = tmp_path_factory.mktemp("chain")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    root = ("-x509", "-days", "9", "-keyout", "root.key", "-out", "root.pem")
    _openssl(*new, "/CN=Root", *root, cwd=tmp_path)
    for name, issuer, ca in (("middle", "root", "TRUE"), ("signer", "middle", "FALSE")):
        request = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        _openssl(*new, f"/CN={name}", *request, cwd=tmp_path)
        (tmp_path / "ext").write_text(f"basicConstraints=CA:{ca}\n")
        by = ("-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial")
        out = ("-days", "9", "-extfile", "ext", "-out", f"{name}.pem")
        _openssl("x509", "-req", "-in", f"{name}.csr", *by, *out, cwd=tmp_path)
    return tmp_path


SIGN = """
[sign]
certificate = "signer.pem"
key = "signer.key"
chain = "middle.pem"
"""


@pytest.mark.world
def test_a_signed_profile_is_verified_by_openssl(
    serve: Callable[[str], Ask], certificates: Path
) -> None:
    ask = serve(SIGN + TWO_DOMAINS)
    signed = ask(PROFILE).data
    (certificates / "profile.der").write_bytes(signed)
    verify = ("cms", "-verify", "-inform", "DER", "-in", "profile.der", "-CAfile")
    done = _openssl(*verify, "root.pem", "-binary", "-purpose", "any", cwd=certificates)
    assert b"imap.example.com" in done.stdout
    assert payloads(done.stdout)["com.apple.mail.managed"]
    assert ask(PROFILE).headers["Content-Type"] == "application/x-apple-aspen-config"


@pytest.mark.world
@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        (("signer.key", "nowhere"), "key", "cannot read"),
        (("signer.pem", "signer.key"), "certificate", "has no certificate"),
        (('"signer.key"', '"signer.pem"'), "key", "has no RSA or EC key"),
        (('"signer.key"', '"root.key"'), "key", "not the certificate's key"),
        (("middle.pem", "root.key"), "chain", "has no certificate"),
    ],
)
def test_a_key_that_cannot_sign_is_a_problem_of_the_file(
    toml: Write, certificates: Path, change: tuple[str, str], key: str, message: str
) -> None:
    file = toml(SIGN.replace(*change) + TWO_DOMAINS)
    done = run("--config", file, "validate")
    assert done.returncode == 1
    assert f"sign.{key}: " in done.stdout
    assert message in done.stdout
    with pytest.raises(ConfigError, match=message):
        create_app(file)


@pytest.mark.world
def test_without_the_extra_signing_is_a_problem_that_says_how_to_get_it(
    toml: Write, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.x509", None)
    with pytest.raises(ConfigError, match=r"pip install 'flask-autoconfig\[sign\]'"):
        load(toml(SIGN + TWO_DOMAINS))


# --- PACC ----------------------------------------------------------------------------

PACC = "/.well-known/user-agent-configuration.json"


def test_pacc_says_what_it_can(serve: Callable[[str], Ask]) -> None:
    reply = serve(FULL)(PACC, host="ua-auto-config.example.com")
    assert reply.headers["Content-Type"] == "application/json"
    assert "no-transform" in reply.headers["Cache-Control"]
    assert reply.json == {
        "protocols": {
            "imap": {"host": "imap.example.com"},
            "jmap": {"url": "https://jmap.example.com/"},
            "carddav": {"url": "https://dav.example.com/contacts/"},
            "webdav": {"url": "https://files.example.com/"},
        },
        "authentication": {"password": True},  # what each of them takes
        "info": {
            "provider": {
                "name": "Example & Söhne",
                "shortName": "Example",
                "logo": [
                    {
                        "url": "https://example.com/logo.png",
                        "content-type": "image/png",
                    }
                ],
            },
            "help": {"documentation": "https://example.com/help?a=1&b=%20x"},
        },
    }


def test_pacc_calls_smtp_as_each_of_its_drafts_does(
    serve: Callable[[str], Ask],
) -> None:
    found = serve(TWO_DOMAINS)(PACC).json
    assert found is not None
    for name in ("submit", "smtp"):
        assert found["protocols"][name] == {"host": "smtp.example.com"}
    assert found["authentication"] == {"password": True}


SAID_BY_PACC = {
    "a login that is not the address": (
        'username = "%EMAILLOCALPART%"',
        "",
        set(),
    ),
    "the address in two parts": (
        'username = "%EMAILLOCALPART%@%EMAILDOMAIN%"',
        "",
        {"imap", "pop3", "submit", "smtp"},
    ),
    "an IMAP server that PACC cannot say": ('socket_type = "STARTTLS"', "", set()),
    "a login that only sending has": (
        "",
        'username = "%EMAILLOCALPART%"',
        {"imap", "pop3"},
    ),
    "no login": ("", 'authentication = "client-IP-address"', {"imap", "pop3"}),
    "an IP address": ('hostname = "192.0.2.1"', "", set()),
    "another port": ("port = 994", "", set()),
    "no method in common": (
        'authentication = "GSSAPI"',
        "",
        set(),
    ),
}


@pytest.mark.parametrize(
    ("of_imap", "of_smtp", "said"), SAID_BY_PACC.values(), ids=SAID_BY_PACC.keys()
)
def test_pacc_says_nothing_else_than_the_file(
    serve: Callable[[str], Ask], of_imap: str, of_smtp: str, said: set[str]
) -> None:
    text = TWO_DOMAINS
    for type_, line in (("imap", of_imap), ("smtp", of_smtp)):
        head = f'type = "{type_}"\nhostname = "{type_}.example.com"'
        assert head in text
        with_host = line if line.startswith("hostname") else f"{line}\n{head[13:]}"
        text = text.replace(head, f'type = "{type_}"\n{with_host}' if line else head)
    reply = serve(text)(PACC)
    if said:
        assert reply.json is not None
        assert set(reply.json["protocols"]) == said
    else:
        assert reply.status_code == 404
    reasons = [it.message for it in find_warnings(loads(text).provider)]
    left_out = [it for it in reasons if it.startswith("its document leaves it out")]
    assert bool(left_out) == (said != {"imap", "pop3", "submit", "smtp"})


@pytest.mark.parametrize(
    ("of_imap", "of_smtp", "authentication"),
    [
        (["OAuth2", "password-cleartext"], ["password-cleartext"], {"password": True}),
        (
            ["OAuth2", "password-cleartext"],
            ["OAuth2"],
            {
                "password": False,
                "oauth-public": {"issuer": "https://login.example.com"},
            },
        ),
        ([{"system": "sasl", "name": "SCRAM-SHA-256"}], ["password-cleartext"], None),
    ],
)
def test_pacc_announces_a_method_only_if_every_server_takes_it(
    of_imap: list[Any], of_smtp: list[Any], authentication: dict[str, Any] | None
) -> None:
    raw = {
        "domains": ["example.com"],
        "incoming": [{"type": "imap", "hostname": "a.test", "authentication": of_imap}],
        "outgoing": [{"type": "smtp", "hostname": "b.test", "authentication": of_smtp}],
        "oauth2": {"issuer": "login.example.com"},
    }
    (provider,) = from_raw({"provider": [raw]}).providers
    document = pacc.write(provider, Recipient("example.com"))
    assert document is not None
    said = json.loads(document)
    assert set(said["protocols"]) == {"imap", "submit", "smtp"}
    assert said["authentication"] == (authentication or {"password": True})


def test_pacc_leaves_out_a_server_that_takes_no_method_of_the_best_one() -> None:
    raw = {
        "domains": ["example.com"],
        "incoming": [{"type": "imap", "hostname": "a.test"}],
        "outgoing": [
            {"type": "smtp", "hostname": "c.test", "authentication": "OAuth2"}
        ],
        "oauth2": {"issuer": "login.example.com"},
    }
    (provider,) = from_raw({"provider": [raw]}).providers
    document = pacc.write(provider, Recipient("example.com"))
    assert document is not None
    said = json.loads(document)
    assert set(said["protocols"]) == {"imap"}
    assert said["authentication"] == {"password": True}
    assert [place for place, _ in pacc.left_out(provider)] == ["outgoing[0]"]


def test_pacc_prefers_no_imap_where_the_file_prefers_pop3() -> None:
    raw = {
        "domains": ["example.com"],
        "incoming": [
            {"type": "pop3", "hostname": "a.test"},
            {"type": "imap", "hostname": "b.test"},
        ],
        "outgoing": [{"type": "smtp", "hostname": "c.test"}],
    }
    (provider,) = from_raw({"provider": [raw]}).providers
    document = pacc.write(provider, Recipient("example.com"))
    assert document is not None
    assert set(json.loads(document)["protocols"]) == {"pop3", "submit", "smtp"}
    assert [place for place, _ in pacc.left_out(provider)] == ["incoming[1]"]


@pytest.mark.parametrize(
    "url",
    ["https://dav.test:8443/", "https://192.0.2.1/", "https://[2001:db8::1]/"]
    + ["http://dav.test/", "https://dav.test/%EMAILLOCALPART%/"],
)
def test_pacc_names_no_url_that_it_cannot(url: str) -> None:
    calendar = f'[[provider.calendar]]\ntype = "caldav"\nurl = "{url}"\n'
    (provider,) = loads(TWO_DOMAINS + calendar).provider
    document = pacc.write(provider, Recipient("example.com"))
    assert document is not None
    assert "caldav" not in json.loads(document)["protocols"]
    assert [place for place, _ in pacc.left_out(provider)] == ["calendar[0]"]


def test_pacc_is_silent_where_a_sites_hook_has_the_logins(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    headers = {"Host": "ua-auto-config.example.com"}
    for hook, status in ((None, 200), (lambda address: None, 404)):
        app = AutoconfigMiddleware(Flask("site"), file, find_username=hook)
        assert Client(app).get(PACC, headers=headers).status_code == status


def test_a_provider_of_which_pacc_can_say_nothing_is_404(
    serve: Callable[[str], Ask],
) -> None:
    text = TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname')
    reply = serve(text)(PACC)
    assert reply.status_code == 404
    assert reply.data


def test_what_pacc_leaves_out_is_a_warning(toml: Write) -> None:
    found = find_warnings(load(toml(FULL)).provider)
    places = [it.place for it in found if it.client == "PACC"]
    assert places == [
        "provider[0].incoming[1]",
        "provider[0].outgoing[0]",
        "provider[0].outgoing[1]",
        "provider[0].calendar[0]",
    ]


def test_pacc_is_the_same_whoever_asks_and_whenever(
    serve: Callable[[str], Ask], toml: Write
) -> None:
    ask = serve(TWO_DOMAINS)
    first = ask(PACC).data
    assert ask(f"{PACC}?x=y").data == first
    provider = loads(TWO_DOMAINS).provider[0]
    assert pacc.write(provider, Recipient("example.com")) == first
    digest = b64encode(hashlib.sha256(first).digest()).decode()
    assert pacc.digest_record(first) == f"v=UAAC1; a=sha256; d={digest}"


PERSONAL = """
[[provider.calendar]]
type = "caldav"
url = "https://dav.example.com/{0}/calendar/"
[[provider.documentation]]
url = "https://www.example.com/{0}"
"""


@pytest.mark.parametrize("name", ["%EMAILADDRESS%", "%EMAILLOCALPART%", "%REALNAME%"])
def test_what_is_for_everybody_names_nobody(
    serve: Callable[[str], Ask], name: str, toml: Write
) -> None:
    text = TWO_DOMAINS + PERSONAL.format(name)
    named = f'logo_url = "https://www.example.com/{name}.png"\ndisplay_name = "{name}"'
    ask = serve(
        text.replace("[[provider.incoming]]", f"{named}\n[[provider.incoming]]", 1)
    )
    document = ask(PACC).json
    assert document is not None
    assert set(document["protocols"]) == {"imap", "pop3", "submit", "smtp"}
    assert document["info"] == {"provider": {"name": "example.com"}}
    moved = ask("/.well-known/caldav", host="example.com")
    assert moved.headers["Location"] == "https://dav.example.com/"
    zone = run("--config", toml(text), "dns", "--target", "www.example.com").stdout
    assert '_caldavs._tcp IN TXT "path=/"' in zone


def test_pacc_of_a_wildcard_has_the_domain_written_out(
    serve: Callable[[str], Ask],
) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"*"').replace(
        "imap.example.com", "imap.%EMAILDOMAIN%"
    )
    reply = serve(text)(PACC, host="ua-auto-config.customer.test")
    assert json.loads(reply.data)["protocols"]["imap"] == {"host": "imap.customer.test"}


# --- Calendars and address books -------------------------------------------------------


def test_dav_paths_lead_to_the_providers_servers(serve: Callable[[str], Ask]) -> None:
    ask = serve(FULL)
    for path, url in (
        # A calendar's URL leads to where it needs to know whose.
        ("/.well-known/caldav", "https://dav.example.com/calendars/"),
        ("/.well-known/carddav", "https://dav.example.com/contacts/"),
        ("/.well-known/jmap", "https://jmap.example.com/"),
    ):
        for method, status in (("GET", 301), ("HEAD", 301), ("PROPFIND", 308)):
            reply = ask(path, method, host="example.com")
            assert (reply.status_code, reply.headers["Location"]) == (status, url)


def test_a_redirect_leads_in_ascii_to_a_url_with_other_letters(
    serve: Callable[[str], Ask],
) -> None:
    dav = (
        '[[provider.calendar]]\ntype = "caldav"\nurl = "https://bücher.test/für/日/"\n'
    )
    reply = serve(TWO_DOMAINS + dav)("/.well-known/caldav", "PROPFIND")
    assert reply.status_code == 308
    url = "https://xn--bcher-kva.test/f%C3%BCr/%E6%97%A5/"
    assert reply.headers["Location"] == url


def test_dav_paths_without_a_server_are_404(serve: Callable[[str], Ask]) -> None:
    reply = serve(TWO_DOMAINS)("/.well-known/caldav", "PROPFIND", host="example.com")
    assert reply.status_code == 404
    assert reply.data


@pytest.fixture
def dav_port(tmp_path: Path) -> Iterator[int]:
    """A real CalDAV and CardDAV server at dav.example.test; gives its port."""
    certificate = certificate_for("dav.example.test", folder=tmp_path)
    with radicale(tmp_path / "radicale", certificate) as port:
        yield port


@pytest.mark.world
def test_a_caldav_client_finds_its_calendars_from_the_domain_alone(
    toml: Write, tmp_path: Path, dav_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caldav.davclient import DAVClient
    from caldav.discovery import discover_service

    dav = (
        '[[provider.calendar]]\ntype = "caldav"\nurl = "https://dav.example.test/"\n'
        '[[provider.address_book]]\ntype = "carddav"\nurl = "https://dav.example.test/"\n'
    )
    file = toml(TWO_DOMAINS.replace("example.com", "example.test") + dav)
    certificate, key = certificate_for("example.test", folder=tmp_path)
    port = free_port()
    tls = ("--certfile", certificate, "--keyfile", key, "--no-control-socket")
    command = (BIN / "gunicorn", "--bind", f"127.0.0.1:{port}", *tls)
    with (
        running(
            *command,
            "flask_autoconfig:create_app()",
            port=port,
            env={"AUTOCONFIG_FILE": str(file)},
            at_once=True,
        ),
        names(
            monkeypatch,
            {("example.test", 443): port, ("dav.example.test", 443): dav_port},
        ),
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        url = "https://dav.example.test/"
        for service in ("caldav", "carddav"):
            found = discover_service("fred@example.test", service, timeout=10)
            assert found is not None
            assert found.source == "well-known"
            assert found.url == url
        with DAVClient(url, username="fred@example.test", password="secret") as client:
            anything: Any = client  # its types are not all there
            principal = anything.principal()
            principal.make_calendar(name="Work")
            calendars = [str(it.get_display_name()) for it in principal.get_calendars()]
    assert calendars == ["Work"]


# --- Families --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "path"),
    [
        ("thunderbird", "/mail/config-v1.1.xml"),
        ("outlook", POX),
        ("outlook", "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1"),
        ("apple", "/mail/mobileconfig"),
        ("pacc", PACC),
        ("dav", "/.well-known/carddav"),
        ("page", "/mail/setup"),
    ],
)
def test_a_family_that_is_off_leaves_its_paths_to_the_site(
    toml: Write, family: str, path: str
) -> None:
    others = {"thunderbird", "outlook", "apple", "pacc", "dav", "page"} - {family}
    file = toml(FULL)
    headers = {"Host": "autoconfig.example.com"}
    for chosen, status in ((others, {404}), ({family}, {200, 301})):
        config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": chosen}
        for app in (Flask("site"), None):
            if app is not None:
                app.config.update(config)
                app.register_blueprint(autoconfig)
            reply = Client(app or create_app(config)).get(path, headers=headers)
            assert reply.status_code in status


@pytest.mark.world
def test_an_independent_reader_understands_autoconfig(
    serve: Callable[[str], Ask],
) -> None:
    from myldiscovery.discovery import parse_autoconfig

    pop3 = '[[provider.incoming]]\ntype = "pop3"\nhostname = "pop.example.com"\n'
    body = serve(TWO_DOMAINS.replace(pop3, ""))("/mail/config-v1.1.xml").data
    expected = {"port": 993, "starttls": False, "ssl": True}
    found = parse_autoconfig(body)
    assert found["imap"] == {"server": "imap.example.com", **expected}
    assert found["smtp"] == {"server": "smtp.example.com", **expected, "port": 465}


def test_a_wildcard_without_a_domain_leaves_no_placeholder_to_who_knows_none(
    serve: Callable[[str], Ask],
) -> None:
    text = TWO_DOMAINS.replace('"example.com", "example2.com"', '"*"')
    text = text.replace(".example.com", ".%EMAILDOMAIN%")
    dav = '[[provider.calendar]]\ntype = "caldav"\nurl = "https://%EMAILDOMAIN%/dav/"\n'
    ask = serve(text + dav)
    for path in (PACC, "/.well-known/caldav", "/mail/mobileconfig", POX):
        reply = ask(path, host="127.0.0.1")
        assert b"%" not in reply.data
        assert reply.status_code == 404
        assert reply.data
    for path in (PACC, "/.well-known/caldav", "/mail/mobileconfig", POX):
        reply = ask(path, host="autoconfig.customer.test")
        assert b"customer.test" in reply.data


@pytest.mark.parametrize(
    "local", ["o'neill", '"a b"', "a+b", "ö", "a&b", "a%41", "x" * 64, "{{7*7}}"]
)
def test_odd_local_parts_are_as_good_as_any(
    serve: Callable[[str], Ask], local: str
) -> None:
    ask = serve(TWO_DOMAINS)
    query = f"?emailaddress={quote(f'{local}@example.com')}"
    mail = payloads(ask(f"/mail/mobileconfig{query}").data)["com.apple.mail.managed"]
    assert mail["EmailAddress"] == f"{local}@example.com"
    page = ask(f"/mail/setup{query}")
    assert page.status_code == 200
    assert (
        html.escape(f"{local}@example.com")
        .replace("&#x27;", "&#39;")
        .replace("&quot;", "&#34;")
        in page.text
    )
    body = pox(html.escape(f"{local}@example.com"))
    assert protocols(ask(POX, "POST", data=body).data)[0]["LoginName"] == (
        f"{local}@example.com"
    )


# --- A calendar of which only the host is known ------------------------------------------

BY_HOST = '[[provider.calendar]]\ntype = "caldav"\nhostname = "{}"\nport = 8443\n'


def test_every_family_tells_the_same_url_of_a_calendar_known_by_host(
    serve: Callable[[str], Ask], toml: Write
) -> None:
    ask = serve(TWO_DOMAINS + BY_HOST.format("dav.test"))
    url = "https://dav.test:8443/.well-known/caldav"
    assert f"<url>{url}</url>" in ask("/mail/config-v1.1.xml").text
    moved = ask("/.well-known/caldav", host="example.com")
    assert moved.headers["Location"] == url
    found = protocols(ask(POX, "POST", data=pox()).data)
    assert found[-1]["Server"] == url
    calendar = payloads(ask(PROFILE).data)["com.apple.caldav.account"]
    assert (calendar["CalDAVHostName"], calendar["CalDAVPort"]) == ("dav.test", 8443)
    assert "CalDAVPrincipalURL" not in calendar  # it looks at that place by itself
    file = toml(TWO_DOMAINS + BY_HOST.format("dav.test"))
    zone = run("--config", file, "dns", "--target", "www.example.com").stdout
    assert "_caldavs._tcp IN SRV 0 1 8443 dav.test." in zone
    assert "_caldavs._tcp IN TXT" not in zone


@pytest.mark.parametrize(
    ("host", "status"), [("example.com", 404), ("www.example.com", 301)]
)
def test_a_redirect_never_leads_to_itself(
    serve: Callable[[str], Ask], host: str, status: int
) -> None:
    text = BY_HOST.format(host).replace("8443", "443")
    reply = serve(TWO_DOMAINS + text)("/.well-known/caldav", host="example.com")
    assert reply.status_code == status


# --- Words for people, and whose ----------------------------------------------------------


def test_a_profile_has_the_persons_name_where_the_request_says_it(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)
    key = "EmailAccountName"
    assert key not in payloads(ask(PROFILE).data)["com.apple.mail.managed"]
    for query, name in (
        ("&name=Fr%C3%A9d%C3%A9ric+Dupont", "Frédéric Dupont"),
        ("&name=%20Ann%0D%0A%00%20Lee%20", "Ann Lee"),
        ("&name=" + "x" * 200, "x" * 64),
        ("&name=%F0%9F%98%80", "\U0001f600"),
        ("&name=%25EMAILADDRESS%25", "%EMAILADDRESS%"),
    ):
        reply = ask(PROFILE + query)
        assert payloads(reply.data)["com.apple.mail.managed"][key] == name
        assert reply.headers["Cache-Control"] == "private, no-store"
    for query in ("&name=", "&name=%20"):
        assert key not in payloads(ask(PROFILE + query).data)["com.apple.mail.managed"]


def test_a_display_name_of_a_profile_has_the_persons_name_where_it_is_said(
    serve: Callable[[str], Ask],
) -> None:
    named = 'display_name = "%REALNAME% at %EMAILDOMAIN%"\n\n[[provider.incoming]]'
    ask = serve(TWO_DOMAINS.replace("[[provider.incoming]]", named, 1))
    for query, name in (
        ("", "fred at example.com"),
        ("&name=Ann%20Lee", "Ann Lee at example.com"),
        ("&name=%25EMAILADDRESS%25", "%EMAILADDRESS% at example.com"),
    ):
        reply = ask(f"/mail/mobileconfig?emailaddress=fred@example.com{query}")
        assert plistlib.loads(reply.data)["PayloadOrganization"] == name


def test_a_name_without_an_address_is_kept_by_nobody(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)
    reply = ask("/mail/mobileconfig?name=Ann")
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert "Ann" in reply.text
    assert "Ann" not in ask("/mail/mobileconfig").text


def test_a_profile_speaks_the_language_that_its_url_says(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)

    def said(target: str, **headers: str) -> str:
        root = plistlib.loads(ask(target, headers=headers).data)
        words = [root["PayloadDescription"]]
        words += [it["PayloadDisplayName"] for it in root["PayloadContent"]]
        assert len(set(words)) == 4  # each payload has a name of its own
        return " ".join(words)

    for target in (PROFILE, "/mail/mobileconfig?x=y"):
        assert "Configure le compte" in said(f"{target}&lang=fr")
        assert "Agenda (CalDAV)" in said(f"{target}&lang=fr-CA")
        for other in ("", "&lang=", "&lang=tlh", "&lang=" + "x" * 500):
            assert "Sets up the account" in said(target + other)
            header = {"Accept-Language": "fr"}
            assert said(target + other, **header) == said(target + other)


def test_a_profile_asks_for_consent_in_every_language(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(FULL)
    consent = plistlib.loads(ask(PROFILE).data)["ConsentText"]
    assert set(consent) == {"default", *languages()}
    assert consent["default"] == consent["en"] != consent["fr"]
    for text in consent.values():
        assert "Example & Söhne" in text
        assert "fred@example.com" in text
    french = plistlib.loads(ask(f"{PROFILE}&lang=fr").data)["ConsentText"]
    assert french["default"] == french["fr"] == consent["fr"]


def test_show_prints_the_profile_that_is_served(
    serve: Callable[[str], Ask], toml: Write
) -> None:
    served = serve(FULL)("/mail/mobileconfig?emailaddress=fred@example.com").text
    option = ("show", "fred@example.com", "--format", "apple")
    assert run("--config", toml(FULL), *option).stdout == served


def test_what_no_profile_has_a_word_for_is_told(toml: Write) -> None:
    text = TWO_DOMAINS.replace(
        'type = "imap"', 'type = "imap"\nauthentication = "GSSAPI"'
    )
    found = find_warnings(load(toml(text)).provider)
    (told,) = (it for it in found if it.client == "iPhone, iPad and Mac")
    assert told.place == "provider[0].incoming[0]"


def test_a_signing_certificate_that_has_ended_is_told_everywhere(
    toml: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = datetime(2020, 2, 3, tzinfo=UTC)
    names_ = certificate_for("signer", folder=tmp_path, not_after=ended)
    sign = f'[sign]\ncertificate = "{names_[0].name}"\nkey = "{names_[1].name}"\n'
    file = toml(sign + TWO_DOMAINS)
    said = "sign.certificate: the certificate ended on 2020-02-03"
    create_app(file)
    assert f"{said}; renew it" in caplog.text
    validated = run("--config", file, "validate")
    assert said in validated.stdout
    assert validated.returncode == 0  # it goes on
    options = ("--unpublished", "--timeout", "1", "--resolver", "127.0.0.1:9")
    checked = run("--config", file, "check", "example.com", *options)
    assert "the certificate ended on 2020-02-03" in checked.stdout
    good = certificate_for("good", folder=tmp_path)
    file = toml(sign.replace("signer", "good") + TWO_DOMAINS)
    assert good[0].is_file()
    assert "ended" not in run("--config", file, "validate").stdout


@pytest.mark.world
def test_a_signing_key_that_is_not_safe_is_told_with_its_cure(
    toml: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = ("req", "-x509", "-nodes", "-subj", "/CN=signer", "-days", "9")
    files = ("-keyout", "signer.key", "-out", "signer.pem")
    file = toml(SIGN.replace('chain = "middle.pem"\n', "") + TWO_DOMAINS)
    _openssl(*new, "-newkey", "rsa:1024", *files, cwd=tmp_path)
    key = tmp_path / "signer.key"
    key.chmod(0o644)
    create_app(file)
    validated = run("--config", file, "validate")
    assert validated.returncode == 0
    for told in (caplog.text, " ".join(validated.stdout.split())):
        assert "sign.key: every user of the machine may use it (0644)" in told
        assert f"chmod 600 {key}" in told
        assert "sign.key: an RSA key of 1024 bits can be broken" in told
        assert "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048" in told
    for kind in (("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        _openssl(*new, "-newkey", *kind, *files, cwd=tmp_path)
        key.chmod(0o600)
        assert "sign.key" not in run("--config", file, "validate").stdout


def test_a_name_in_raw_bytes_is_read_as_utf8(toml: Write) -> None:
    environ = EnvironBuilder("/mail/mobileconfig").get_environ()
    environ["QUERY_STRING"] = (
        "emailaddress=fred@example.com&name=Frédéric".encode().decode("latin-1")
    )
    body, status, _ = run_wsgi_app(create_app(toml(FULL)), environ)
    assert status.startswith("200")
    mail = payloads(b"".join(body))["com.apple.mail.managed"]
    assert mail["EmailAccountName"] == "Frédéric"
