"""`export --nginx`, with the real nginx: each document once, and a map to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import TWO_DOMAINS, Reply, fetch, free_port, program, run, running

from flask_autoconfig import ConfigError
from flask_autoconfig.answers import Request
from flask_autoconfig.families import static_paths
from flask_autoconfig.service import Service
from flask_autoconfig.tools.export import export
from flask_autoconfig.tools.files import Folder

Write = Callable[..., Path]
LABELS = ("autoconfig.", "ua-auto-config.", "")
LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 50, "test"])
CUSTOMERS = [f"customer-{number:04}.test" for number in range(3000)]


def listed(toml: Write, folder: Path, customers: list[str]) -> Path:
    """A file in *folder*: domains with one document for all, others with one each."""
    (folder / "customers").write_text("\n".join([*customers, LONG]))
    own = TWO_DOMAINS.replace(
        'domains = ["example.com", "example2.com"]',
        'id = "own.test"\nlist_domains = false\n'
        'domains = ["own.test", "autoconfig.own.test", "xn--bcher-kva.test"]',
    ).replace("imap.", "mail.")
    by_file = TWO_DOMAINS.replace("domains =", 'domains_file = "customers"\ndomains =')
    return toml(by_file + own)


@contextmanager
def nginx(folder: Path, exported: Path) -> Iterator[Callable[[str, str], Reply]]:
    """nginx with what was exported; gives how to ask a host for a path."""
    port = free_port()
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""  # who may enter the test's folder
    config = folder / "nginx.conf"
    config.write_text(
        f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}"
        f"include {exported}/nginx-map.conf;\n"
        f"server {{ listen 127.0.0.1:{port}; include {exported}/nginx-locations.conf;\n"
        'location / { return 200 "the site"; } }\n}\n'
    )
    command = (program("nginx"), "-p", folder, "-c", config)
    said = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr

    def ask(host: str, path: str) -> Reply:
        return fetch(f"http://127.0.0.1:{port}{path}", Host=host)

    with running(*command, port=port):
        yield ask


def files(folder: Path) -> dict[str, bytes]:
    found = (it for it in folder.rglob("*") if it.is_file())
    return {str(it.relative_to(folder)): it.read_bytes() for it in found}


@pytest.mark.world
def test_nginx_serves_thousands_of_domains_from_a_few_files(
    toml: Write, tmp_path: Path
) -> None:
    many, out = listed(toml, tmp_path, CUSTOMERS), tmp_path / "out"
    done = run("--config", many, "export", out, "--nginx")
    assert done.returncode == 0, done.stderr
    service = Service(many)
    paths = list(static_paths(service.families))
    domains = ["example.com", "own.test", "autoconfig.own.test", "xn--bcher-kva.test"]
    domains += [LONG, *CUSTOMERS[::150]]
    kept = {"Cache-Control", "Access-Control-Allow-Origin", "X-Content-Type-Options"}
    with nginx(tmp_path, out) as ask:
        for domain in domains:
            for label in LABELS if domain != LONG else [""]:
                for path in paths:
                    expected = service.answer(Request(path, host=label + domain))
                    assert expected is not None
                    reply = ask(label + domain, path)
                    assert (reply.status, reply.body) == (200, expected.body)
                    said = dict(expected.headers)
                    assert reply.headers["Content-Type"] == said["Content-Type"]
                    for name in kept:
                        assert reply.headers.get_all(name) == [said[name]]
        for host in ("stranger.test", "autoconfig.stranger.test", "test"):
            assert ask(host, paths[0]).status == 404
        assert ask("example.com", "/").body == b"the site"


def test_each_document_is_one_file(toml: Write, tmp_path: Path) -> None:
    service = Service(listed(toml, tmp_path, CUSTOMERS[:50]))
    export(service, tmp_path / "out", for_nginx=True)
    found = files(tmp_path / "out")
    bodies = [body for name, body in found.items() if name.startswith("documents/")]
    assert len(bodies) == len(set(bodies))
    # For all that are listed, for those that are not, and for the one that is the id.
    assert sum(b"<clientConfig" in it for it in bodies) == 3
    assert sum(it.startswith(b"{") for it in bodies) == 2  # one a provider
    # Each domain has a profile of its own, by its identifiers.
    assert len(bodies) == 3 + 2 + 2 + 50 + 1 + 3
    assert set(found) - {f for f in found if f.startswith("documents/")} == {
        "nginx-map.conf",
        "nginx-locations.conf",
    }


def test_a_new_map_tells_of_documents_that_it_has_no_more(
    toml: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(Service(toml(TWO_DOMAINS)), out, for_nginx=True).notes == []
    before = files(out)
    edited = Service(toml(TWO_DOMAINS.replace("imap.", "mail.")))
    (note,) = export(edited, out, for_nginx=True).notes
    documents = [name for name in before if name.startswith("documents/")]
    assert note.startswith(f"{len(documents)} older documents in {out}/documents, ")
    after = files(out)
    assert all(
        after[name] == before[name] for name in documents
    )  # nginx reads them yet
    assert after["nginx-map.conf"] != before["nginx-map.conf"]


def test_a_map_that_cannot_be_written_leaves_the_old_one_whole(
    toml: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out, for_nginx=True)
    before = files(out)
    write = Folder.write

    def full_disk(self: Folder, name: str, data: bytes) -> None:
        if b"map $host" in data:
            raise OSError(28, "No space left on device", name)
        write(self, name, data)

    monkeypatch.setattr(Folder, "write", full_disk)
    edited = Service(toml(TWO_DOMAINS.replace("imap.", "mail.")))
    with pytest.raises(ConfigError, match="No space left on device"):
        export(edited, out, for_nginx=True)
    assert files(out) == before


@pytest.mark.parametrize("place", ["documents", "nginx-map.conf"])
def test_no_link_leads_the_documents_or_the_map_elsewhere(
    toml: Write, tmp_path: Path, place: str
) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "mine").write_text("mine")
    is_folder = place == "documents"
    (out / place).symlink_to(outside if is_folder else outside / "mine")
    done = run("--config", toml(TWO_DOMAINS), "export", out, "--nginx")
    assert files(outside) == {"mine": b"mine"}
    assert done.returncode == 1
    assert f"{out / place}: cannot write: " in done.stderr
    assert not any(it.is_file() and not it.is_symlink() for it in out.rglob("*"))


def test_of_many_copies_export_says_how_to_have_fewer(
    toml: Write, tmp_path: Path
) -> None:
    service = Service(listed(toml, tmp_path, CUSTOMERS[:900]))
    (note,) = export(service, tmp_path / "out").notes
    assert "--nginx" in note
