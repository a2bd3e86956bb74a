"use strict";
(() => {
  const read = (id) => {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  };
  // Expressions are interpreted, since the page's policy allows no code made of text.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };

  // --- theme -------------------------------------------------------------------------------------
  const THEMES = ["auto", "light", "dark"];
  const WORDS = { auto: "theme: as the system", light: "theme: light", dark: "theme: dark" };
  const button = document.getElementById("theme");
  let theme = "auto";
  const show = (next) => {
    theme = next;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = WORDS[theme];
  };
  const remembered = () => {
    try {
      return localStorage.getItem("bibench-theme");
    } catch {
      return null; // a browser that keeps nothing for files
    }
  };
  button.addEventListener("click", () => {
    show(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
    try {
      localStorage.setItem("bibench-theme", theme);
    } catch {
      return; // it holds until the page is closed, then
    }
  });
  const before = remembered();
  if (THEMES.includes(before)) show(before);

  // --- charts ------------------------------------------------------------------------------------
  const draw = async (place, spec) => {
    try {
      await vegaEmbed(place, spec, options);
      place.classList.add("drawn");
    } catch (error) {
      place.textContent = `this chart could not be drawn (${error.message}); its numbers are in the table`;
      place.classList.add("failed", "drawn");
      console.error(error);
    }
  };
  const breath = () => new Promise((resume) => setTimeout(resume));
  const drawAll = async () => {
    for (const [name, spec] of Object.entries(read("charts") ?? {})) {
      await draw(document.getElementById(name), spec);
      await breath(); // so that the page can be read meanwhile
    }
    document.documentElement.dataset.charts = "drawn";
  };

  // --- measurements: samples and conditions of one row -------------------------------------------
  const rows = read("rows");
  const NS_PER_MS = 1e6;
  const make = (name, text, more = {}) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(more)) element.setAttribute(key, value);
    return element;
  };
  const digits = (value) => (value / NS_PER_MS).toPrecision(4);

  const strip = (found) => {
    const samples = found.ns.map((ns, place) => ({ run: found.at ? found.at[place] : place + 1, ms: ns / NS_PER_MS }));
    const turns = found.turns.map(([first, last, median], place) => ({
      turn: place + 1, first: first - 0.5, last: last + 0.5, median: median / NS_PER_MS,
    }));
    return { ...rows.spec, datasets: { samples, turns } };
  };
  const turnTable = (found) => {
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const name of ["turn", "runs", "median ms", "least ms", "greatest ms"]) head.append(make("th", name, { scope: "col", class: "figure" }));
    const body = table.createTBody();
    found.turns.forEach(([first, last, ...values], place) => {
      const line = body.insertRow();
      for (const text of [place + 1, last - first + 1, ...values.map(digits)]) line.append(make("td", text, { class: "figure" }));
    });
    const frame = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": "Turns" });
    frame.append(table);
    return frame;
  };
  const conditions = (number) => {
    const list = make("dl");
    rows.names.forEach((name, place) => {
      const line = make("div");
      line.append(make("dt", name), make("dd", rows.facts[number][place] ?? rows.same[place]));
      list.append(line);
    });
    return list;
  };
  const panel = (number, identifier) => {
    const found = rows.samples[number];
    const inside = make("div", undefined, { class: "panel" });
    const said = found.at
      ? `${found.ns.length} of ${found.of} samples are in this page: the least and the greatest of each of ${Math.floor(found.ns.length / 2)} or so equal pieces. The turns are of all.`
      : `all ${found.of} samples`;
    const turns = make("details");
    turns.append(make("summary", `Turns (${found.turns.length})`), turnTable(found));
    const facts = make("details");
    facts.append(make("summary", "Conditions and everything else that is known"), conditions(number));
    const chart = make("div", undefined, { class: "chart", role: "img", "aria-label": `samples of ${identifier} in the order of measuring` });
    inside.append(make("p", `Dots are runs, red lines the medians of the turns; ${said}.`), chart, turns, facts);
    return { inside, chart, found };
  };
  const toggle = (opener) => {
    const line = opener.closest("tr");
    const open = opener.getAttribute("aria-expanded") === "true";
    opener.setAttribute("aria-expanded", String(!open));
    if (open) {
      line.nextElementSibling.remove();
      return;
    }
    const { inside, chart, found } = panel(Number(opener.dataset.row), opener.textContent);
    const cell = make("td", undefined, { colspan: String(line.cells.length) });
    cell.append(inside);
    const below = make("tr", undefined, { class: "inside" });
    below.append(cell);
    line.after(below);
    draw(chart, strip(found));
  };
  const list = document.querySelector("#measurements, #devices");
  list?.addEventListener("click", (event) => {
    const opener = event.target.closest("button.open");
    if (opener) toggle(opener);
  });
  const filter = document.getElementById("filter");
  filter?.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = [...list.querySelectorAll("tbody > tr:not(.inside)")].filter((line) => !line.closest(".panel"));
    let shown = 0;
    for (const line of lines) {
      // Beginnings, so that "stable" does not show what is unstable.
      const parts = [...line.cells].flatMap((cell) => cell.textContent.toLowerCase().split(/\s+/));
      const hit = words.every((word) => parts.some((part) => part.startsWith(word)));
      line.hidden = !hit;
      if (line.nextElementSibling?.classList.contains("inside")) line.nextElementSibling.hidden = !hit;
      shown += hit;
    }
    document.getElementById("filtered").textContent = words.length ? `${shown} of ${lines.length}` : "";
  });

  drawAll();
})();
