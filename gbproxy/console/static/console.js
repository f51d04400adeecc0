// What makes pages livelier; each works without. Attributes in templates say where:
//   data-poll        a fragment that asks for itself anew while the page is visible (hx-trigger="poll")
//   data-until       Unix seconds: counts down to them
//   data-local       a <time>: shown in the browser's own time
//   data-opens       the id of what is opened when a fragment comes to have this attribute
//   data-copy        the id of what this button copies; hidden where it could not
"use strict";
(() => {
  const POLL_MS = 5000;
  // What goes wrong with a fragment stands in a place of its own, until that fragment is answered.
  const placeId = (fragment) => `trouble-${fragment?.id ?? ""}`;
  const clear = (fragment) => document.getElementById(placeId(fragment))?.remove();
  function place(fragment) {
    const known = document.getElementById(placeId(fragment));
    if (known) return known;
    const made = document.createElement("div");
    made.id = placeId(fragment);
    document.getElementById("trouble").append(made);
    return made;
  }

  function poll() {
    if (document.visibilityState !== "visible") return;
    for (const each of document.querySelectorAll("[data-poll]")) each.dispatchEvent(new Event("poll"));
  }

  function tick() {
    const now = Date.now() / 1000;
    for (const each of document.querySelectorAll("[data-until]")) {
      const left = Math.max(0, Math.ceil(Number(each.dataset.until) - now));
      const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
      const two = (n) => String(n).padStart(2, "0");
      each.textContent = hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
    }
  }

  function localize() {
    for (const each of document.querySelectorAll("time[data-local]"))
      each.textContent = new Date(each.dateTime).toLocaleString(document.documentElement.lang);
  }

  async function copy(button) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = document.body.dataset.copied;
  }

  function say(text, fragment) {
    const line = document.createElement("p");
    line.className = "notice bad";
    line.dataset.lost = "";
    line.textContent = text;
    place(fragment).replaceChildren(line);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  // What was opened stays open when its fragment comes anew.
  const opened = new Set();
  document.addEventListener("toggle", ({ target }) => {
    if (target.open) opened.add(target.id);
    else opened.delete(target.id);
  }, true);
  function reopen() {
    for (const each of document.querySelectorAll("[data-poll] details[id]"))
      if (opened.has(each.id)) each.open = true;
  }
  // Only once: what its user shuts again stays shut.
  const openers = () => [...document.querySelectorAll("[data-opens]")].map((each) => each.dataset.opens);
  let asked = openers();
  function open() {
    const now = openers();
    for (const id of now) if (!asked.includes(id)) document.getElementById(id).open = true;
    asked = now;
  }
  document.addEventListener("visibilitychange", poll);
  document.addEventListener("htmx:error", ({ detail }) => say(document.body.dataset.lost, detail.ctx?.sourceElement));
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    if (ctx.hx.retarget === "#trouble") ctx.hx.retarget = `#${place(ctx.sourceElement).id}`;
    else clear(ctx.sourceElement);
  });
  document.addEventListener("htmx:after:swap", () => { tick(); localize(); reopen(); open(); });
  // Without a secure origin browsers have no clipboard for pages: the text can be marked by hand.
  if (navigator.clipboard) for (const each of document.querySelectorAll("[data-copy]")) each.hidden = false;
  setInterval(poll, POLL_MS);
  setInterval(tick, 1000);
  tick();
  localize();
})();
