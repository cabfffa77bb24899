"""Controls a real headless Thunderbird by its Marionette port."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import free_port, program, wait_for

if TYPE_CHECKING:  # the fast tests run without it
    from marionette_driver.marionette import Marionette

# With a proxy no name needs DNS: every http request goes to the service under test, which
# reads the absolute form of the request line as any HTTP/1.1 server must.
_PREFERENCES = """
user_pref("marionette.port", {marionette});
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", {service});
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("mailnews.auto_config_url", "http://127.0.0.1:9/");
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
"""

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
        found: dict[str, Any] = self._run("find", email)
        return found

    @contextmanager
    def reaching_only(self, isp_database: str) -> Iterator[None]:
        """For the block, let it reach nothing but this ISP database."""
        preferences = {
            "mailnews.auto_config_url": isp_database,
            "network.proxy.http_port": 9,
        }
        with self._client.using_prefs(preferences):
            yield

    def seen(self) -> list[str]:
        """Return the texts that the account hub shows."""
        texts: list[str] = self._run("seen", None)
        return texts

    def act(self, button: str, **typed: str) -> bool:
        """Type into fields and press a button; return False if one is missing."""
        found: bool = self._run("act", [typed, button])
        return found

    def read(self, texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the account that each document describes for its address."""
        read: list[dict[str, Any]] = self._run("read", [list(pair) for pair in texts])
        return read


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
    preferences = _PREFERENCES.format(marionette=port, service=service_port)
    preferences += f'user_pref("intl.locale.requested", "{language}");\n'
    (profile / "user.js").write_text(preferences)
    process = subprocess.Popen(
        [
            program("thunderbird"),
            "-headless",
            "-marionette",
            "-remote-allow-system-access",
            "-no-remote",
            "-profile",
            str(profile),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
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
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
