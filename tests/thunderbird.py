"""Controls a real headless Thunderbird by its Marionette port."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import end, free_port, wait_for
from support import configure, program

if TYPE_CHECKING:  # the fast tests run without it
    from marionette_driver.marionette import Marionette

_SCRIPTS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
_CALL = """
const [argument, done] = arguments;
{}(argument).then(done, error => done({{ error: String(error) }}));
"""


class Thunderbird:
    def __init__(self, client: Marionette) -> None:
        self._client = client

    def _run(self, function: str, argument: object) -> Any:
        script = _SCRIPTS + _CALL.format(function)
        with self._client.using_context("chrome"):
            return self._client.execute_async_script(
                script, script_args=[argument], script_timeout=120_000, sandbox=None
            )

    def find(self, email: str) -> dict[str, Any]:
        """Return the account that it finds for an address."""
        return dict(self._run("find", email) or {})

    @contextmanager
    def reaching_only(self, isp_database: str) -> Iterator[None]:
        """For the block, let it reach nothing but this ISP database."""
        only = {"mailnews.auto_config_url": isp_database, "network.proxy.http_port": 9}
        with self._client.using_prefs(only):
            yield

    def seen(self) -> list[str]:
        """Return the texts that the account hub shows."""
        return list(self._run("seen", None))

    def act(self, button: str, **typed: str) -> bool:
        """Type into fields and press a button; return False if one is missing."""
        return bool(self._run("act", [typed, button]))

    def read(self, texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the account that each document describes for its address."""
        return list(self._run("read", [list(pair) for pair in texts]))


@contextmanager
def thunderbird(
    profile: Path, *, service_port: int, language: str = "en-US"
) -> Iterator[Thunderbird]:
    """Start a Thunderbird with an empty profile, whose http requests reach the service."""
    with warnings.catch_warnings():
        # A package that it imports calls a deprecated function.
        warnings.simplefilter("ignore", DeprecationWarning)
        from marionette_driver.marionette import Marionette

    port = free_port()
    configure(profile, "user.js", port=port, service=service_port, language=language)
    options = ("-headless", "-marionette", "-remote-allow-system-access", "-no-remote")
    process = subprocess.Popen(
        [program("thunderbird"), *options, "-profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
        start_new_session=True,
    )
    try:
        wait_for(port, process, 60)
        client = Marionette(host="127.0.0.1", port=port)
        client.start_session()
        try:
            yield Thunderbird(client)
        finally:
            client.delete_session()
    finally:
        end(process)
