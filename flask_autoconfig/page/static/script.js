// An iPad claims to be a Mac. If there is a touch screen, show the page for an iPad.
if (document.querySelector("[data-guess=mac]") && navigator.maxTouchPoints > 1) {
  const url = new URL(location);
  url.searchParams.set("device", "ios");
  location.replace(url);
}

// Show the buttons that copy a value or print, which need this script.
for (const button of document.querySelectorAll("[data-copy]")) {
  const status = document.createElement("span"), label = button.textContent;
  let timer;
  status.setAttribute("role", "status");
  button.after(status);
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.dataset.copy;
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
    button.textContent = button.dataset.copied;
    setTimeout(() => { status.textContent = button.dataset.copied }, 50);
    timer = setTimeout(() => { status.textContent = ""; button.textContent = label }, 4000);
  });
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
