"""Every part of a request is handled in linear time, at every entry point."""

from collections.abc import Callable, Iterable
from io import BytesIO
from itertools import product
from textwrap import wrap
from typing import Any

import pytest
from flask import Flask
from linear import TOKENS, assert_linear, assert_quick
from support import TWO_DOMAINS, outlook_asks
from werkzeug.test import EnvironBuilder

from flask_autoconfig import Autoconfig, AutoconfigMiddleware, create_app
from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.config.writing import to_raw
from flask_autoconfig.page import view

PAGE = "/mail/setup"
FRED = "emailaddress=fred@example.com"
V2 = "/autodiscover/autodiscover.json"
MOST_SECONDS = 0.1  # of CPU time for 4 KiB, which every web server accepts
STRIPPED = '<>@+ %\t"'  # what the page strips from an address that was typed

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Fill = Callable[[str], dict[str, Any]]  # untrusted text -> an environ that contains it


def _in_query(path: str, start: str) -> Fill:
    return lambda text: {"PATH_INFO": path, "QUERY_STRING": start + text}


def _in_header(name: str, path: str) -> Fill:
    return lambda text: {"PATH_INFO": path, name: text}


def _in_body(start: str, end: str = "") -> Fill:
    def fill(text: str) -> dict[str, Any]:
        body = f"{start}{text}{end}".encode("utf-8", "replace")
        return {
            "PATH_INFO": "/autodiscover/autodiscover.xml",
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }

    return fill


CONFIG = "/mail/config-v1.1.xml"
HEADERS = (
    *("HTTP_ACCEPT_LANGUAGE", "HTTP_USER_AGENT", "HTTP_SEC_CH_UA_PLATFORM"),
    *("HTTP_COOKIE", "HTTP_ORIGIN", "HTTP_HOST"),
)
REQUEST, _, AFTER = outlook_asks("|").partition("|")
ENTRIES: dict[str, Fill] = {
    "page email": _in_query(PAGE, "email="),
    "page lang": _in_query(PAGE, f"{FRED}&lang="),
    "page name": _in_query(PAGE, f"{FRED}&name="),
    "page query": _in_query(PAGE, ""),
    "page headers": lambda text: {"PATH_INFO": PAGE, **dict.fromkeys(HEADERS, text)},
    "colours": _in_query(f"{PAGE}/colours.css", "colour="),
    "document": _in_query(CONFIG, "emailaddress="),
    "document host": _in_header("HTTP_HOST", CONFIG),
    "document tags": _in_header("HTTP_IF_NONE_MATCH", CONFIG),
    "profile": _in_query("/email.mobileconfig", f"{FRED}&lang="),
    "redirect": _in_header("HTTP_HOST", "/.well-known/caldav"),
    "version 2": _in_query(V2, "protocol=autodiscoverv1&email="),
    "version 2 protocol": _in_query(V2, "email=fred@example.com&protocol="),
    "version 2 path": lambda text: {"PATH_INFO": f"{V2}/v1.0/{text}"},
    "body": _in_body(""),
    "body address": _in_body(REQUEST, AFTER),
    "body element": _in_body(REQUEST.removesuffix("<EMailAddress>"), AFTER),
    "domain": lambda text: {"PATH_INFO": f"/v1.1/{text}"},
    "path": lambda text: {"PATH_INFO": f"/{text}"},
    "health": _in_query("/healthz", "domain="),
}

CLIENTS = "thunderbird,outlook,apple,pacc,dav,page,ispdb"


CONFIGURATION = {
    "AUTOCONFIG": to_raw(loads(TWO_DOMAINS)),
    "AUTOCONFIG_CLIENTS": CLIENTS,
}


def _standalone() -> Wsgi:
    return create_app(CONFIGURATION, proxies=1)


def _site() -> Wsgi:
    app = Flask("site")
    app.config.update(CONFIGURATION)
    app.register_blueprint(Autoconfig())
    return app


def _middleware() -> Wsgi:
    mapping = to_raw(loads(TWO_DOMAINS))
    return AutoconfigMiddleware(Flask("other"), mapping, clients=CLIENTS)


def _ask(app: Wsgi, fill: Fill) -> Callable[[str], None]:
    usual = EnvironBuilder("/", "https://autoconfig.example.com").get_environ()

    def ask(text: str) -> None:
        wsgi_text = text.encode("utf-8", "replace").decode("latin-1")  # PEP 3333
        statuses: list[str] = []

        def start_response(status: str, *_: object) -> None:
            statuses.append(status)

        answer = app({**usual, **fill(wsgi_text)}, start_response)
        assert b"".join(answer) is not None
        (status,) = statuses
        assert status < "5", status

    return ask


@pytest.mark.world
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_part_of_a_request_takes_linear_time(entry: str) -> None:
    ask = _ask(_standalone(), ENTRIES[entry])
    for token in TOKENS:
        assert_linear(ask, token, most=MOST_SECONDS)


# Each part with a few tokens: together with all of them, half a minute.
@pytest.mark.parametrize("number", range(len(ENTRIES)), ids=ENTRIES)
def test_each_entry_point_takes_linear_time(number: int) -> None:
    build = (_standalone, _site, _middleware)[number % 3]
    ask = _ask(build(), [*ENTRIES.values()][number])
    for token in TOKENS[number % 10 :: 10]:
        assert_linear(ask, token, most=MOST_SECONDS)


@pytest.mark.parametrize("start", STRIPPED)
def test_characters_around_a_typed_address_are_stripped_quickly(start: str) -> None:
    ask = _ask(_standalone(), ENTRIES["page email"])
    for middle, end in product(STRIPPED, ("", "x", "@", "<", ">", "@example.com")):
        assert_quick(ask, start * 2020 + middle * 2020 + end, MOST_SECONDS, middle)


def test_many_elements_with_a_long_namespace_are_read_quickly() -> None:
    ask = _ask(_standalone(), ENTRIES["body"])
    head, tail = "http:", "://schemas.microsoft.com/exchange/autodiscover/"
    namespace = f"{head}{'n' * 30_000}{tail}outlook/requestschema/2006"
    text = f'<Autodiscover xmlns="{namespace}">{"<b/>" * 8_000}</Autodiscover>'
    assert_quick(ask, text, MOST_SECONDS, "a long namespace")


@pytest.mark.parametrize("length", [20, 40, 253])
@pytest.mark.parametrize("count", [300, 1000])
def test_the_domain_closest_to_a_typo_is_found_quickly(length: int, count: int) -> None:
    def domain(number: object) -> str:
        labels = f"customer{number}".ljust(length - 12, "a")
        return f"{'.'.join(wrap(labels, 60))}.example.com"[-length:]

    mapping = to_raw(loads(TWO_DOMAINS))
    mapping["provider"][0]["domains"] = list(map(domain, range(1000, 1000 + count)))
    loaded = from_raw(mapping)
    # A distance of all letters takes 26 ms for 30 characters, and 0.9 s for 253.
    assert_quick(lambda typed: view.meant(typed, loaded), domain("1x55"), 0.01)
