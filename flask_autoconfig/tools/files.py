"""Writes files in folders where others may write, too, such as /tmp or a web root.

Nothing is written through a link that somebody has put there: a file is written to a
staging folder beside its place, then renamed. Folders are opened name by name, so that
nobody can put a link in a folder's place between a check and a write.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ConfigError
from ..files import refused
from . import terminal

_STAGING = ".autoconfig-"  # the beginning of a staging folder's name


def write_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file, or raise OSError and change nothing.

    The folder must exist. With *replace* an ordinary file of that name is overwritten;
    its mode is kept if it belongs to this user.
    """
    if not replace and os.path.lexists(path):
        raise refused("File exists", path)
    _write(path.parent, [(Path(path.name), data)])


def check_replaceable(path: Path) -> None:
    """Raise OSError if the folder is missing, or if the path is no ordinary file."""
    with _opened(path.parent) as folder:
        _own_mode(folder, path)


def write_all(folder: Path, files: Iterable[tuple[Path, bytes]]) -> list[Path]:
    """Write files below the folder, all or none; return their paths.

    Raises ConfigError, also for a link in place of a folder or a file.
    """
    with errors_reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths = _write(folder, files)
    count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    terminal.echo(f"{count} written below {folder}", err=True)
    return paths


@contextmanager
def errors_reported(path: Path) -> Iterator[None]:
    """Raise ConfigError for an OSError of the block; the user named *path*."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or path)
        if _STAGING in place or place.isdecimal():
            place = str(path)  # the user does not know the temporary file
        message = f"cannot write: {error.strerror}"
        cure = "correct that, or name another place"
        raise ConfigError.of(place, message, cure, "") from error


@contextmanager
def _opened(path: Path | str, flags: int = 0) -> Iterator[int]:
    """Open a folder; yield its descriptor."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _below(descriptor: int, folder: Path, path: Path) -> Iterator[int]:
    """Open the folder of a path below an open folder; create what is missing of it."""
    with ExitStack() as stack:
        for name in path.parts[:-1]:
            folder /= name
            try:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                descriptor = os.open(name, flags, dir_fd=descriptor)
            except NotADirectoryError as error:
                reason = "a link or a file is in a folder's place"
                raise refused(reason, folder) from error
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(folder)) from error
            stack.callback(os.close, descriptor)
        yield descriptor


def write_new(folder: int, name: str, data: bytes) -> None:
    """Write a new file in an open folder."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(name, flags, 0o666, dir_fd=folder), "wb") as file:
        file.write(data)


def _own_mode(folder: int, path: Path) -> int | None:
    """Return the mode of a file in an open folder if it is this user's, or None.

    Raises OSError for anything but an ordinary file.
    """
    try:
        status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        is_link = stat.S_ISLNK(status.st_mode)
        raise refused("it is a link" if is_link else "it is no ordinary file", path)
    return status.st_mode & 0o777 if status.st_uid == os.geteuid() else None


def _write(folder: Path, files: Iterable[tuple[Path, bytes]]) -> list[Path]:
    """Write files below the folder; all are written and checked before one is moved."""
    paths: list[Path] = []
    with (
        _opened(folder) as root,
        TemporaryDirectory(prefix=_STAGING, dir=folder) as staging,
        _opened(staging, os.O_NOFOLLOW) as source,
    ):
        for number, (path, data) in enumerate(files):
            write_new(source, str(number), data)
            paths.append(path)
        for number, path in enumerate(paths):
            with _below(root, folder, path) as target:
                mode = _own_mode(target, folder / path)
            if mode is not None:
                os.chmod(str(number), mode, dir_fd=source)
        os.sync()  # once for all files: a crash must not leave empty ones
        for number, path in enumerate(paths):
            with _below(root, folder, path) as target:
                # A link is replaced, not followed.
                os.replace(str(number), path.name, src_dir_fd=source, dst_dir_fd=target)
    return paths
