// A form that does something is sent once: its button rests until the answer is there.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-once]");
  if (!form) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button")) {
    button.setAttribute("aria-busy", "true");
    button.textContent = "One moment …";
  }
});
// A run that is at work is looked at again, as long as somebody sees the page.
const open = document.querySelector("[data-refresh]");
if (open) {
  setInterval(() => {
    if (!document.hidden && !document.querySelector("details[open]")) window.location.reload();
  }, 1000 * Number(open.dataset.refresh));
}
// Back in the browser's history the page may be asked again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
