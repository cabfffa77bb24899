"""`export`: static files, and one map to each document for the real nginx."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fronts
import pytest
from services import Response, captured, fetch, free_port, run
from support import TWO_DOMAINS, Patch, Write, program, rows

from flask_autoconfig.answers import Request
from flask_autoconfig.families import static_paths
from flask_autoconfig.service import Service
from flask_autoconfig.tools.commands.export import export
from flask_autoconfig.tools.files import write_new

EDITED = TWO_DOMAINS.replace("imap.", "mail.")
PATHS = (
    "mail/config-v1.1.xml",
    ".well-known/autoconfig/mail/config-v1.1.xml",
    ".well-known/mail-v1.xml",
    ".well-known/user-agent-configuration.json",
    ".well-known/apple-mail.mobileconfig",
    "email.mobileconfig",
)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


# --- A file for each domain and path -----------------------------------------------------


def test_export_writes_byte_for_byte_what_is_served_for_a_web_server_to_read(
    toml: Write, tmp_path: Path
) -> None:
    file, out = toml(TWO_DOMAINS), tmp_path / "out"
    before = os.umask(0o022)
    try:
        assert run("--config", file, "export", out).returncode == 0
    finally:
        os.umask(before)
    domains = ("example.com", "example2.com")
    assert set(files(out)) == {f"{name}/{path}" for name in domains for path in PATHS}
    service = Service(file)
    for domain in domains:
        for path in PATHS:
            served = service.answer(Request(f"/{path}", host=domain))
            assert (out / domain / path).read_bytes() == getattr(served, "body", "")
    for path_ in out.rglob("*"):
        assert path_.stat().st_mode & 0o444 == 0o444, path_


def test_export_tells_of_old_files_and_of_patterns(toml: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out)
    (out / "index.html").write_text("mine")
    text = TWO_DOMAINS.replace('"example2.com"', '"*.example.net"')
    result = run("--config", toml(text), "export", out)
    assert (out / "index.html").read_text() == "mine"
    file = f"{out}/example2.com/mail/config-v1.1.xml"
    assert f"{file} is no longer served" in result.stderr
    assert "*.example.net has no static files" in result.stderr


@pytest.mark.parametrize("options", [[], ["--nginx"]])
@pytest.mark.parametrize("is_ended", [False, True], ids=["a full disk", "SIGTERM"])
def test_an_export_that_fails_or_ends_leaves_the_old_files_whole(
    toml: Write, tmp_path: Path, monkeypatch: Patch, options: list[str], is_ended: bool
) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out, for_nginx=bool(options))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # unless `export` handles it
    before = {*out.rglob("*")}, files(out)

    def interrupted(folder: int, name: str, data: bytes) -> None:
        if b"map $host" in data if options else name == "2":
            if is_ended:
                signal.raise_signal(signal.SIGTERM)
            raise OSError(28, "No space left on device", name)
        write_new(folder, name, data)

    monkeypatch.setattr("flask_autoconfig.tools.files.write_new", interrupted)
    result = run("--config", toml(EDITED), "export", out, *options)
    assert result.returncode == (143 if is_ended else 1)
    assert ("No space left on device" in result.stderr) != is_ended
    assert ({*out.rglob("*")}, files(out)) == before


# --- Links that somebody has put there ---------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the exported one, with a file that must not change."""
    folder = tmp_path / "outside"
    (folder / "mail").mkdir(parents=True)
    (folder / "mail/config-v1.1.xml").write_text("mine")
    return folder


@rows("links", "link, target, message", "tables.toml")
def test_export_refuses_a_link_in_the_place_of_a_folder_or_a_file(
    toml: Write, tmp_path: Path, outside: Path, link: str, target: str, message: str
) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out)
    (out / link).rename(tmp_path / "away")
    (out / link).symlink_to(outside / target)
    before = files(out), files(outside)
    result = run("--config", toml(EDITED), "export", out, code=1)
    assert f"{out / link}: cannot write: {message}" in result.stderr
    assert (files(out), files(outside)) == before
    assert not list(out.glob(".autoconfig-*"))


def test_a_folder_that_becomes_a_link_during_an_export_is_not_followed(
    toml: Write, tmp_path: Path, outside: Path, monkeypatch: Patch
) -> None:
    out = tmp_path / "out"
    before = files(outside)
    replace = os.replace

    def swapped(name: str, new_name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        mail = out / "example.com/mail"
        if os.path.samestat(os.fstat(dst_dir_fd), mail.stat()):
            mail.rename(tmp_path / "away")
            mail.symlink_to(outside / "mail")
        replace(name, new_name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", swapped)
    export(Service(toml(TWO_DOMAINS)), out)
    assert (out / "example.com/mail").is_symlink()
    assert files(outside) == before


# --- With a map for nginx ----------------------------------------------------------------

LABELS = ("autoconfig.", "ua-auto-config.", "")
LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 50, "test"])
KEPT = ["Content-Type", "Cache-Control", "Access-Control-Allow-Origin"]
KEPT += ["X-Content-Type-Options"]
CUSTOMERS = [f"customer-{number:04}.test" for number in range(3000)]


def listed(toml: Write, folder: Path, customers: list[str]) -> Path:
    """Write a file with domains that share a document, and others with one each."""
    (folder / "customers").write_text("\n".join([*customers, LONG]))
    own = TWO_DOMAINS.replace(
        'domains = ["example.com", "example2.com"]',
        'id = "own.test"\nlist_domains = false\n'
        'domains = ["own.test", "autoconfig.own.test", "xn--bcher-kva.test"]',
    ).replace("imap.", "mail.")
    by_file = TWO_DOMAINS.replace(
        "domains =", 'display_name = "Example"\ndomains_file = "customers"\ndomains ='
    )
    return toml(by_file + own)


@contextmanager
def nginx(folder: Path, exported: Path) -> Iterator[Callable[[str, str], Response]]:
    """Start nginx with what was exported; yield a function of host and path."""
    port = free_port()
    site = (
        f"include {exported}/nginx-map.conf;\n"
        f"server {{ listen 127.0.0.1:{port}; include {exported}/nginx-locations.conf;\n"
        'location / { return 200 "the site"; } }\n'
    )

    def send(host: str, path: str) -> Response:
        return fetch(f"http://127.0.0.1:{port}{path}", Host=host)

    with fronts.nginx(folder, site, port):
        command = (program("nginx"), "-t", "-p", folder, "-c", folder / "nginx.conf")
        tried = captured(*command)
        assert "[warn]" not in tried.stderr
        assert tried.returncode == 0
        yield send


@pytest.mark.world
def test_nginx_serves_many_domains_from_few_files(toml: Write, tmp_path: Path) -> None:
    many, out = listed(toml, tmp_path, CUSTOMERS), tmp_path / "out"
    run("--config", many, "export", out, "--nginx", code=0)
    service = Service(many)
    paths = list(static_paths(service.families))
    domains = ["example.com", "own.test", "autoconfig.own.test", "xn--bcher-kva.test"]
    domains += [LONG, *CUSTOMERS[::150]]
    with nginx(tmp_path, out) as send:
        for domain in domains:
            for label in LABELS if domain != LONG else [""]:
                for path in paths:
                    expected = service.answer(Request(path, host=label + domain))
                    assert expected is not None
                    response = send(label + domain, path)
                    assert (response.status, response.body) == (200, expected.body)
                    headers = dict(expected.headers)
                    for name in KEPT:
                        assert response.headers.get_all(name) == [headers[name]]
        for host in ("stranger.test", "autoconfig.stranger.test", "test"):
            assert send(host, paths[0]).status == 404
        assert send("example.com", "/").body == b"the site"


def test_each_document_is_one_file(toml: Write, tmp_path: Path) -> None:
    service = Service(listed(toml, tmp_path, CUSTOMERS[:50]))
    export(service, tmp_path / "out", for_nginx=True)
    found = files(tmp_path / "out")
    bodies = [body for name, body in found.items() if name.startswith("documents/")]
    assert len(bodies) == len(set(bodies))
    # For the first listed domain, for the other listed ones, for those that are not
    # listed, and for the one that is the id.
    assert sum(b"<clientConfig" in body for body in bodies) == 4
    assert sum(body.startswith(b"{") for body in bodies) == 4  # two for each provider
    # Each domain has a profile of its own, by its identifiers.
    assert len(bodies) == 4 + 4 + 2 + 50 + 1 + 3
    others = {name for name in found if not name.startswith("documents/")}
    assert others == {"nginx-map.conf", "nginx-locations.conf"}


def test_an_export_keeps_what_nginx_still_maps(toml: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out, for_nginx=True)
    before = files(out)
    export(Service(toml(EDITED)), out, for_nginx=True)
    after = files(out)
    assert all(after[n] == before[n] for n in before if n.startswith("documents/"))
    assert after["nginx-map.conf"] != before["nginx-map.conf"]
