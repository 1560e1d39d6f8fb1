// Asks what a sample is, sends each answer, and shows what comes back; nothing is kept here.
"use strict";
(() => {
  const KEYS = "1234567890qwertyiopdfghjklzxcvbnm"; // a, s and u mean something else
  const at = (id) => document.getElementById(id);
  let state = null;
  let ticked = new Set();
  let busy = true; // until an answer is kept, so that no key answers what is not seen yet

  const AWAY = "selftaught label does not answer: this was not kept. Start it again.";

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
    let trouble = "";
    try {
      state = await ask(path, said);
      draw();
    } catch (error) {
      trouble = error instanceof TypeError ? AWAY : error.message;
      if (said && trouble !== AWAY) await renew();
    }
    write(at("trouble"), trouble);
    busy = false;
    document.body.removeAttribute("aria-busy");
  }

  // What was asked about may have been answered on another page: only what is asked about now can be.
  async function renew() {
    const before = JSON.stringify(state);
    try {
      state = await ask("state");
    } catch {
      return; // why the answer was not taken is said
    }
    if (JSON.stringify(state) !== before) draw();
  }

  function write(place, words) {
    if (place.textContent !== words) place.textContent = words;
  }

  function made(kind, words, more) {
    return Object.assign(document.createElement(kind), { textContent: words || "" }, more);
  }

  function draw() {
    const { asked, alike, labelled, of, range } = state;
    const what = state.task === "number" ? "a number" : "a label";
    ticked = new Set();
    write(at("standing"), `${labelled.toLocaleString()} of ${of.toLocaleString()} have ${what}${range && `: ${range}`}`);
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
    ({ classes: offerOne, several: offerAll, number: offerField })[state.task](asked.guess || []);
    if (at("alike")) at("alike").replaceChildren(...alike.map(card));
  }

  // A button a class, which answers; what a classifier thinks is pressed, and Enter agrees.
  function offerOne([guess]) {
    offer((name, place, words) => {
      const button = made("button", "", { type: "button", onclick: () => answer({ label: name }) });
      button.append(...words);
      if (guess && guess.label === name) {
        button.setAttribute("aria-pressed", "true");
        button.append(" ", made("kbd", "Enter"), ` ${percent(guess)}`);
      }
      return button;
    });
  }

  // A box a class, which is ticked where a classifier thinks so; Enter keeps all that are ticked, or that none is.
  function offerAll(guesses) {
    offer((name, place, words) => {
      const guess = guesses.find(({ label }) => label === name);
      const box = made("input", "", { type: "checkbox", value: name, checked: Boolean(guess), onchange: tellKept });
      const label = made("label", "", { className: "choice" });
      label.append(box, " ", ...words, ...(guess ? [` · ${percent(guess)}`] : []));
      return label;
    });
    write(at("thought"), state.asked.guess ? "ticked is what the classifier says" : "");
    tellKept();
  }

  function offerField([guess]) {
    const within = guess && guess.sure ? ` ± ${Number(guess.sure.toPrecision(2))}, for 95 in 100` : "";
    write(at("thought"), guess ? `the classifier says ${guess.label}${within}` : "");
    at("number").value = "";
    at("number").focus({ preventScroll: true });
  }

  function offer(make) {
    const words = ({ name, count }, place) => [
      ...(KEYS[place] ? [made("kbd", KEYS[place]), " "] : []),
      name,
      " ",
      made("span", count.toLocaleString(), { className: "quiet" }),
    ];
    at("answers").replaceChildren(...state.classes.map((one, place) => make(one.name, place, words(one, place))));
    if (!state.classes.length) at("answers").append(made("p", "Add a class to begin with: what may samples be?"));
  }

  function percent({ sure }) {
    return `${Math.round(100 * sure)} %`;
  }

  function on() {
    return [...at("answers").querySelectorAll("input:checked")].map((box) => box.value);
  }

  // What Enter would keep, on its button.
  function tellKept() {
    at("keep").replaceChildren("keep ", made("strong", on().join(", ") || "none of these"), " ", made("kbd", "Enter"));
    at("keep").hidden = !state.classes.length;
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

  function answer(said) {
    tell("answer", { rows: [state.asked.row, ...ticked], ...said });
  }

  function tickAll() {
    const boxes = [...at("alike").querySelectorAll("input")];
    const wanted = boxes.some((box) => !box.checked);
    for (const box of boxes) if (box.checked !== wanted) box.click();
  }

  at("pass").onclick = () => tell("pass", { rows: [state.asked.row] });
  at("back").onclick = at("back-again").onclick = () => tell("back", {});
  at("end").onclick = () => tell("end", {});
  for (const [form, said] of [["choosing", () => ({ labels: on() })], ["typing", () => ({ label: at("number").value })]])
    if (at(form))
      at(form).onsubmit = (event) => {
        event.preventDefault();
        answer(said());
      };
  if (at("all")) at("all").onclick = tickAll;
  if (at("adding"))
    at("adding").onsubmit = async (event) => {
      event.preventDefault();
      const field = event.target.elements.name;
      const ticks = at("choosing") ? on() : []; // of an answer that is not complete yet
      await tell("class", { name: field.value });
      if (!at("trouble").textContent) {
        field.value = "";
        for (const box of at("answers").querySelectorAll("input")) box.checked = ticks.includes(box.value);
        if (at("choosing") && state.asked) tellKept();
      }
      field.blur();
    };
  document.addEventListener("keydown", (event) => {
    // No number has an s or a u, so these mean in its field what they mean elsewhere, but amid something typed.
    const typing = event.target.matches("input:not([type=checkbox])") && (event.target.id !== "number" || event.target.value);
    if (event.repeat && event.key === "Enter") event.preventDefault(); // a key that is held is one answer
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !state || event.repeat) return;
    const key = event.key.toLowerCase();
    if (key === "u" && state.back && !state.ended) {
      event.preventDefault();
      return tell("back", {});
    }
    if (!state.asked) return;
    const choice = at("answers") && key.length === 1 && at("answers").children[KEYS.indexOf(key)];
    const elsewhere = event.target === document.body || event.target.matches("#alike input");
    if (key === "s") tell("pass", { rows: [state.asked.row] });
    else if (key === "a" && at("all")) tickAll();
    else if (choice && state.classes.length) choice.click();
    else if (key === "enter" && at("keep") && elsewhere && state.classes.length) at("choosing").requestSubmit();
    else if (key === "enter" && event.target === document.body && at("answers")?.querySelector("[aria-pressed=true]"))
      at("answers").querySelector("[aria-pressed=true]").click();
    else return;
    event.preventDefault();
  });

  busy = false;
  tell("state");
})();
