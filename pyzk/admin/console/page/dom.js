// Elements, numbers and times. Whatever a server or a client has said becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return made;
}

export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((each) => each !== null && each !== undefined));
}

// Control characters and what turns the direction of text are shown as what they are.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function shown(name) {
  return name.replace(UNSEEN, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// A path as part of an address; half characters, which names of old servers may have, become marks.
export function address(path) {
  const whole = path.toWellFormed ? path.toWellFormed() : path;
  return encodeURI(whole).replace(/#/g, "%23").replace(/\?/g, "%3F");
}

const whole = new Intl.NumberFormat("en");

export function number(value) {
  if (value === null || value === undefined) return "–";
  return Number.isInteger(value) ? whole.format(value) : value.toFixed(value < 10 ? 2 : 1);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let size = value / 1024;
  let at = 0;
  while (size >= 1024 && at < units.length - 1) { size /= 1024; at += 1; }
  return `${size.toFixed(size < 10 ? 1 : 0)} ${units[at]}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${(ms / 1000).toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

export function moment(ms) {
  if (!ms) return "–";
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return String(ms);
  return date.toISOString().replace("T", " ").replace("Z", " UTC");
}

export function clock(ms) {
  return new Date(ms).toTimeString().slice(0, 8);
}

export function badge(text, kind) {
  return el("span", { class: `badge ${kind || ""}`, text });
}

export function empty(title, text) {
  return el("div", { class: "empty" }, el("p", { class: "empty-title", text: title }), text ? el("p", { text }) : null);
}

export function toast(text, kind) {
  const made = el("div", { class: `toast ${kind || ""}`, text });
  document.getElementById("toasts").append(made);
  setTimeout(() => made.remove(), 6000);
}

// Put text into an element only if it is another one: no flicker, and selections stay.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
