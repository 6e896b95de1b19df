// Keeps the page current: asks for the part that changes, and puts in what has
// changed, except where somebody is at work.
(() => {
  "use strict";
  const live = document.getElementById("live"), stale = document.getElementById("stale");
  const every = 3000;
  const busy = (section) =>
    section.contains(document.activeElement) && document.activeElement !== section ||
    section.querySelector("details[open]") !== null ||
    [...section.querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== field.defaultValue);
  let before = {};
  for (const section of live.children) before[section.id] = section.outerHTML;
  const show = (text) => {
    const next = document.createElement("template");
    next.innerHTML = text;
    for (const section of [...next.content.children]) {
      const shown = document.getElementById(section.id), said = section.outerHTML;
      if (!shown || said === before[section.id] || busy(shown)) continue;
      before[section.id] = said;
      shown.replaceWith(section);
    }
  };
  const look = async () => {
    try {
      const answer = await fetch(live.dataset.live + location.search, { cache: "no-store", credentials: "same-origin" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text());
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
    setTimeout(next, every);
  };
  const next = () => document.hidden ? document.addEventListener("visibilitychange", look, { once: true }) : look();
  setTimeout(next, every);
})();
