"""Writes files in folders where others may write too, as /tmp or a shared web root.

Every name is looked up in a folder that is held open, never by its whole path, so that
nobody can put a link in its place between a look and a write.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from ..files import refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file, or raise OSError and leave everything as it was.

    The folder must be there. With `replace` an ordinary file may have the name already;
    its mode is kept if it belongs to this user.
    """
    with _held(path.parent) as folder:
        if not replace:
            folder.write(path.name, data)
            return
        with folder.staging() as staging:
            staging.write("0", data)
            folder.take(staging, [PurePath(path.name)])


def check_replaceable(path: Path) -> None:
    """Raise OSError where `write_file` would replace no ordinary file."""
    with _held(path.parent) as folder:
        folder.mode_of(path.name)


class Folder:
    """A folder that is held open; each method raises OSError with the whole path."""

    def __init__(self, number: int, path: Path) -> None:
        self._number = number
        self.path = path  # for messages

    @contextmanager
    def below(self, parts: tuple[str, ...]) -> Iterator[Folder]:
        """The folder below by these names, made where it is missing."""
        if not parts:
            yield self
            return
        with self._entered(parts[0]) as folder, folder.below(parts[1:]) as last:
            yield last

    @contextmanager
    def _entered(self, name: str) -> Iterator[Folder]:
        path = self.path / name
        if name in ("", ".", "..") or "/" in name:
            raise refused("it is no name of a folder", path)
        try:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._number)
            number = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self._number)
        except NotADirectoryError as error:
            raise refused("a link or a file is in a folder's place", path) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        with _closing(number):
            yield Folder(number, path)

    @contextmanager
    def staging(self) -> Iterator[Folder]:
        """A folder in it that nobody else can enter, gone when the block ends.

        It is for files alone. Its name is random: nobody can take it beforehand.
        """
        name = f"{STAGING}{os.urandom(8).hex()}"
        try:
            os.mkdir(name, 0o700, dir_fd=self._number)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        try:
            with self._entered(name) as folder:
                try:
                    yield folder
                finally:
                    folder._clear()
        finally:
            with suppress(OSError):
                os.rmdir(name, dir_fd=self._number)

    def _clear(self) -> None:
        for name in os.listdir(self._number):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._number)

    def write(self, name: str, data: bytes) -> None:
        """Write a new file; there is none after an error."""
        path = str(self.path / name)
        try:
            number = os.open(name, _NEW, 0o666, dir_fd=self._number)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        try:
            with open(number, "wb") as file:
                file.write(data)
        except BaseException as error:
            os.unlink(name, dir_fd=self._number)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, path) from error
            raise

    def mode_of(self, name: str) -> int | None:
        """The mode of this user's file of that name, None for no such file.

        Raises OSError for what is no ordinary file: a link may have been put there to
        lead a write elsewhere.
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
        """Move the files of `staging`, named 0, 1, 2, …, to these paths below here.

        Whatever can be wrong with a path is found before the first file is moved.
        """
        for number, path in enumerate(paths):
            with self.below(path.parent.parts) as folder:
                mode = folder.mode_of(path.name)
            if mode is not None:
                os.chmod(str(number), mode, dir_fd=staging._number)
        os.sync()  # once for all: a crash must not leave empty files behind
        for number, path in enumerate(paths):
            with self.below(path.parent.parts) as folder:
                folder._replace(staging, str(number), path.name)

    def _replace(self, source: Folder, name: str, new_name: str) -> None:
        numbers = {"src_dir_fd": source._number, "dst_dir_fd": self._number}
        try:
            os.replace(name, new_name, **numbers)  # a link is replaced, not followed
        except OSError as error:
            path = str(self.path / new_name)
            raise OSError(error.errno, error.strerror, path) from error


STAGING = ".autoconfig-"  # what the name of a staging folder begins with


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """The folder that a person named, made where it is missing; it may be a link."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # something else has its name
        raise OSError(errno.ENOTDIR, error.strerror, str(path)) from error
    with _held(path) as folder:
        yield folder


@contextmanager
def _held(path: Path) -> Iterator[Folder]:
    number = os.open(path, _FOLDER)
    with _closing(number):
        yield Folder(number, path)


@contextmanager
def _closing(number: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(number)
