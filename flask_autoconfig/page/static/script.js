// An iPad calls itself a Mac: its touch screen tells, and the tile of the iPad is taken.
const guess = document.querySelector("[data-guess=mac]");
if (guess && navigator.maxTouchPoints > 1) {
  const tile = guess.querySelector("a[href*='program=iphone']");
  if (tile) location.replace(tile.href.split("#")[0]);
}

// Shows the buttons that copy a value or print: without a script there is nothing to press.
for (const button of document.querySelectorAll("[data-copy]")) {
  const status = document.createElement("span");
  let timer;
  status.setAttribute("role", "status");
  button.after(status);
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.dataset.copy;
    try { await navigator.clipboard.writeText(text) } catch {
      const area = document.createElement("textarea");  // an old browser, or plain http
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    status.textContent = "";  // so that it is said again when it is copied again
    clearTimeout(timer);
    setTimeout(() => { status.textContent = button.dataset.copied }, 50);
    timer = setTimeout(() => { status.textContent = "" }, 4000);
  });
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
