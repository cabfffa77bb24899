"""Whatever comes in: requests, files and documents that hypothesis thinks of."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from support import MODEL, TWO_DOMAINS, loads
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_autoconfig import ConfigError, create_app, families
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.writing import dumps
from flask_autoconfig.documents import thunderbird
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.tools.warnings import find_warnings

FULL = tomllib.loads((Path(__file__).parent / "full.toml").read_text(encoding="utf-8"))

# --- Requests ------------------------------------------------------------------------

_octets = st.text(st.characters(max_codepoint=255), max_size=60)
_markup = st.sampled_from(["<script>", "\r\nX:y", "%00", "%ff%fe", "a@b", "@", "é@ü.x"])
_any_text = st.one_of(_octets, st.lists(st.one_of(_octets, _markup)).map("".join))
_paths = st.sampled_from(
    [route.path for family in families.FAMILIES for route in family.routes]
    + ["/autodiscover/autodiscover.json/v1.0/\xe9@x.y", "/v1.1/example.com", "/healthz"]
)
# What Python's IDNA codec, and those who write hosts by hand, stumble over.
_labels = st.text(alphabet="xn-.é\xdf\xb70aA_%:[]", max_size=12)
_hosts = st.one_of(
    _any_text,
    st.just("autoconfig.example.com"),
    _labels.map(lambda text: f"xn--{text}.example.com"),
    _labels.map(lambda text: f"{text}.xn--{text}"),
)
_addresses = st.tuples(
    st.text(max_size=70),
    st.sampled_from(["", "+", "ü" * 32, "f" * 64, "\U0001f600" * 16]),
).map(lambda parts: f"{parts[1]}{parts[0]}@example.com")
_queries = st.one_of(
    _any_text,
    _any_text.map(lambda text: f"emailaddress={text}"),
    _addresses.map(lambda text: f"emailaddress={quote(text)}"),
)


@pytest.fixture(scope="module")
def app() -> Any:
    mapping = tomllib.loads(TWO_DOMAINS.replace("example2.com", "*"))
    clients = {family.name for family in families.FAMILIES}
    return create_app({"AUTOCONFIG": mapping, "AUTOCONFIG_CLIENTS": clients})


@given(
    path=st.one_of(_paths, _any_text.map(lambda text: "/" + text)),
    query=_queries,
    host=_hosts,
    header=_any_text,
    method=st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
)
@example(path="/healthz", query="\x80", host="", header="", method="GET")
@example(
    path="/mail/setup/account.svg",
    query="emailaddress=fred@example.com&name=A",
    host=f"{'x' * 300}.xn--\xe9.test",
    header="",
    method="GET",
)
@settings(max_examples=150)
def test_any_request_gets_an_answer_below_500_that_echoes_nothing(
    app: Any, path: str, query: str, host: str, header: str, method: str
) -> None:
    environ = EnvironBuilder(method=method).get_environ()
    environ |= {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host}
    for name in ("IF_NONE_MATCH", "IF_MODIFIED_SINCE", "X_FORWARDED_HOST"):
        environ[f"HTTP_{name}"] = header
    body, status, headers = run_wsgi_app(app, environ, buffered=True)
    assert int(status.split()[0]) < 500
    document = b"".join(body)
    assert b"<script>" not in document.replace(b"<script nonce=", b"")
    assert not any("\n" in value or "\r" in value for _, value in headers)
    if status.startswith("200") and method == "GET" and document[:5] == b"<?xml":
        fromstring(document)


# --- TOML ----------------------------------------------------------------------------

_texts = st.text(max_size=20)
_scalars = st.one_of(
    _texts,
    st.integers(),
    st.booleans(),
    st.floats(),
    st.sampled_from(["imap", "smtp", "SSL", "%EMAILADDRESS%", "example.com", "*", ""]),
    st.just("https://example.com/"),
)
_keys = st.sampled_from(
    sorted({field.name for table in MODEL for field in structs.fields(table)})
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=4)
    ),
    max_leaves=15,
)


def _config_or_problems(raw: dict[str, Any]) -> None:
    try:
        config = from_raw(raw).tables
    except ConfigError as error:
        assert error.problems
        assert all(problem.message and problem.cure for problem in error.problems)
        assert "\n" not in "".join(map(str, error.problems))
        return
    find_warnings(config.provider)
    assert loads(dumps(config)) == config
    for provider in config.provider:
        document = thunderbird.write(provider)
        fromstring(document)
        reader = Reader()
        (back,) = from_raw({"provider": [reader.read(document)]}).providers
        assert reader.lost == []
        assert thunderbird.write(back) == document


@given(st.dictionaries(st.one_of(_keys, _texts), _values))
def test_any_tables_are_read_or_reported(raw: dict[str, Any]) -> None:
    _config_or_problems(raw)


def _places(raw: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place]
    items = raw.items() if isinstance(raw, dict) else enumerate(raw)
    for key, value in items:
        nested = isinstance(value, dict | list)
        found += _places(value, (*place, key)) if nested else [(*place, key)]
    return found


_PLACES = [place for place in _places(FULL) if place]


def _changed(raw: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(raw) if isinstance(raw, dict) else list(raw)
    copy[place[0]] = _changed(raw[place[0]], place[1:], value)
    return copy


@given(st.sampled_from(_PLACES), _values)
@settings(max_examples=200)
def test_a_good_file_with_anything_in_one_place_is_one_or_the_other(
    place: tuple[Any, ...], value: Any
) -> None:
    _config_or_problems(_changed(FULL, place, value))


# --- Documents -----------------------------------------------------------------------


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    with pytest.raises(NotAutoconfigError):
        Reader().read(data)


_tags = st.sampled_from(
    ["domain", "displayName", "incomingServer", "outgoingServer", "hostname", "port"]
    + ["documentation", "descr", "enable", "instruction", "webMail", "loginPage"]
    + ["authentication", "pop3", "checkInterval", "oAuth2", "addressBook", "other"]
)


@st.composite
def _elements(draw: st.DrawFn, depth: int = 0) -> str:
    tag = draw(_tags)
    attribute = draw(st.sampled_from(["", ' type="imap"', ' url="x"', ' lang="en"']))
    inner = draw(st.sampled_from(["", "text", " 7 ", "https://a.test/", "%X%"]))
    if depth < 3:
        inner += "".join(draw(st.lists(_elements(depth + 1), max_size=3)))
    return f"<{tag}{attribute}>{inner}</{tag}>"


@given(st.lists(_elements(), max_size=6), st.lists(_elements(), max_size=3))
def test_any_elements_are_read_or_reported(inner: list[str], outer: list[str]) -> None:
    text = f'<clientConfig><emailProvider id="a.test">{"".join(inner)}</emailProvider>'
    raw = Reader().read(f"{text}{''.join(outer)}</clientConfig>".encode())
    _config_or_problems({"provider": [raw]})
