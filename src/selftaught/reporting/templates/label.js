// Asks what a sample is, sends each answer, and shows what comes back; nothing is kept here.
"use strict";
(() => {
  const KEYS = "1234567890qwertyiopdfghjklzxcvbnm"; // a, s and u mean something else
  const at = (id) => document.getElementById(id);
  let state = null;
  let ticked = new Set();
  let busy = true; // until an answer is kept, so that no key answers what is not seen yet

  async function ask(path, said) {
    const posted = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
    const got = await fetch(path, said ? posted : { cache: "no-store" });
    const answer = got.headers.get("Content-Type").startsWith("application/json") ? await got.json() : {};
    if (!got.ok) throw new Error(answer.error || `the answer was not taken (${got.status})`);
    return answer;
  }

  async function tell(path, said) {
    if (busy) return;
    busy = true;
    document.body.setAttribute("aria-busy", "true");
    try {
      state = await ask(path, said);
      write(at("trouble"), "");
      draw();
    } catch (error) {
      const away = error instanceof TypeError;
      write(at("trouble"), away ? "selftaught label does not answer: this was not kept. Start it again." : error.message);
    }
    busy = false;
    document.body.removeAttribute("aria-busy");
  }

  function write(place, words) {
    if (place.textContent !== words) place.textContent = words;
  }

  function made(kind, words, more) {
    return Object.assign(document.createElement(kind), { textContent: words || "" }, more);
  }

  function draw() {
    const { asked, alike, classes, labelled, of } = state;
    ticked = new Set();
    write(at("standing"), `${labelled.toLocaleString()} of ${of.toLocaleString()} have a label`);
    at("asking").hidden = !asked;
    at("done").hidden = Boolean(asked);
    at("back").disabled = at("back-again").disabled = !state.back;
    at("back-again").hidden = state.ended;
    if (!asked) {
      const rest = "nothing is left to ask: all others look just like what has been answered";
      write(at("why"), `${labelled.toLocaleString()} labels are kept: ${state.ended ? "that is all for now" : rest}.`);
      write(at("command"), state.command);
      return;
    }
    at("sample").replaceChildren(...shown(asked, "asked"), made("p", asked.name, { className: "quiet" }));
    const guess = asked.guess && classes.some(({ name }) => name === asked.guess.label) ? asked.guess : null;
    at("answers").replaceChildren(
      ...classes.map(({ name, count }, place) => {
        const button = made("button", "", { type: "button", onclick: () => answer(name) });
        if (KEYS[place]) button.append(made("kbd", KEYS[place]), " ");
        button.append(name, " ", made("span", count.toLocaleString(), { className: "quiet" }));
        if (guess && guess.label === name) {
          button.setAttribute("aria-pressed", "true");
          button.append(" ", made("kbd", "Enter"), ` ${Math.round(100 * guess.sure)} %`);
        }
        return button;
      })
    );
    if (!classes.length) at("answers").append(made("p", "Add a class to begin with: what may samples be?"));
    at("alike").replaceChildren(...alike.map(card));
  }

  // What there is to see, to hear and to read of a sample.
  function shown(one, name) {
    const parts = [];
    if (one.picture) parts.push(made("img", "", { src: one.picture, alt: name === "asked" ? one.name : "", className: name }));
    if (one.sound) parts.push(made("audio", "", { src: one.sound, controls: true, autoplay: true }));
    if (one.text) parts.push(made("p", one.text, { className: "snippet" }));
    return parts;
  }

  function card(one) {
    const box = made("input", "", { type: "checkbox", value: String(one.row) });
    box.onchange = () => (box.checked ? ticked.add(one.row) : ticked.delete(one.row));
    const label = made("label");
    label.append(...shown(one, "like"), box, " ", one.name);
    const line = made("li");
    line.append(label);
    return line;
  }

  function answer(label) {
    tell("answer", { rows: [state.asked.row, ...ticked], label });
  }

  function tickAll() {
    const boxes = [...at("alike").querySelectorAll("input")];
    const wanted = boxes.some((box) => !box.checked);
    for (const box of boxes) if (box.checked !== wanted) box.click();
  }

  at("pass").onclick = () => tell("pass", { rows: [state.asked.row] });
  at("back").onclick = at("back-again").onclick = () => tell("back", {});
  at("end").onclick = () => tell("end", {});
  at("all").onclick = tickAll;
  at("adding").onsubmit = async (event) => {
    event.preventDefault();
    const field = event.target.elements.name;
    await tell("class", { name: field.value });
    if (!at("trouble").textContent) field.value = "";
    field.blur();
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !state || event.repeat) return;
    const key = event.key.toLowerCase();
    if (key === "u" && state.back && !state.ended) return tell("back", {});
    if (!state.asked) return;
    const known = state.classes[KEYS.indexOf(key)];
    if (key === "s") tell("pass", { rows: [state.asked.row] });
    else if (key === "a") tickAll();
    else if (key.length === 1 && known) answer(known.name);
    else if (key === "enter" && event.target === document.body && at("answers").querySelector("[aria-pressed=true]"))
      at("answers").querySelector("[aria-pressed=true]").click();
    else return;
    event.preventDefault();
  });

  busy = false;
  tell("state");
})();
