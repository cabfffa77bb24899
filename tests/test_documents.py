"""The README files: every block of code runs, every link has a target."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from bind import bind
from browsing import Open, browser, visit
from documents import DOCUMENTS, block_with, blocks, cloned, section, text_of
from PIL import Image
from services import captured, fetch, free_port, run, running, typed
from support import BIN, ROOT, TWO_DOMAINS, Patch, loads, program, replaced, table
from werkzeug.test import Client
from world import ADDRESSES, DOMAIN, ELSEWHERE, OTHER_NAMES, PASSWORD, WEB, Real

from flask_autoconfig.tools.cli import cli

__all__ = ["browser", "visit"]  # fixtures
PICTURES = ROOT / "contrib/pictures"
EXAMPLE = ROOT / "examples/autoconfig.toml"
SERVED = "127.0.0.1:8000"

RUN_BY = table("run_by", "tables.toml")

# --- Blocks ----------------------------------------------------------------------------


def test_every_block_of_shell_is_run() -> None:
    languages = {block.language for block in blocks()}
    assert languages == {"sh", "toml", "python", "html", "text"}
    steps = section("README.md", "Publish it")
    for block in blocks("sh"):
        if block.document == "README.md" and block.code.splitlines()[0] in steps:
            continue  # test_publish.py follows them
        (test,) = [test for part, test in RUN_BY.items() if part in block.code]
        file, _, name = test.partition("::")
        path = ROOT / (file if file == ".ci/run" else f"tests/{file}")
        assert f"def {name}" in path.read_text() or not name
    code = "".join(block.code for block in blocks("sh"))
    assert [part for part in RUN_BY if part not in code] == []
    for block in blocks("sh", "README.md"):  # longer lines are cut on some pages
        assert max(map(len, block.code.splitlines())) <= 80


def test_every_block_of_toml_is_a_configuration() -> None:
    for _, _, code in blocks("toml"):
        assert tomllib.loads(code) == {} or loads(code)


def test_every_block_of_python_runs(there: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(there)
    monkeypatch.syspath_prepend(ROOT / "tests")  # Django's settings
    for number, block in enumerate(blocks("python")):
        file = there / f"block_{number}.py"
        file.write_text(block.code)
        runpy.run_path(str(file))


def test_the_first_site_of_the_readme_serves_the_file_below_it(tmp_path: Path) -> None:
    (site, *_), (file, *_) = blocks("python", "README.md"), blocks("toml", "README.md")
    (tmp_path / "site_of_mine.py").write_text(site.code)
    (tmp_path / "autoconfig.toml").write_text(file.code)
    app = runpy.run_path(str(tmp_path / "site_of_mine.py"))["app"]
    url = "/mail/setup?emailaddress=fred@example.net"
    assert "imap.example.com" in Client(app).get(url).text


# --- Shell -----------------------------------------------------------------------------


def bash(code: str, cwd: Path, **env: str) -> str:
    """Run code with the package's command in PATH; return the output. It must succeed."""
    words = (program("bash"), "-euo", "pipefail", "-c", code)
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", **env}
    result = captured(*words, cwd=cwd, seconds=200, **env)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@contextmanager
def started(code: str, cwd: Path, port: int, **more: Any) -> Iterator[str]:
    """Run a server as a shell does; yield its URL."""
    code = code.rstrip()
    with running(program("bash"), "-c", code, port=port, cwd=cwd, **more):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return cloned(tmp_path / "clone")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with the example's file."""
    shutil.copy(EXAMPLE, tmp_path)
    return tmp_path


@pytest.mark.install
def test_the_quick_start_ends_in_a_browser(clone: Path, visit: Open) -> None:
    port = free_port()
    code = block_with("examples/autoconfig.toml serve", "README.md").rstrip()
    assert code.endswith(" serve")
    (url,) = re.findall(rf"<(http://{SERVED}[^>]+)>", text_of("README.md"))
    with started(f"{code} --bind 127.0.0.1:{port}", clone, port, seconds=200):
        page = visit(url.replace(SERVED, f"127.0.0.1:{port}"), "ios", width=390)
        assert "fred@example.com" in page.inner_text("body")


def of_examples(text: str) -> str:
    """Replace the domain of the tests' servers by that of the examples."""
    return text.replace(DOMAIN, "example.com")


@pytest.mark.world
def test_init_check_and_a_real_login_succeed(real_world: Real, tmp_path: Path) -> None:
    def succeeds(line: str, *more: str, **options: Any) -> str:
        words = [*shlex.split(line)[1:], "--resolver", OTHER_NAMES, "--allow-private"]
        result = real_world.run(*words, *more, cwd=tmp_path, **options)
        # Only an unknown code ends with 2.
        assert result.returncode <= int("--list" in code), result.stdout + result.stderr
        return str(result.stdout)

    real_world.names.serve(of_examples(ADDRESSES))
    code = block_with("init example.com", "README.md")
    *_, output = [succeeds(line) for line in code.splitlines()]
    assert "the servers of the file work" in output
    file = tmp_path / "autoconfig.toml"
    assert "imap.example.com" in file.read_text()
    records = run("dns", "--target", "www.example.com", cwd=tmp_path).stdout
    hosts = of_examples(ADDRESSES).replace(f"IN A {WEB}", f"IN A {ELSEWHERE}")
    real_world.names.serve(hosts + records)
    real_world.web(ELSEWHERE, real_world.web_certificate, file)
    code = block_with("check fred@example.com --login")
    with typed(PASSWORD) as fd:
        succeeds(code, "--password-fd", str(fd), pass_fds=(fd,))
    code = block_with("check --list")
    for line in code.splitlines():
        succeeds(line)


@pytest.mark.install
@pytest.mark.parametrize("installer", ["pip wheel", "pip", "pipx", "uv"])
def test_each_installer_works(clone: Path, tmp_path: Path, installer: str) -> None:
    code = block_with("pip wheel ", "README.md")
    if installer != "pip wheel":
        lines = block_with("pipx install .", "README.md").splitlines()
        (code,) = [line for line in lines if line.split()[0] == installer]
    home = tmp_path / "home"
    venv = home / ".local"  # pipx and uv install their commands here
    bash(f"python3 -m venv {venv}", tmp_path)
    env = {"HOME": str(home), "UV_SYSTEM_CERTS": "1", "PIPX_HOME": f"{home}/pipx"}
    bash(code, clone, **env, PATH=f"{venv}/bin:{BIN}:{os.environ['PATH']}")
    output = captured(venv / "bin/flask-autoconfig", "--version").stdout
    assert "flask-autoconfig" in output


@pytest.mark.world
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    code = block_with("_COMPLETE=", "README.md")
    complete = (
        "COMP_WORDS=(flask-autoconfig {}) COMP_CWORD={}\n"
        "$(complete -p flask-autoconfig | sed -E 's/.*-F (\\S+).*/\\1/') flask-autoconfig\n"
        'echo "${{COMPREPLY[@]}}"\n'
    )
    assert bash(code + complete.format("va", 1), tmp_path).split() == ["validate"]
    assert "--target" in bash(code + complete.format("dns --ta", 2), tmp_path).split()
    # zsh and fish need not be installed to see their scripts.
    script = "_FLASK_AUTOCONFIG_COMPLETE={}_source flask-autoconfig"
    assert "compdef" in bash(script.format("zsh"), tmp_path)
    assert "complete --no-files" in bash(script.format("fish"), tmp_path)


@pytest.mark.world
def test_the_service_alone_and_the_users_own_gunicorn_answer(there: Path) -> None:
    port = free_port()
    where = (SERVED, f"127.0.0.1:{port}")
    serve = f"exec {BIN}/{block_with('serve --bind ', 'contrib/README.md')}"
    with started(replaced(serve, where), there, port, at_once=True):
        curl = block_with("curl ", "contrib/README.md")
        answer = bash(replaced(curl, where), there)
    assert "<hostname>imap.example.com</hostname>" in answer
    gunicorn = replaced(
        block_with("gunicorn ", "contrib/README.md"),
        (" gunicorn ", f" {BIN}/gunicorn "),
    )
    port = free_port()
    env = {"GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}"}
    with started(gunicorn, there, port, env=env, at_once=True) as url:
        assert fetch(f"{url}/healthz").body == b"ok\n"


@pytest.mark.world
def test_nsupdate_accepts_the_output_of_dns(tmp_path: Path) -> None:
    text = TWO_DOMAINS.replace(', "example2.com"', "")
    (tmp_path / "autoconfig.toml").write_text(text)
    with bind("example.com") as names:
        server = f"{{ echo server 127.0.0.1 {names.port}; cat; }}"
        code = replaced(
            block_with("| nsupdate", "contrib/README.md"),
            ("nsupdate -k key", f"{server} | nsupdate -k {names.key}"),
        )
        bash(code, tmp_path)
        assert names.dig("autoconfig.example.com", "CNAME") == ["www.example.com."]


@pytest.mark.world
def test_export_import_and_schema_write_what_the_text_says(there: Path) -> None:
    code = block_with("export /srv", "contrib/README.md")
    bash(replaced(code, ("/srv/autoconfig", "out")), there)
    text = section("contrib/README.md", "As files")
    for path in re.findall(r"`DOMAIN/(\S+)`", text):
        assert (there / "out/example.com" / path).is_file(), path
    output = run("show", "example.com", cwd=there).stdout
    (there / "old").mkdir()
    (there / "old/example.com.xml").write_text(output)
    (there / "autoconfig.toml").unlink()
    bash(block_with("import old/", "contrib/README.md"), there)
    assert run("show", "example.com", cwd=there).stdout == output
    bash(block_with("schema >", "contrib/README.md"), there)
    (line,) = [code for _, _, code in blocks("toml") if code.startswith("#:schema")]
    assert (there / line.split()[1]).is_file()


# --- Text ------------------------------------------------------------------------------


def _anchors(document: str) -> set[str]:
    """Return the anchors of the headings as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_tests_and_host_names_are_right(document: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(str(target.resolve().relative_to(ROOT))), link
    for name in re.findall(r"`(test_\w+\.py)`", text_of(document)):
        assert (ROOT / "tests" / name).exists(), name
    # Only names that nobody can register (RFC 2606).
    code = "".join(block.code for block in blocks(None, document))
    for host in re.findall(r"[\w.-]+\.(?:com|net|org|example|test)\b", code):
        assert host.endswith(("example.com", "example.net", ".test")), host


def test_the_readme_is_short_and_links_to_its_picture_and_every_document() -> None:
    readme = text_of("README.md")
    assert "](contrib/pictures/first.png)" in readme.partition("\n## ")[0]
    assert "![](" not in readme  # a picture has an alternative text
    assert len(readme.partition("\n## How it is built")[0].split()) < 1100
    for document in DOCUMENTS[1:]:
        assert f"]({document})" in readme


def test_every_example_is_in_the_list_of_examples() -> None:
    listed = set(re.findall(r"\]\(([\w-]+(?:\.\w+)?)\)", text_of("examples/README.md")))
    names = {file.name for file in (ROOT / "examples").iterdir()}
    there = {name for name in names if name[0].isalpha()}
    assert there - listed <= {"README.md", "logo.svg"}


def test_every_command_and_option_is_documented() -> None:
    text = section("contrib/README.md", "Commands")
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        (row,) = re.findall(rf"^\| `{name}(?:[ `].*)$", text, re.MULTILINE)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in row, (name, parameter.opts)


@pytest.mark.world
def test_the_script_makes_the_readmes_picture_by_real_programs(tmp_path: Path) -> None:
    for name in ("chromium", "dovecot", "postfix", "named"):
        program(name)
    drawn = tmp_path / "first.png"
    subprocess.run([BIN / "python", PICTURES / "first.py", drawn], check=True)
    with Image.open(drawn) as picture, Image.open(PICTURES / "first.png") as current:
        assert picture.size == current.size
    for file in (drawn, PICTURES / "first.png"):
        assert file.stat().st_size < 150_000
