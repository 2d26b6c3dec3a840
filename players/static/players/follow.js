// Follows a page: asks for it again every few seconds, and only when somebody looks. The server answers 304 while
// nothing has changed. Without scripts the page is the same and stands still.
"use strict";

(() => {
  const page = document.getElementById("live");
  if (!page || !window.fetch) return;
  const usual = Number(page.dataset.follow) * 1000;
  if (!usual) return;
  const most = 60000;
  let wait = usual;
  let seen = null;
  let timer = null;
  let asking = false;

  const say = (state, words) => {
    for (const place of document.querySelectorAll("[data-state]")) {
      place.hidden = false;
      place.dataset.state = state;
      place.textContent = words;
    }
  };

  const figures = (root) => {
    const found = new Map();
    for (const line of root.querySelectorAll("[data-key]")) {
      found.set(line.dataset.key, line.querySelector("data")?.value);
    }
    return found;
  };

  const show = (html) => {
    const now = document.getElementById("live");
    const next = new DOMParser().parseFromString(html, "text/html").getElementById("live");
    if (!next) return;
    const before = figures(now);
    for (const open of now.querySelectorAll("details[open][id]")) {
      next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    for (const line of next.querySelectorAll("[data-key]")) {
      const was = before.get(line.dataset.key);
      if (was !== undefined && was !== line.querySelector("data")?.value) line.classList.add("moved");
    }
    const focused = document.activeElement?.closest("#live") && document.activeElement.getAttribute("href");
    now.replaceWith(next);
    if (focused) next.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const headers = { Accept: "text/html" };
      if (seen) headers["If-None-Match"] = seen;
      const answer = await fetch(location.href, { headers, cache: "no-store", credentials: "same-origin" });
      if (answer.ok) {
        const html = await answer.text();
        // The first answer is what is shown already, unless something has moved since.
        show(html);
        seen = answer.headers.get("ETag");
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      wait = usual;
      say("live", "Live");
    } catch {
      wait = Math.min(wait * 2, most);
      say("lost", "Not reached; trying again");
    } finally {
      asking = false;
      plan();
    }
  };

  const plan = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, wait);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      say("paused", "Paused");
    } else {
      wait = usual;
      ask();
    }
  });
  plan();
})();
