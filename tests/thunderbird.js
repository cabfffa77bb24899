// What thunderbird.py runs in Thunderbird's chrome context.
const importModule = name => ChromeUtils.importESModule(
  `resource:///modules/${name}.sys.mjs`);
const { AccountConfig } = importModule("accountcreation/AccountConfig");

function filled(config, email) {
  AccountConfig.replaceVariables(config, "Fred", email, "");
  return JSON.parse(JSON.stringify(config));
}

// The account that it finds for an address.
async function find(email) {
  const { FindConfig } = importModule("accountcreation/FindConfig");
  const found = FindConfig.parallelAutoDiscovery(
    email.split("@")[1], email, new AbortController().signal);
  const { value } = await found.next();
  return value ? filled(value, email) : null;
}

// The account that each document describes for its address.
async function read(texts) {
  const { JXON } = importModule("JXON");
  const { readFromXML } = importModule("accountcreation/readFromXML");
  return texts.map(([text, email]) => {
    try {
      const document = new DOMParser().parseFromString(text, "text/xml");
      return filled(readFromXML(JXON.build(document), "test"), email);
    } catch (error) {
      return { error: String(error) };
    }
  });
}

// The visible elements of the account hub, in its shadow roots too.
function visible() {
  const all = [];
  const walk = root => { for (const it of root.querySelectorAll("*")) {
    if (it.shadowRoot) walk(it.shadowRoot);
    const box = it.getBoundingClientRect();
    if (box.width && box.height) all.push(it);
  } };
  walk(Services.wm.getMostRecentWindow("mail:3pane").document);
  return all;
}

async function seen() {
  return visible().filter(it => it.dataset.l10nId?.startsWith("account-hub"))
    .map(it => it.textContent.trim());
}

async function act([typed, button]) {
  const window = Services.wm.getMostRecentWindow("mail:3pane");
  const all = visible();
  for (const [id, text] of Object.entries(typed)) {
    const field = all.find(it => it.localName === "input" && it.id === id);
    if (!field) return false;
    field.focus();
    field.value = text;
    field.dispatchEvent(new window.Event("input", { bubbles: true, composed: true }));
  }
  await new Promise(resolve => window.setTimeout(resolve, 500));
  const found = all.find(
    it => it.localName === "button" && it.textContent.trim() === button);
  found?.click();
  return !!found;
}
