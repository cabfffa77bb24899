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

_FIND = """
const [email, done] = arguments;
(async () => {
  const { FindConfig } = ChromeUtils.importESModule(
    "resource:///modules/accountcreation/FindConfig.sys.mjs");
  const found = FindConfig.parallelAutoDiscovery(
    email.split("@")[1], email, new AbortController().signal);
  const { value } = await found.next();
  if (!value) return null;
  const { AccountConfig } = ChromeUtils.importESModule(
    "resource:///modules/accountcreation/AccountConfig.sys.mjs");
  AccountConfig.replaceVariables(value, "Fred", email, "");
  return JSON.parse(JSON.stringify(value));
})().then(done, error => done({ error: String(error) }));
"""

_READ = """
const [texts, done] = arguments;
const { JXON } = ChromeUtils.importESModule("resource:///modules/JXON.sys.mjs");
const { readFromXML } = ChromeUtils.importESModule(
  "resource:///modules/accountcreation/readFromXML.sys.mjs");
const { AccountConfig } = ChromeUtils.importESModule(
  "resource:///modules/accountcreation/AccountConfig.sys.mjs");
done(texts.map(([text, email]) => {
  try {
    const document = new DOMParser().parseFromString(text, "text/xml");
    const config = readFromXML(JXON.build(document), "test");
    AccountConfig.replaceVariables(config, "Fred", email, "");
    return JSON.parse(JSON.stringify(config));
  } catch (error) {
    return { error: String(error) };
  }
}));
"""


# Finds the visible elements of the account hub, in its shadow roots too.
_SCREEN = """
const window = Services.wm.getMostRecentWindow("mail:3pane");
const all = [];
const walk = root => { for (const it of root.querySelectorAll("*")) {
  if (it.shadowRoot) walk(it.shadowRoot);
  const box = it.getBoundingClientRect();
  if (box.width && box.height) all.push(it);
} };
walk(window.document);
"""
_SEEN = f"""
const [, done] = arguments;{_SCREEN}
done(all.filter(it => it.dataset.l10nId?.startsWith("account-hub"))
  .map(it => it.textContent.trim()));
"""
_ACT = f"""
const [[typed, button], done] = arguments;{_SCREEN}
for (const [id, text] of Object.entries(typed)) {{
  const field = all.find(it => it.localName === "input" && it.id === id);
  if (!field) {{ done(false); return; }}
  field.focus();
  field.value = text;
  field.dispatchEvent(new window.Event("input", {{ bubbles: true, composed: true }}));
}}
window.setTimeout(() => {{
  const found = all.find(
    it => it.localName === "button" && it.textContent.trim() === button);
  found?.click();
  done(!!found);
}}, 500);
"""


class Thunderbird:
    def __init__(self, client: Marionette) -> None:
        self._client = client

    def _run(self, script: str, argument: object) -> Any:
        with self._client.using_context("chrome"):
            return self._client.execute_async_script(
                script, script_args=[argument], script_timeout=120_000, sandbox=None
            )

    def find(self, email: str) -> dict[str, Any]:
        """Return the account that it finds for an address."""
        found: dict[str, Any] = self._run(_FIND, email)
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
        texts: list[str] = self._run(_SEEN, None)
        return texts

    def act(self, button: str, **typed: str) -> bool:
        """Type into fields and press a button; return False if one is missing."""
        found: bool = self._run(_ACT, [typed, button])
        return found

    def read(self, texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the account that each document describes for its address."""
        read: list[dict[str, Any]] = self._run(_READ, [list(pair) for pair in texts])
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
