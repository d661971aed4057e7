// The data of a znode, as text, as JSON and in hexadecimal.

import { ask, fromBase64 } from "./api.js";
import { bytes, el, number, replace, toast } from "./dom.js";
import { pretty } from "./json.js";
import { VirtualRows } from "./lists.js";

const PIECE = 1 << 18;
const COLOURED = 1 << 16; // characters of JSON up to which its parts are coloured
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

export function textOf(data) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}

function parses(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try { JSON.parse(text); return true; } catch { return false; }
}

function hexRow(data, index, width) {
  const part = data.subarray(index * width, (index + 1) * width);
  const digits = Array.from(part, (each) => each.toString(16).padStart(2, "0"));
  while (digits.length < width) digits.push("  ");
  const letters = Array.from(part, (each) => (each > 31 && each < 127 ? String.fromCharCode(each) : "·")).join("");
  const half = width / 2;
  return `${(index * width).toString(16).padStart(8, "0")}  ${digits.slice(0, half).join(" ")}  ${digits.slice(half).join(" ")}  ${letters}`;
}

export class DataCard {
  constructor() {
    this.mode = null; // what the visitor has chosen
    this.body = el("div", { class: "data-body" });
    this.size = el("span", { class: "muted" });
    this.more = el("button", { type: "button", class: "quiet", onclick: () => this.loadAll(), hidden: true });
    this.save = el("button", { type: "button", class: "quiet", text: "Download", onclick: () => this.download() });
    this.buttons = ["text", "json", "hex"].map((mode) => el("button", {
      type: "button", "data-mode": mode, text: { text: "Text", json: "JSON", hex: "Hex" }[mode],
      onclick: () => { this.mode = mode; this.draw(); },
    }));
    this.element = el("section", { class: "card data", "aria-label": "Data" },
      el("div", { class: "bar" }, el("h2", { text: "Data" }), this.size, el("span", { class: "space" }),
        el("div", { class: "segmented", role: "group", "aria-label": "Show as" }, this.buttons), this.more, this.save),
      this.body);
    this.rows = null;
  }

  // `told` is the first piece, as the server has sent it with the znode.
  show(path, token, told) {
    if (path !== this.path) this.mode = null;
    const data = fromBase64(told.base64);
    const isSame = path === this.path && token === this.token;
    if (isSame && this.data && this.data.length >= data.length) return;
    this.path = path;
    this.token = token;
    this.length = told.length;
    this.isNull = told.null;
    this.data = data;
    this.draw();
  }

  get isWhole() { return this.data.length >= this.length; }

  // The first pieces of a character that the cut has split are left out.
  get text() {
    for (let cut = 0; cut <= (this.isWhole ? 0 : 3); cut += 1) {
      const text = textOf(cut ? this.data.subarray(0, this.data.length - cut) : this.data);
      if (text !== null) return text;
    }
    return null;
  }

  draw() {
    const text = this.text;
    const canText = text !== null && !CONTROL.test(text);
    const canJson = this.isWhole && text !== null && parses(text);
    const mode = this.mode || (canJson ? "json" : canText ? "text" : "hex");
    this.size.textContent = this.isNull ? "null" : bytes(this.length) + (this.length >= 1024 ? ` (${number(this.length)} B)` : "");
    this.more.hidden = this.isWhole;
    this.more.textContent = `Load all ${bytes(this.length)}`;
    this.save.hidden = this.length === 0;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    if (this.rows !== null) { this.rows.close(); this.rows = null; }
    const note = this.isWhole ? null : el("p", { class: "muted small", text: `The first ${bytes(this.data.length)} of ${bytes(this.length)}.` });
    if (this.length === 0) {
      replace(this.body, el("p", { class: "muted", text: this.isNull ? "The data is null." : "The data is empty." }));
    } else if (mode === "hex") replace(this.body, note, this.hex());
    else if (mode === "text") {
      replace(this.body, note, text === null ? el("p", { class: "muted", text: "This is no UTF-8. Look at it as Hex." })
        : el("pre", { class: "content", tabindex: "0", text }));
    } else if (canJson) replace(this.body, this.json(text));
    else replace(this.body, el("p", { class: "muted", text: this.isWhole ? "This is no JSON object or array." : "Load all of it to see it as JSON." }));
  }

  // JSON that would be too long with its lines indented is shown as it is.
  json(text) {
    const parts = pretty(text);
    if (parts === null) {
      return [el("p", { class: "muted small", text: "Shown as it is: indented it would be too long for this page." }),
        el("pre", { class: "content", tabindex: "0", text })];
    }
    if (text.length > COLOURED) return el("pre", { class: "content", tabindex: "0", text: parts.map((each) => each[1]).join("") });
    return el("pre", { class: "content", tabindex: "0" }, parts.map(([kind, part]) => (kind ? el("span", { class: `json-${kind}`, text: part }) : part)));
  }

  hex() {
    const width = window.matchMedia("(max-width: 760px)").matches ? 8 : 16;
    this.rows = new VirtualRows({
      rowHeight: 20,
      row: (index) => el("div", { class: "row hex", text: hexRow(this.data, index, width) }),
      attributes: { class: "rows content hex-rows", tabindex: "0", "aria-label": "Data in hexadecimal" },
    });
    const count = Math.ceil(this.data.length / width);
    this.rows.element.style.height = `${Math.min(24, count) * 20 + 2}px`;
    this.rows.setTotal(count);
    return this.rows.element;
  }

  // Ask for what is missing; if the data changes meanwhile, begin again.
  async loadAll() {
    const { path } = this;
    this.more.disabled = true;
    try {
      for (let tries = 0; tries < 4 && path === this.path; tries += 1) {
        const parts = [];
        let offset = 0;
        let token = null;
        let length = 1;
        while (offset < length) {
          const told = await ask("data", { path, offset, length: PIECE });
          if (token !== null && told.token !== token) break;
          token = told.token;
          length = told.length;
          const part = fromBase64(told.base64);
          if (part.length === 0) break;
          parts.push(part);
          offset += part.length;
        }
        if (offset < length || path !== this.path) continue;
        const whole = new Uint8Array(length);
        offset = 0;
        for (const part of parts) { whole.set(part, offset); offset += part.length; }
        this.data = whole;
        this.length = length;
        this.token = token;
        this.draw();
        return true;
      }
    } catch (error) {
      toast(error.message, "bad");
    } finally {
      this.more.disabled = false;
    }
    return false;
  }

  async download() {
    if (!this.isWhole && !(await this.loadAll())) return;
    const name = (this.path.split("/").pop() || "root").replace(/[^A-Za-z0-9._-]/g, "_");
    const url = URL.createObjectURL(new Blob([this.data], { type: "application/octet-stream" }));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  close() { if (this.rows !== null) this.rows.close(); }
}
