"""Writing files in a folder that others may write to: no planted link misleads it."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from services import run
from support import TWO_DOMAINS, lacking

from flask_autoconfig.tools.files import check_replaceable, write_file

WRITE = (
    "import sys; from pathlib import Path; from flask_autoconfig.tools.files import *; "
    "write_file(Path(sys.argv[1]), b'new' * 10_000, replace=bool(sys.argv[2]))"
)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of the regular files of a folder, and b"" for others."""
    return {
        path.name: path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
        for path in folder.iterdir()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A shared folder, beside a file that must not change."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "mine").write_text("mine")
    return tmp_path / "shared"


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "a link to a file": lambda file, target: file.symlink_to(target),
    "a link to nowhere": lambda file, target: file.symlink_to(target.with_name("new")),
    "a link to a folder": lambda file, target: file.symlink_to(target.parent),
    "a pipe": lambda file, _: os.mkfifo(file),
    "a folder": lambda file, _: file.mkdir(),
}


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_link_pipe_or_folder_is_refused(
    folder: Path, plant: Callable[[Path, Path], None], replace: bool
) -> None:
    file, target = folder / "autoconfig.toml", folder.parent / "mine"
    plant(file, target)
    with pytest.raises(OSError, match=r"it is a link|no ordinary file|File exists"):
        write_file(file, b"new", replace=replace)
    with pytest.raises(OSError, match=r"it is a link|no ordinary file"):
        check_replaceable(file)
    assert target.read_text() == "mine"
    assert files_in(folder) == {"autoconfig.toml": b""}
    assert not (folder.parent / "new").exists()


def test_init_refuses_a_link_or_no_folder_before_any_request(folder: Path) -> None:
    file = folder / "autoconfig.toml"
    file.symlink_to(folder.parent / "mine")
    nobody = ("--resolver", "192.0.2.1")
    result = run("init", "example.com", "-o", file, "--force", *nobody, code=1)
    assert f"{file}: cannot write: it is a link; correct that, or name" in result.stderr
    file.unlink()
    file.symlink_to(folder.parent / "nowhere")
    result = run("init", "example.com", "-o", file, *nobody)
    assert "exists already" in result.stderr
    file = folder / "nowhere/mine.toml"
    result = run("init", "example.com", "-o", file, *nobody, code=1)
    assert f"{file.parent}: cannot write: No such file" in result.stderr


def test_links_beside_the_file_keep_what_they_lead_to(folder: Path) -> None:
    file, target = folder / "autoconfig.toml", folder.parent / "mine"
    (folder / ".autoconfig.toml.new").symlink_to(target)
    os.link(target, file)
    write_file(file, b"new", replace=True)
    assert target.read_text() == "mine"
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_replaced_file_keeps_its_mode(folder: Path, mode: int) -> None:
    file = folder / "autoconfig.toml"
    file.touch()
    file.chmod(mode)
    write_file(file, b"new", replace=True)
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("replace", [True, False])
def test_a_new_file_has_the_mode_of_the_umask(folder: Path, replace: bool) -> None:
    before = os.umask(0o027)
    try:
        write_file(folder / "new", b"new", replace=replace)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o640


@pytest.mark.world
def test_the_mode_of_another_users_file_is_not_kept(folder: Path) -> None:
    if os.geteuid() != 0:
        lacking("root, who may give a file to another user,")
    file = folder / "autoconfig.toml"
    file.touch()
    file.chmod(0o666)
    os.chown(file, 65534, 65534)
    write_file(file, b"new", replace=True)
    assert not file.stat().st_mode & 0o022
    assert file.stat().st_uid == 0


def small_files() -> None:
    """Limit the files of this process to 1 KiB, as a full disk would."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


@pytest.mark.parametrize("replace", [True, False])
def test_a_failed_write_leaves_the_old_file_alone(folder: Path, replace: bool) -> None:
    file = folder / "autoconfig.toml"
    if replace:
        file.write_bytes(b"old")
    result = subprocess.run(
        [sys.executable, "-B", "-c", WRITE, file, "1" * replace],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
    )
    assert "File too large" in result.stderr
    assert files_in(folder) == ({file.name: b"old"} if replace else {})


def test_failed_writes_of_records_leave_the_old_ones(file: Path, folder: Path) -> None:
    command = ("dns", "--target", "www.example.com", "--output", folder)
    assert run("--config", file, *command).returncode == 0
    before = files_in(folder)
    (folder / "example2.com.zone").unlink()
    os.mkfifo(folder / "example2.com.zone")
    file.write_text(TWO_DOMAINS.replace("imap.", "mail."))
    result = run("--config", file, *command, code=1)
    assert "example2.com.zone: cannot write: it is no ordinary file" in result.stderr
    assert files_in(folder) == {**before, "example2.com.zone": b""}
