"""The wheel and the sdist, as a package index would have them, and applications from PyPI.

isso is a Werkzeug application, Radicale plain WSGI; bepasty is a Flask site, and locust one
with a server and a login of its own, whose context processor fails without a `user_loader`.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import docker.utils.build
import pytest
from client_requests import FILE, requests_of
from readme_renderer import markdown
from services import answered_alike, captured, fetch, free_port, running
from support import BIN, ROOT, tables

from flask_autoconfig import create_app

pytestmark = pytest.mark.install
BUILD = (sys.executable, "-m", "build", "--no-isolation")


def _run(*command: str | Path, cwd: Path) -> str:
    result = captured(*command, cwd=cwd, seconds=600, PYTHONPATH="", PYTHONWARNINGS="")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    _run(*BUILD, "-o", out, ROOT, cwd=out)
    return out


@pytest.fixture
def wheel(built: Path) -> Path:
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture
def sdist(built: Path) -> tarfile.TarFile:
    (file,) = built.glob("*.tar.gz")
    return tarfile.open(file)


def test_twine_and_check_wheel_contents_find_no_fault(built: Path, wheel: Path) -> None:
    files = sorted(built.iterdir())
    assert [file.name for file in files] == [
        "flask_autoconfig-1.1.0-py3-none-any.whl",
        "flask_autoconfig-1.1.0.tar.gz",
    ]
    output = _run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=built)
    assert output.count("PASSED") == 2
    output = _run(BIN / "check-wheel-contents", wheel, cwd=built)
    assert output == f"{wheel}: OK\n"


def test_a_package_index_shows_the_readme_without_dead_links(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(str(metadata.get_payload())) or ""
    assert "Set up your e-mail" not in page  # the words for the picture
    anchors = {f"#{name}" for name in re.findall(r'id="([^"]*)"', page)}
    for target in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert target in anchors or target.startswith(("https://", "http://127.0.0.1"))
    assert "<code>init</code> finds your servers" in page


def test_the_wheel_has_templates_catalogs_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        *("py.typed", "page/labels.toml", "page/static/style.css"),
        "page/templates/autoconfig/parts/steps.html",
        "page/locale/fr/LC_MESSAGES/autoconfig.mo",
        "tools/templates/nginx-map.conf",
    ):
        assert f"flask_autoconfig/{name}" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"flask_autoconfig", "flask_autoconfig-1.1.0.dist-info"}


def test_the_image_has_the_project_and_no_secret(wheel: Path, tmp_path: Path) -> None:
    """Without a container engine, Docker's library tells which files it would get."""
    source, context = tmp_path / "source", tmp_path / "context"
    ignored = shutil.ignore_patterns(".venv", "*.mo", "build", "dist")
    shutil.copytree(ROOT, source, ignore=ignored)
    private = [".env", ".git-credentials", ".venv/pyvenv.cfg", "autoconfig.toml"]
    private += [f"contrib/docker/autoconfig/{name}" for name in ("a.toml", "key")]
    for name in private:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("secret")
    rules = (source / ".dockerignore").read_text().splitlines()
    sent = docker.utils.build.tar(
        str(source), exclude=[rule for rule in rules if not rule.startswith("#")]
    )
    with sent, tarfile.open(fileobj=sent) as archive:
        archive.extractall(context, filter="data")
    hidden = {path.name for path in context.glob(".*")}
    assert hidden <= {".dockerignore"}
    assert not [path for path in context.rglob("*") if path.name == "__pycache__"]
    for name in private:
        assert not (context / name).exists(), name

    def tree() -> set[Path]:  # without the bytecode of Python itself
        return {path for path in context.rglob("*") if "__pycache__" not in path.parts}

    before = tree()
    _run(*BUILD, "--wheel", "-o", tmp_path / "out", context, cwd=tmp_path)
    assert tree() == before  # the build writes no file beside the sources
    (built,) = tmp_path.glob("out/*.whl")
    names, expected = (zipfile.ZipFile(file).namelist() for file in (built, wheel))
    assert sorted(names) == sorted(expected)


def test_the_sdist_has_the_tests_and_examples(sdist: tarfile.TarFile) -> None:
    with sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    expected = {"README.md", "LICENSE", "CHANGELOG.md", "tests/test_http.py", ".ci/run"}
    assert expected | {"examples/autoconfig.toml", "contrib/nginx.conf"} <= names
    assert not [name for name in names if "__pycache__" in name]


# --- In new environments ---------------------------------------------------------------

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def interpreter(version: str) -> Path:
    """Return a Python of a version, from PATH, pyenv or uv, or skip the test."""
    if sys.version.startswith(f"{version}."):
        return Path(sys.executable)
    home = Path.home()
    named = shutil.which(f"python{version}")
    found = [
        *([Path(named)] if named else []),
        *home.glob(f".pyenv/versions/{version}.*/bin/python{version}"),
        *home.glob(f".local/share/uv/python/cpython-{version}.*/bin/python{version}"),
    ]
    for python in found:
        if subprocess.run([python, "-c", "import venv"], check=False).returncode == 0:
            return python
    pytest.skip(f"no Python {version} is on this machine")


@pytest.fixture(scope="module", params=VERSIONS)
def bin_(
    request: pytest.FixtureRequest,
    built: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The `bin` of an environment with the wheel and its dependencies."""
    python = interpreter(request.param)
    venv = tmp_path_factory.mktemp("venv")
    _run(python, "-m", "venv", "--without-pip", venv, cwd=venv)
    (wheel,) = built.glob("*.whl")
    install(venv / "bin", wheel)
    return venv / "bin"


def install(bin_: Path, *what: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", bin_ / "python")
    _run(*pip, "install", "--quiet", *what, cwd=bin_)


def test_the_wheel_serves_in_an_empty_environment(bin_: Path, tmp_path: Path) -> None:
    assert "1.1.0" in _run(bin_ / "flask-autoconfig", "--version", cwd=tmp_path)
    code = "import flask_autoconfig; print(flask_autoconfig.__version__)"
    assert _run(bin_ / "python", "-W", "error", "-c", code, cwd=tmp_path) == "1.1.0\n"
    for command in ("validate", "show", "schema", "init", "dns", "check"):
        _run(bin_ / "flask-autoconfig", command, "--help", cwd=tmp_path)
    example = ROOT / "examples/autoconfig.toml"
    port = free_port()
    serve = (bin_ / "flask-autoconfig", "--config", example, "serve")
    with running(*serve, "--bind", f"127.0.0.1:{port}", port=port, at_once=True):
        url = f"http://127.0.0.1:{port}"
        query = "?emailaddress=fred@example.com"
        for path in ("/mail/config-v1.1.xml", "/mail/setup", "/mail/mobileconfig"):
            assert b"imap.example.com" in fetch(url + path + query).body
    records = _run(
        *(bin_ / "flask-autoconfig", "--config", example),
        *("dns", "example.com", "--target", "www.example.com"),
        cwd=tmp_path,
    )
    assert "_imaps._tcp IN SRV" in records


def test_the_sdists_tests_run_where_it_is_unpacked(
    sdist: tarfile.TarFile, bin_: Path, tmp_path: Path
) -> None:
    """Run a part of them against the wheel, as a distribution does."""
    with sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    shutil.rmtree(source / "flask_autoconfig")  # test the wheel
    install(bin_, "pytest", "hypothesis", "jsonschema", "trustme")
    tests = ("tests/test_model.py", "tests/test_address.py")
    output = _run(bin_ / "python", "-P", "-m", "pytest", "-q", *tests, cwd=source)
    assert " passed" in output
    assert "skipped" not in output


# --- Applications from PyPI, each in an environment of its own ------------------------


GUNICORN = "gunicorn --bind=127.0.0.1:{port} site_of_mine:application"
APPLICATIONS = tables("applications.toml")


# wsgiref's list of methods is that of HTTP without WebDAV.
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("name", APPLICATIONS)
def test_clients_are_answered_in_an_application_as_by_the_service_alone(
    name: str, wheel: Path, tmp_path: Path
) -> None:
    application = APPLICATIONS[name]
    (tmp_path / "site_of_mine.py").write_text(application["source"])
    (tmp_path / "settings").write_text(application.get("settings", ""))
    (tmp_path / "autoconfig.toml").write_bytes(FILE.read_bytes())
    bin_ = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", bin_.parent], check=True)
    subprocess.run([bin_ / "pip", "install", "-q", name, wheel], check=True)

    port = free_port()
    first, *words = application.get("server", GUNICORN).format(port=port).split()
    log, url = tmp_path / "log", f"http://127.0.0.1:{port}"
    with running(bin_ / first, *words, port=port, cwd=tmp_path, log=log, at_once=True):
        page = fetch(url + application["path"])
        assert page.status == 200
        assert application["words"] in page.body.decode()
        alone = create_app(FILE)
        for request in requests_of():
            answered_alike(alone, url, request)
