"""What is known of a URL while the address is not."""

from __future__ import annotations

import pytest

from flask_autoconfig.address import PLACEHOLDERS, fill_in, is_for_all, known_part


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://dav.test/", "https://dav.test/"),
        ("https://dav.test", "https://dav.test"),
        ("https://dav.%EMAILDOMAIN%/a/b", "https://dav.example.com/a/b"),
        ("https://dav.test/a/%EMAILADDRESS%/", "https://dav.test/a/"),
        ("https://dav.test/a/b-%EMAILLOCALPART%/c", "https://dav.test/a/"),
        ("https://dav.test/%REALNAME%/a", "https://dav.test/"),
        ("https://dav.test/a?user=%EMAILADDRESS%", "https://dav.test/"),
        ("https://dav.test/%EMAILDOMAIN%/%REALNAME%", "https://dav.test/example.com/"),
        ("https://%EMAILLOCALPART%.dav.test/a/", ""),
        (
            "https://dav.test:8443/a/%REALNAME%/%EMAILADDRESS%",
            "https://dav.test:8443/a/",
        ),
    ],
)
def test_a_url_is_cut_at_its_first_placeholder(url: str, known: str) -> None:
    assert known_part(url, "example.com") == known
    assert not any(name in known for name in PLACEHOLDERS)


def test_without_a_domain_the_domain_is_a_placeholder_like_the_others() -> None:
    url = "https://dav.test/a/%EMAILDOMAIN%/b"
    assert known_part(url, None) == "https://dav.test/a/"
    assert fill_in(url, None, None) == ""


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_only_the_domain_is_the_same_for_all(name: str) -> None:
    assert is_for_all(f"a {name} b") == (name == "%EMAILDOMAIN%")
