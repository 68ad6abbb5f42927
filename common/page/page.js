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
  // What has the focus keeps it, for whoever is about to press Enter.
  const called = (e) => [e.tagName, e.getAttribute("href"), e.name, e.value, e.form && e.form.getAttribute("action"), e.textContent.trim()].join("\n");
  async function again(next) {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) { location.reload(); return; }
      const read = new DOMParser().parseFromString(await answer.text(), "text/html");
      const held = document.activeElement, whole = held === main();
      const name = !whole && main().contains(held) ? called(held) : null;
      main().replaceWith(document.importNode(read.getElementById("main"), true));
      const same = whole ? main() : [...main().querySelectorAll("a, button, summary")].find((e) => called(e) === name);
      if (same) same.focus();
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
