"""Writing below one folder that others may write in too: no link leads out of it.

Every name is looked up in a folder that is held open, never by its whole path, so that
nobody can put a link in its place between a look and a write.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import Problem

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
            raise OSError(None, "it is no name of a folder", str(path))
        try:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._number)
            number = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=self._number)
        except NotADirectoryError as error:
            reason = "a link or a file is in a folder's place"
            raise OSError(None, reason, str(path)) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        with _closing(number):
            yield Folder(number, path)

    @contextmanager
    def staging(self) -> Iterator[Folder]:
        """A folder in it that nobody else can read, gone when the block ends."""
        name = f".autoconfig-{secrets.token_hex(8)}"
        os.mkdir(name, 0o700, dir_fd=self._number)
        try:
            with self._entered(name) as folder:
                yield folder
        finally:
            shutil.rmtree(name, ignore_errors=True, dir_fd=self._number)

    def write(self, name: str, data: bytes) -> None:
        """Write a new file."""
        number = os.open(name, _NEW, 0o666, dir_fd=self._number)
        with open(number, "wb") as file:
            file.write(data)

    def take(self, source: Folder, name: str, new_name: str) -> None:
        """Move a file here over what has the name; a link is replaced, not followed."""
        numbers = {"src_dir_fd": source._number, "dst_dir_fd": self._number}
        try:
            os.replace(name, new_name, **numbers)
        except OSError as error:
            path = str(self.path / new_name)
            raise OSError(error.errno, error.strerror, path) from error


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """The folder that a person named, made where it is missing; it may be a link."""
    path.mkdir(parents=True, exist_ok=True)
    number = os.open(path, _FOLDER)
    with _closing(number):
        yield Folder(number, path)


def trouble(error: OSError, directory: Path) -> Problem:
    """What keeps a command from writing below a directory, with its place and a cure."""
    where = Path(error.filename or directory)
    if ".autoconfig-" in str(where):
        where = directory  # it was a file of our own, which is gone
    cure = _CURES.get(error.errno, "name another folder")
    return Problem(str(where), f"cannot write: {error.strerror}", cure)


_CURES = {
    None: "remove it, or name another folder",  # what stands where a folder should
    errno.EEXIST: "it is no folder: name another",
    errno.ENOTDIR: "it is no folder: name another",
    errno.EISDIR: "remove that folder, or name another",
    errno.EACCES: "name a folder that you may write in, or permit it",
    errno.EPERM: "name a folder that you may write in, or permit it",
    errno.EROFS: "name a folder that can be written in",
    errno.ENOSPC: "make room there, or name another folder",
    errno.EDQUOT: "make room there, or name another folder",
}


@contextmanager
def _closing(number: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(number)
