"""Every part of a request is handled in linear time, at every entry point."""

from collections.abc import Callable, Iterable
from io import BytesIO
from itertools import product
from textwrap import wrap
from typing import Any

import pytest
from flask import Flask
from linear import TOKENS, assert_linear, assert_quick, some_or_all
from support import TWO_DOMAINS, loads, table
from werkzeug.test import EnvironBuilder

from flask_autoconfig import Autoconfig, AutoconfigMiddleware, create_app
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.writing import to_raw
from flask_autoconfig.page import view

MAX_SECONDS = 0.1  # of CPU time for 4 KiB, which every web server accepts
STRIPPED = '<>@+ %\t"'  # what the page strips from an address that was typed

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
REQUESTS = table("requests", "linear.toml")
CLIENTS = "thunderbird,outlook,apple,pacc,dav,page,ispdb"
MAPPING = to_raw(loads(TWO_DOMAINS))
CONFIGURATION = {"AUTOCONFIG": MAPPING, "AUTOCONFIG_CLIENTS": CLIENTS}


def _entry_points() -> tuple[Wsgi, Wsgi, Wsgi]:
    """Return the service, a site with the blueprint, and the middleware."""
    site = Flask("site")
    site.config.update(CONFIGURATION)
    site.register_blueprint(Autoconfig())
    middleware = AutoconfigMiddleware(Flask("other"), MAPPING, clients=CLIENTS)
    return create_app(CONFIGURATION, proxies=1), site, middleware


def _sender(app: Wsgi, name: str) -> Callable[[str], None]:
    """Return a function that sends the request with a text in it."""
    default = EnvironBuilder("/", "https://autoconfig.example.com").get_environ()

    def send(text: str) -> None:
        text = text.encode("utf-8", "replace").decode("latin-1")  # PEP 3333
        environ = {
            key: value.replace("@", text).replace("FRED", "fred@example.com")
            for key, value in REQUESTS[name].items()
        }
        if "body" in environ:
            body = environ.pop("body").encode("latin-1")
            environ |= {
                "PATH_INFO": "/autodiscover/autodiscover.xml",
                "REQUEST_METHOD": "POST",
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.input": BytesIO(body),
            }
        statuses: list[str] = []
        answer = app({**default, **environ}, lambda status, *_: statuses.append(status))
        assert b"".join(answer) is not None
        (status,) = statuses
        assert status < "5", status

    return send


@some_or_all(10)
@pytest.mark.parametrize("number", range(len(REQUESTS)), ids=REQUESTS)
def test_every_part_of_a_request_takes_linear_time(number: int, step: int) -> None:
    """With some tokens at one of the three entry points, with all at the service."""
    entry_point = _entry_points()[number % 3 if step > 1 else 0]
    send = _sender(entry_point, [*REQUESTS][number])
    for token in TOKENS[number % step :: step]:
        assert_linear(send, token, most=MAX_SECONDS)


@pytest.mark.parametrize("start", STRIPPED)
def test_characters_around_a_typed_address_are_stripped_quickly(start: str) -> None:
    send = _sender(_entry_points()[0], "page email")
    for middle, end in product(STRIPPED, ("", "x", "@", "<", ">", "@example.com")):
        assert_quick(send, start * 2020 + middle * 2020 + end, MAX_SECONDS, middle)


def test_many_elements_with_a_long_namespace_are_read_quickly() -> None:
    send = _sender(_entry_points()[0], "body")
    head, tail = "http:", "://schemas.microsoft.com/exchange/autodiscover/"
    namespace = f"{head}{'n' * 30_000}{tail}outlook/requestschema/2006"
    text = f'<Autodiscover xmlns="{namespace}">{"<b/>" * 8_000}</Autodiscover>'
    assert_quick(send, text, MAX_SECONDS, "a long namespace")


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
    assert_quick(lambda typed: view.similar_domain(typed, loaded), domain("1x55"), 0.01)
