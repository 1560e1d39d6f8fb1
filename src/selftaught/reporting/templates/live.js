// Asks now and then where the runs stand and, when their files have changed, brings the page up to date in place:
// what stays the same is not touched, so that the reader keeps the place, what is unfolded, and the keyboard's focus.
"use strict";
(() => {
  const live = document.getElementById("live");
  const main = document.getElementById("page");
  const note = document.getElementById("note");
  const every = 1000 * Number(live.dataset.every);
  let version = live.dataset.version;
  let current = new Date();
  let timer = 0;
  let looking = false;

  async function answer(path) {
    const got = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(60000) });
    if (!got.ok) throw new Error(String(got.status));
    return got;
  }

  async function look() {
    if (looking) return;
    looking = true;
    clearTimeout(timer);
    try {
      const told = await (await answer("version")).json();
      if (told.version !== version) {
        const page = new DOMParser().parseFromString(await (await answer("./")).text(), "text/html");
        document.title = page.title;
        inPlace(() => follow(main, page.getElementById("page")));
        document.dispatchEvent(new Event("selftaught:changed")); // maps that are new draw themselves
        version = page.getElementById("live").dataset.version;
      }
      current = new Date();
      live.querySelectorAll(".run").forEach((line, number) => {
        say(line.querySelector("strong"), told.runs[number].state);
        say(line.querySelector("span"), told.runs[number].told);
      });
      say(note, told.note);
    } catch {
      say(note, `selftaught watch does not answer: this is how things stood at ${current.toLocaleTimeString()}.`);
    }
    looking = false;
    timer = setTimeout(look, every);
  }

  function say(place, words) {
    if (place.textContent !== words) place.textContent = words; // what is unchanged is not read aloud again
  }

  // Make `old` what `fresh` is, keeping every node that has a counterpart there.
  function follow(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.classList.contains("map")) return followMap(old, fresh);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const name of old.getAttributeNames()) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name); // the reader unfolds, not we
    }
    let at = old.firstChild;
    const drop = () => {
      const next = at.nextSibling;
      at.remove();
      at = next;
    };
    for (const wanted of [...fresh.childNodes]) {
      const found = counterpart(at, wanted);
      if (!found) {
        old.insertBefore(wanted, at);
        continue;
      }
      while (at !== found) drop();
      at = found.nextSibling;
      if (found.nodeType === Node.ELEMENT_NODE) follow(found, wanted);
      else if (found.data !== wanted.data) found.data = wanted.data;
    }
    while (at) drop();
  }

  // A map is changed by its reader, so that it is let be while its samples stay where they are.
  function followMap(old, fresh) {
    const [held, told] = [old, fresh].map((map) => map.querySelector(".told").textContent);
    if (held !== told) old.replaceWith(fresh);
  }

  // Of the siblings from `at` on, the one called as `wanted` is; of what has no name, the very next if it is alike.
  function counterpart(at, wanted) {
    const name = called(wanted);
    while (!name && at && blank(at) && !blank(wanted)) at = at.nextSibling;
    if (!name) return at && !called(at) && at.nodeName === wanted.nodeName ? at : null;
    while (at && called(at) !== name) at = at.nextSibling;
    return at;
  }

  function called(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    const title = /^H[1-6]$/.test(node.nodeName) ? node : node.querySelector(":scope > summary, :scope > figcaption");
    const name = node.id || (title ? title.textContent.replace(/[\d.,]+/g, "#") : "");
    return name && `${node.nodeName} ${name}`;
  }

  function blank(node) {
    return node.nodeType === Node.TEXT_NODE && !node.data.trim();
  }

  // Carry out a change so that what stands at the top of the window stays there; at the very top, the top stays.
  function inPlace(change) {
    const shown = [...main.querySelectorAll(":scope > *, section > *")].map((node) => [node, node.getBoundingClientRect()]);
    const anchors = scrollY > 0 ? shown.filter(([node, box]) => box.bottom > 0 && box.height && !node.matches("section")) : [];
    change();
    const kept = anchors.find(([node]) => node.isConnected);
    if (kept) scrollBy({ top: kept[0].getBoundingClientRect().top - kept[1].top, behavior: "instant" });
  }

  document.documentElement.style.overflowAnchor = "none"; // two who hold the place would move it twice
  document.addEventListener("visibilitychange", () => document.hidden || look());
  timer = setTimeout(look, every);
})();
