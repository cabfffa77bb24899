// Shows the buttons that copy a value: without a script there is nothing to press.
for (const button of document.querySelectorAll(".autoconfig button.copy")) {
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
    const status = document.querySelector(".autoconfig [role=status]");
    status.textContent = status.dataset.copied + " " + text;
    const before = button.textContent;
    button.textContent = "✓";
    setTimeout(() => { button.textContent = before }, 1500);
  });
}
