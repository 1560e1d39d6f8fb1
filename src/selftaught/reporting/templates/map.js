// The map of a run: places of samples in a plane, to be moved, zoomed, pointed at and encircled.
(() => {
  "use strict";
  const NAMED = 24; // colours in the legend, until the reader asks for the rest
  const SHOWN = 1000; // names in the list of what was encircled
  const NEAR = 14; // pixels between the pointer and a place it still points at

  function draw(figure) {
    if (figure.dataset.drawn) return;
    figure.dataset.drawn = "yes";
    const told = JSON.parse(figure.querySelector(".told").textContent);
    const part = (name) => figure.querySelector("." + name);
    const canvas = part("plane"), tip = part("tip"), list = part("names"), count = part("count");
    const sheet = part("sheet"), pen = canvas.getContext("2d");
    const names = Object.keys(told.layouts), kinds = Object.keys(told.groups);
    const state = { layout: names[0], group: kinds[0] || "", x: 0.5, y: 0.5, zoom: 1, lasso: null, chosen: new Set(),
                    only: null, over: -1, encircling: false, unfolded: false };

    for (const [select, options] of [[part("layout"), names], [part("group"), [...kinds, "nothing"]]])
      for (const option of options) select.add(new Option(option));
    part("layout").value = state.layout;
    part("group").value = state.group || "nothing";

    const dark = matchMedia("(prefers-color-scheme: dark)");
    const colour = (number) => `hsl(${(number * 137.5 + 205) % 360} 62% ${dark.matches ? 66 : 42}%)`;
    const group = () => told.groups[state.group];
    const placed = () => told.layouts[state.layout];
    const ink = (name) => getComputedStyle(figure).getPropertyValue(name).trim();
    const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * state.zoom;
    const spot = ([x, y]) => [
      canvas.clientWidth / 2 + (x - state.x) * side(),
      canvas.clientHeight / 2 - (y - state.y) * side(),
    ];
    const pictured = () => told.columns > 0 && sheet.complete && sheet.naturalWidth > 0 && part("pictures").checked;
    const size = () => Math.min(96, Math.max(9, 11 * Math.sqrt(state.zoom)));
    const shut = (row) => state.only !== null && group() && group().of[row] !== state.only;

    function cut(row, x, y, width, height, onto = pen) {
      const [w, h] = told.cell;
      onto.imageSmoothingEnabled = w > 16;
      onto.drawImage(sheet, (row % told.columns) * w, Math.floor(row / told.columns) * h, w, h, x, y, width, height);
    }

    let wanted = false;
    function redraw() {
      if (wanted) return;
      wanted = true;
      requestAnimationFrame(() => { wanted = false; paint(); });
    }

    function paint() {
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      const { rows, places } = placed(), wide = size(), tall = told.columns ? wide * told.cell[1] / told.cell[0] : wide;
      const chosen = state.chosen.size > 0, line = ink("--ink");
      for (let i = 0; i < rows.length; i++) {
        const [x, y] = spot(places[i]), row = rows[i];
        if (x < -wide || y < -tall || x > width + wide || y > height + tall) continue;
        pen.globalAlpha = shut(row) || (chosen && !state.chosen.has(row)) ? 0.12 : 1;
        const tint = group() ? colour(group().of[row]) : ink("--accent");
        if (pictured()) {
          pen.fillStyle = tint;
          pen.fillRect(x - wide / 2 - 1.5, y - tall / 2 - 1.5, wide + 3, tall + 3);
          cut(row, x - wide / 2, y - tall / 2, wide, tall);
        } else {
          pen.fillStyle = tint;
          pen.beginPath();
          pen.arc(x, y, Math.min(7, 2.5 + Math.sqrt(state.zoom)), 0, 7);
          pen.fill();
        }
      }
      pen.globalAlpha = 1;
      if (state.over >= 0) {
        const [x, y] = spot(places[state.over]);
        pen.strokeStyle = line;
        pen.lineWidth = 2;
        pen.strokeRect(x - wide / 2 - 4, y - tall / 2 - 4, wide + 8, tall + 8);
      }
      if (state.lasso) {
        pen.strokeStyle = line;
        pen.lineWidth = 1.5;
        pen.setLineDash([5, 4]);
        pen.beginPath();
        state.lasso.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
        pen.closePath();
        pen.stroke();
        pen.setLineDash([]);
      }
    }

    function describe(place) {
      state.over = place;
      if (place < 0) {
        tip.hidden = true;
        return redraw();
      }
      const row = placed().rows[place], [x, y] = spot(placed().places[place]);
      tip.replaceChildren();
      if (told.columns > 0 && sheet.complete) {
        const shown = document.createElement("canvas"), scale = Math.max(1, Math.round(96 / Math.max(...told.cell)));
        [shown.width, shown.height] = told.cell.map((v) => v * scale);
        cut(row, 0, 0, shown.width, shown.height, shown.getContext("2d"));
        tip.append(shown);
      }
      const text = document.createElement("span");
      text.textContent = told.keys[row] + (group() ? ` (${state.group} ${group().names[group().of[row]]})` : "");
      tip.append(text);
      tip.hidden = false;
      const room = canvas.clientWidth - tip.offsetWidth;
      tip.style.left = Math.max(0, Math.min(room, x + 12)) + "px";
      tip.style.top = y + canvas.offsetTop + (y > canvas.clientHeight / 2 ? -tip.offsetHeight - 14 : 18) + "px";
      redraw();
    }

    function nearest(x, y) {
      let found = -1, least = Math.max(NEAR, size() * 0.7) ** 2;
      placed().places.forEach((place, i) => {
        const [a, b] = spot(place), away = (a - x) ** 2 + (b - y) ** 2;
        if (away <= least && !shut(placed().rows[i])) { least = away; found = i; }
      });
      return found;
    }

    function inside(polygon, x, y) {
      let odd = false;
      for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
        const [a, b] = polygon[i], [c, d] = polygon[j];
        if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) odd = !odd;
      }
      return odd;
    }

    function choose(holds) {
      const { rows, places } = placed();
      state.chosen = new Set(rows.filter((row, i) => !shut(row) && holds(...spot(places[i]))));
      const found = [...state.chosen], more = found.length - SHOWN;
      list.value = found.slice(0, SHOWN).map((row) => told.keys[row]).join("\n") + (more > 0 ? `\n… and ${more} more` : "");
      count.textContent = found.length ? `${found.length.toLocaleString("en")} chosen` : "none chosen";
      part("chosen").hidden = !found.length;
      redraw();
    }

    function legend() {
      const names = group() ? group().names : [], more = state.unfolded ? 0 : Math.max(0, names.length - NAMED);
      const items = names.slice(0, names.length - more).map((name, number) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = colour(number);
        button.type = "button";
        button.setAttribute("aria-pressed", String(state.only === number));
        button.append(swatch, name);
        button.addEventListener("click", () => {
          state.only = state.only === number ? null : number;
          legend();
          describe(-1);
        });
        item.append(button);
        return item;
      });
      if (more) items.push(rest(more));
      part("legend").replaceChildren(...items);
      redraw();
    }

    function rest(more) {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = `and ${more.toLocaleString("en")} more`;
      button.addEventListener("click", () => {
        state.unfolded = true;
        legend();
        part("legend").querySelectorAll("button")[NAMED].focus(); // where the reader was
      });
      item.append(button);
      return item;
    }

    function share() { // only some of many samples have a place by t-SNE
      const [shown, all] = [placed().rows.length, told.keys.length].map((count) => count.toLocaleString("en"));
      part("share").textContent = shown === all ? "" : `${shown} of ${all} shown`;
    }

    function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
      const before = side();
      state.zoom = Math.min(80, Math.max(0.6, state.zoom * factor));
      const [dx, dy] = [x - canvas.clientWidth / 2, canvas.clientHeight / 2 - y];
      state.x += dx / before - dx / side();
      state.y += dy / before - dy / side();
      describe(-1);
    }

    const at = (event) => [event.offsetX, event.offsetY];
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held = at(event);
      if (state.encircling || event.shiftKey) state.lasso = [held];
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (!held) return describe(nearest(x, y));
      if (state.lasso) {
        state.lasso.push([x, y]);
      } else {
        state.x -= (x - held[0]) / side();
        state.y += (y - held[1]) / side();
        held = [x, y];
        tip.hidden = true;
        state.over = -1;
      }
      redraw();
    });
    const release = () => {
      held = null;
      if (!state.lasso) return;
      const polygon = state.lasso;
      state.lasso = null;
      choose((x, y) => polygon.length > 2 && inside(polygon, x, y));
    };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", () => { if (!held) describe(-1); });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls until the map is asked for
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), ...at(event));
    }, { passive: false });

    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    canvas.addEventListener("keydown", (event) => {
      const last = placed().rows.length - 1;
      if (event.key in steps) {
        state.x += (steps[event.key][0] * 0.1) / state.zoom;
        state.y += (steps[event.key][1] * 0.1) / state.zoom;
        redraw();
      } else if (event.key === "+" || event.key === "=") zoom(1.4);
      else if (event.key === "-") zoom(1 / 1.4);
      else if (event.key === "0") reset();
      else if (event.key === ".") describe(state.over >= last ? 0 : state.over + 1);
      else if (event.key === ",") describe(state.over <= 0 ? last : state.over - 1);
      else if (event.key === "Enter")
        choose((x, y) => x >= 0 && y >= 0 && x <= canvas.clientWidth && y <= canvas.clientHeight);
      else if (event.key === "Escape") { choose(() => false); describe(-1); }
      else return;
      event.preventDefault();
    });

    function reset() {
      Object.assign(state, { x: 0.5, y: 0.5, zoom: 1 });
      describe(-1);
    }
    part("nearer").addEventListener("click", () => zoom(1.5));
    part("farther").addEventListener("click", () => zoom(1 / 1.5));
    part("whole").addEventListener("click", reset);
    part("encircle").addEventListener("click", (event) => {
      state.encircling = !state.encircling;
      event.currentTarget.setAttribute("aria-pressed", String(state.encircling));
      canvas.style.touchAction = state.encircling ? "none" : "pan-y";
    });
    part("pictures").addEventListener("change", redraw);
    part("layout").addEventListener("change", (event) => {
      state.layout = event.target.value;
      share();
      choose(() => false);
      describe(-1);
    });
    part("group").addEventListener("change", (event) => {
      state.group = told.groups[event.target.value] ? event.target.value : "";
      state.only = null;
      state.unfolded = false;
      legend();
    });
    new ResizeObserver(redraw).observe(canvas);
    dark.addEventListener("change", legend);
    sheet.addEventListener("load", redraw);
    share();
    legend();
  }

  const drawAll = () => document.querySelectorAll("figure.map").forEach(draw);
  document.addEventListener("selftaught:changed", drawAll);
  drawAll();
})();
