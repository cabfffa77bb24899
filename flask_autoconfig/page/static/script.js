// An iPad claims to be a Mac. If there is a touch screen, show the page for an iPad.
if (document.querySelector("[data-guess=mac]") && navigator.maxTouchPoints > 1) {
  const url = new URL(location);
  url.searchParams.set("device", "ios");
  location.replace(url);
}

// Add the buttons that copy a value or print, which need this script.
for (const field of document.querySelectorAll("[data-copy]")) {
  const [label, copied, name] = field.closest("[data-words]").dataset.words.split("|");
  const button = document.createElement("button"), status = document.createElement("span");
  const text = field.dataset.copy, what = field.previousElementSibling.textContent;
  let timer;
  button.type = "button";
  button.textContent = label;
  button.dataset.copied = copied;
  button.setAttribute("aria-label", name.replace("{label}", () => what).replace("{value}", () => text));
  status.setAttribute("role", "status");
  field.append(button, status);
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text) } catch {
      const area = document.createElement("textarea");  // for old browsers and plain http
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    status.textContent = "";  // so that screen readers announce it again
    clearTimeout(timer);
    button.textContent = copied;
    setTimeout(() => { status.textContent = copied }, 50);
    timer = setTimeout(() => { status.textContent = ""; button.textContent = label }, 4000);
  });
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
