"""Writes files in folders where others may write, too, such as /tmp or a web root.

Nothing is written through a link that somebody has put there: a file is written to a
staging folder beside its place, then renamed, and a link in place of a folder is refused.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    os.scandir(path.parent).close()
    if path.is_symlink():
        raise refused("it is a link", path)
    if path.exists() and not path.is_file():
        raise refused("it is no ordinary file", path)


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
        if _STAGING in place:
            place = str(path)  # the user does not know the temporary file
        message = f"cannot write: {error.strerror}"
        cure = "correct that, or name another place"
        raise ConfigError.of(place, message, cure, "") from error


def _write(folder: Path, files: Iterable[tuple[Path, bytes]]) -> list[Path]:
    """Write files below the folder; all are written and checked before one is moved."""
    paths: list[Path] = []
    with TemporaryDirectory(prefix=_STAGING, dir=folder) as staging:
        for number, (path, data) in enumerate(files):
            Path(staging, str(number)).write_bytes(data)
            paths.append(path)
        for number, path in enumerate(paths):
            for parent in reversed(path.parents[:-1]):
                place = folder / parent
                if place.is_symlink() or (place.exists() and not place.is_dir()):
                    raise refused("a link or a file is in a folder's place", place)
                place.mkdir(exist_ok=True)
            check_replaceable(old := folder / path)
            if old.exists() and (status := old.stat()).st_uid == os.geteuid():
                Path(staging, str(number)).chmod(status.st_mode & 0o777)
        os.sync()  # once for all files: a crash must not leave empty ones
        for number, path in enumerate(paths):
            # A link is replaced, not followed.
            Path(staging, str(number)).replace(folder / path)
    return paths
