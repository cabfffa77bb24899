"""Writes files in folders where others may write too, as /tmp or a shared web root.

Every name is looked up in an open folder, never by its whole path, so that nobody can
put a link in its place between a check and a write.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath

from ..errors import ConfigError
from ..files import refused
from . import terminal

_STAGING = ".autoconfig-"  # how the name of a staging folder begins
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file, or raise OSError and leave everything as it was.

    The folder must exist. With *replace* there may be an ordinary file of that name; its
    mode is kept if it belongs to this user.
    """
    with opened(path.parent) as folder:
        if not replace:
            folder.write(path.name, data)
            return
        with folder.staging() as staging:
            staging.write("0", data)
            folder.take(staging, [PurePath(path.name)])


def check_replaceable(path: Path) -> None:
    """Raise OSError where the folder is missing, or anything but a file is there."""
    with opened(path.parent) as folder:
        folder.mode_of(path.name)


def write_all(folder: Path, files: Iterable[tuple[Path, bytes]]) -> list[Path]:
    """Write files below the folder, all or none; return their paths.

    They are written to a staging folder first, so that a failure leaves the old ones as
    they were. Nothing outside the folder is touched: a link in place of a folder or a
    file is refused. Raises ConfigError.
    """
    paths: list[Path] = []
    with reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with opened(folder) as root, root.staging() as staging:
            for number, (path, data) in enumerate(files):
                staging.write(str(number), data)
                paths.append(path)
            root.take(staging, paths)
    count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    terminal.echo(f"{count} written below {folder}", err=True)
    return paths


@contextmanager
def reported(named: Path) -> Iterator[None]:
    """Raise ConfigError for an OSError of the block; the user named *named*."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or named)
        if _STAGING in where:
            where = str(named)  # the user does not know the temporary file
        message = f"cannot write: {error.strerror}"
        cure = "correct that, or name another place"
        raise ConfigError.of(where, message, cure, "") from error


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    number = os.open(path, _FOLDER)
    try:
        yield Folder(number, path)
    finally:
        os.close(number)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError name the whole *path*: the system knows only its last part."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


class Folder:
    """An open folder; each method raises OSError with the whole path."""

    def __init__(self, number: int, path: Path) -> None:
        self._number, self.path = number, path

    @contextmanager
    def below(self, *names: str) -> Iterator[Folder]:
        """Open the folder below by these names; create it where it is missing."""
        with ExitStack() as stack:
            folder = self
            for name in names:
                path, inside = folder.path / name, folder._number
                if name in ("", ".", "..") or "/" in name:
                    raise refused("it is not the name of a folder", path)
                try:
                    with _naming(path):
                        with suppress(FileExistsError):
                            os.mkdir(name, dir_fd=inside)
                        number = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=inside)
                except NotADirectoryError as error:
                    reason = "a link or a file is in a folder's place"
                    raise refused(reason, path) from error
                stack.callback(os.close, number)
                folder = Folder(number, path)
            yield folder

    @contextmanager
    def staging(self) -> Iterator[Folder]:
        """Create a folder for files, closed to others, that is gone after the block.

        Its name is random, so that nobody can take it beforehand.
        """
        name = f"{_STAGING}{os.urandom(8).hex()}"
        with _naming(self.path):
            os.mkdir(name, 0o700, dir_fd=self._number)
        with self.below(name) as folder:
            try:
                yield folder
            finally:
                shutil.rmtree(name, ignore_errors=True, dir_fd=self._number)

    def write(self, name: str, data: bytes) -> None:
        """Write a new file; after an error there is none."""
        with _naming(self.path / name):
            number = os.open(name, _NEW, 0o666, dir_fd=self._number)
            try:
                with open(number, "wb") as file:
                    file.write(data)
            except BaseException:
                os.unlink(name, dir_fd=self._number)
                raise

    def mode_of(self, name: str) -> int | None:
        """Return the mode of this user's file of that name, None for no such file.

        Raises OSError for anything but an ordinary file: somebody may have put a link
        there to lead a write elsewhere.
        """
        try:
            found = os.stat(name, dir_fd=self._number, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):
            raise refused("it is a link", self.path / name)
        if not stat.S_ISREG(found.st_mode):
            raise refused("it is no ordinary file", self.path / name)
        is_own = found.st_uid == os.geteuid()
        return stat.S_IMODE(found.st_mode) & 0o777 if is_own else None

    def take(self, staging: Folder, paths: Sequence[PurePath]) -> None:
        """Move the files of *staging*, named 0, 1, 2, …, to these paths below here.

        All paths are checked before the first file is moved.
        """
        for number, path in enumerate(paths):
            with self.below(*path.parent.parts) as folder:
                mode = folder.mode_of(path.name)
            if mode is not None:
                os.chmod(str(number), mode, dir_fd=staging._number)
        os.sync()  # once for all: a crash must not leave empty files behind
        for number, path in enumerate(paths):
            with self.below(*path.parent.parts) as folder, _naming(self.path / path):
                folders = {"src_dir_fd": staging._number, "dst_dir_fd": folder._number}
                # A link is replaced, not followed.
                os.replace(str(number), path.name, **folders)
