"""Writes files in folders where others may write, too, such as /tmp or a web root.

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

_STAGING = ".autoconfig-"  # the beginning of a staging folder's name
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file, or raise OSError and change nothing.

    The folder must exist. With *replace* an ordinary file of that name is overwritten;
    its mode is kept if it belongs to this user.
    """
    with open_folder(path.parent) as folder:
        if not replace:
            folder.write(path.name, data)
            return
        with folder.staging() as staging:
            staging.write("0", data)
            folder.move_from(staging, [PurePath(path.name)])


def check_replaceable(path: Path) -> None:
    """Raise OSError if the folder is missing, or if the path is no ordinary file."""
    with open_folder(path.parent) as folder:
        folder.mode_of(path.name)


def write_all(folder: Path, files: Iterable[tuple[Path, bytes]]) -> list[Path]:
    """Write files below the folder, all or none; return their paths.

    They are written to a staging folder first, so that a failure leaves the old ones
    unchanged. Nothing is written outside the folder: a link in place of a folder or a
    file is refused. Raises ConfigError.
    """
    paths: list[Path] = []
    with errors_reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with open_folder(folder) as root, root.staging() as staging:
            for number, (path, data) in enumerate(files):
                staging.write(str(number), data)
                paths.append(path)
            root.move_from(staging, paths)
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


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    descriptor = os.open(path, _FOLDER)
    try:
        yield Folder(descriptor, path)
    finally:
        os.close(descriptor)


@contextmanager
def _full_path(path: Path) -> Iterator[None]:
    """Let an OSError have the whole *path*: the system knows only its last part."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


class Folder:
    """An open folder; each method raises OSError with the whole path."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._fd, self.path = descriptor, path

    @contextmanager
    def below(self, *names: str) -> Iterator[Folder]:
        """Open the folder at a path of these names; create what is missing of it."""
        with ExitStack() as stack:
            folder = self
            for name in names:
                path, parent = folder.path / name, folder._fd
                if name in ("", ".", "..") or "/" in name:
                    raise refused("it is not the name of a folder", path)
                try:
                    with _full_path(path):
                        with suppress(FileExistsError):
                            os.mkdir(name, dir_fd=parent)
                        child = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
                except NotADirectoryError as error:
                    reason = "a link or a file is in a folder's place"
                    raise refused(reason, path) from error
                stack.callback(os.close, child)
                folder = Folder(child, path)
            yield folder

    @contextmanager
    def staging(self) -> Iterator[Folder]:
        """Create a folder for files, closed to others, and remove it after the block.

        Its name is random, so that nobody can take it beforehand.
        """
        name = f"{_STAGING}{os.urandom(8).hex()}"
        with _full_path(self.path):
            os.mkdir(name, 0o700, dir_fd=self._fd)
        with self.below(name) as folder:
            try:
                yield folder
            finally:
                shutil.rmtree(name, ignore_errors=True, dir_fd=self._fd)

    def write(self, name: str, data: bytes) -> None:
        """Write a new file; remove it after an error."""
        with _full_path(self.path / name):
            descriptor = os.open(name, _NEW, 0o666, dir_fd=self._fd)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
            except BaseException:
                os.unlink(name, dir_fd=self._fd)
                raise

    def mode_of(self, name: str) -> int | None:
        """Return the mode of a file if it belongs to this user, None for no such file.

        Raises OSError for anything but an ordinary file: somebody may have put a link
        there to redirect a write.
        """
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(status.st_mode):
            raise refused("it is a link", self.path / name)
        if not stat.S_ISREG(status.st_mode):
            raise refused("it is no ordinary file", self.path / name)
        is_own = status.st_uid == os.geteuid()
        return stat.S_IMODE(status.st_mode) & 0o777 if is_own else None

    def move_from(self, staging: Folder, paths: Sequence[PurePath]) -> None:
        """Move the files 0, 1, 2, … of *staging* to these paths below this folder.

        All paths are checked before the first file is moved.
        """
        for number, path in enumerate(paths):
            with self.below(*path.parent.parts) as folder:
                mode = folder.mode_of(path.name)
            if mode is not None:
                os.chmod(str(number), mode, dir_fd=staging._fd)
        os.sync()  # once for all files: a crash must not leave empty ones
        for number, path in enumerate(paths):
            with self.below(*path.parent.parts) as folder, _full_path(self.path / path):
                folders = {"src_dir_fd": staging._fd, "dst_dir_fd": folder._fd}
                # A link is replaced, not followed.
                os.replace(str(number), path.name, **folders)
