// Small charts of the last minutes, drawn as SVG.

import { el, number, setText, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;
const LEFT = 40;
const BOTTOM = 6;
export const POINTS = 150;

function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 5, 10]) if (step * power >= value) return step * power;
  return 10 * power;
}

function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  return String(+value.toFixed(value < 10 ? 2 : 0));
}

// One chart with a line for each series. A value that is not known is null, and leaves a gap.
export class Chart {
  constructor(title, unit, series, everyMs) {
    this.title = title;
    this.unit = unit;
    this.everyMs = everyMs;
    this.series = series.map((name, at) => ({
      name, values: [], path: svg("path", { class: `line line-${at}` }), now: el("b", { text: "–" }),
      dot: svg("circle", { class: `dot dot-${at}`, r: 3, visibility: "hidden" }),
    }));
    this.cursor = svg("line", { class: "cursor", y1: 2, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.when = el("span", { class: "muted" });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" },
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: 6, y2: 6 }),
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
      svg("line", { class: "grid base", x1: LEFT, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
      this.series.map((each) => each.path), this.cursor, this.series.map((each) => each.dot));
    this.labels = el("div", { class: "chart-axis", "aria-hidden": "true" }, el("span"), el("span"), el("span", { text: "0" }));
    this.element = el("figure", { class: "card chart" },
      el("figcaption", {}, el("span", { class: "chart-title", text: title }), el("span", { class: "muted", text: unit }), this.when),
      el("div", { class: "chart-box" }, this.labels, this.picture),
      el("div", { class: "legend" }, this.series.map((each, at) => el("span", { class: `key key-${at}` }, `${each.name} `, each.now))));
    this.picture.addEventListener("pointermove", (event) => this.point(event));
    this.picture.addEventListener("pointerleave", () => { this.at = null; this.draw(); });
    this.at = null;
  }

  add(values) {
    this.series.forEach((each, at) => {
      each.values.push(values[at]);
      if (each.values.length > POINTS) each.values.shift();
    });
    this.draw();
  }

  point(event) {
    const box = this.picture.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH;
    const count = this.series[0].values.length;
    const at = count - 1 - Math.round((WIDTH - x) / (WIDTH - LEFT) * (POINTS - 1));
    this.at = at >= 0 && at < count ? at : null;
    this.draw();
  }

  draw() {
    const known = this.series.flatMap((each) => each.values.filter((value) => value !== null));
    const most = ceiling(Math.max(0, ...known));
    const x = (at, count) => WIDTH - (count - 1 - at) * (WIDTH - LEFT) / (POINTS - 1);
    const y = (value) => HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - 6);
    setText(this.labels.children[0], short(most));
    setText(this.labels.children[1], short(most / 2));
    const said = [];
    for (const each of this.series) {
      const count = each.values.length;
      let path = "";
      let isOpen = false;
      each.values.forEach((value, at) => {
        if (value === null) { isOpen = false; return; }
        path += `${isOpen ? "L" : "M"}${x(at, count).toFixed(1)} ${y(value).toFixed(1)}`;
        isOpen = true;
      });
      each.path.setAttribute("d", path);
      const at = this.at === null ? count - 1 : this.at;
      const value = count ? each.values[at] : null;
      setText(each.now, number(value));
      const isPointed = this.at !== null && value !== null;
      each.dot.setAttribute("visibility", isPointed ? "visible" : "hidden");
      if (isPointed) {
        each.dot.setAttribute("cx", x(at, count));
        each.dot.setAttribute("cy", y(value));
      }
      said.push(`${each.name} ${number(value)}`);
    }
    const count = this.series[0].values.length;
    this.cursor.setAttribute("visibility", this.at === null ? "hidden" : "visible");
    if (this.at !== null) {
      const place = x(this.at, count);
      this.cursor.setAttribute("x1", place);
      this.cursor.setAttribute("x2", place);
    }
    setText(this.when, this.at === null ? "" : `${Math.round((count - 1 - this.at) * this.everyMs / 1000)} s ago`);
    this.picture.setAttribute("aria-label", `${this.title}, ${this.unit}: ${said.join(", ")}`);
  }
}
