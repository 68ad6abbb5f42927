"use strict";
// Reads a page again when its server says that it is out of date; without it, reload by hand.
(() => {
  const body = document.body, news = document.getElementById("news");
  let mark = body.dataset.mark, busy = false;
  if (!mark) return;
  const source = new EventSource("/events");
  const main = () => document.getElementById("main");
  const say = (text) => { if (news) news.textContent = text; };
  const written = () => [...main().querySelectorAll("input:not([type=hidden]), textarea")].some(
    (field) => field === document.activeElement
      || (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
  async function again(next) {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) { location.reload(); return; }
      const read = new DOMParser().parseFromString(await answer.text(), "text/html");
      const link = document.activeElement && document.activeElement.getAttribute("href");
      main().replaceWith(document.importNode(read.getElementById("main"), true));
      if (link) [...main().querySelectorAll("a")].filter((a) => a.getAttribute("href") === link).slice(0, 1).forEach((a) => a.focus());
      mark = body.dataset.mark = read.body.dataset.mark || next;
      say("Updated.");
    } catch (_) { say("The page's server does not answer."); } finally { busy = false; }
  }
  source.addEventListener("mark", (event) => {
    if (event.data === mark) return;
    if (written()) { say("There is news: load this page again when you have written your form."); return; }
    again(event.data);
  });
  source.addEventListener("error", () => say("The page's server does not answer; trying again."));
  source.addEventListener("open", () => say("Follows what happens."));
})();
