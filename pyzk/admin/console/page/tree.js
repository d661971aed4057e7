// The tree: children are asked for in windows as they come in sight, 200,000 of them as well as two.

import { ask, meaning } from "./api.js";
import { badge, el, number, shown, toast } from "./dom.js";
import { VirtualRows } from "./lists.js";
import { NodePanel } from "./node.js";

const ROW = 28;
const WINDOW = 100;
const OPEN_CHARS = 100000;
const DEEP = 100; // to open a path below so many others each is asked for; by hand it goes deeper

export function join(path, name) {
  return path === "/" ? `/${name}` : `${path}/${name}`;
}

// One znode that is open: how many children it has, those that are known, and the open ones.
class Branch {
  constructor(path, name, parent) {
    this.path = path;
    this.name = name;
    this.parent = parent;
    this.place = 0; // among the children of the parent
    this.total = null;
    this.token = null;
    this.rows = new Map();
    this.open = new Map();
    this.failure = null;
    this.loading = null;
  }

  get depth() { return this.parent === null ? 0 : this.parent.depth + 1; }

  // The rows below this one: its children, and what is below those that are open.
  get size() {
    let size = this.failure !== null || this.total === null ? 1 : this.total;
    for (const branch of this.open.values()) size += branch.size;
    return size;
  }

  sorted() {
    return [...this.open.values()].sort((a, b) => a.place - b.place);
  }

  // What stands in the row `index` below this one: {branch, place}; place null is a message.
  at(index) {
    let before = 0;
    for (const branch of this.sorted()) {
      const row = branch.place + before;
      if (index <= row) break;
      if (index <= row + branch.size) return branch.at(index - row - 1);
      before += branch.size;
    }
    const isMessage = this.failure !== null || this.total === null;
    return { branch: this, place: isMessage ? null : index - before };
  }

  // The row of a child, counted from the first row below this one.
  rowOf(place) {
    let row = place;
    for (const branch of this.open.values()) if (branch.place < place) row += branch.size;
    return row;
  }

  // The row of this znode itself in the whole tree; the root is row 0.
  get ownRow() {
    return this.parent === null ? 0 : this.parent.ownRow + 1 + this.parent.rowOf(this.place);
  }
}

export class Tree {
  constructor(go) {
    this.go = go;
    this.root = null;
    this.active = { branch: null, place: null };
    this.chosen = null;
    this.zxid = null;
    this.rows = new VirtualRows({
      rowHeight: ROW,
      row: (index) => this.row(index),
      attributes: { role: "tree", "aria-label": "Znodes", tabindex: "0", class: "rows tree", onkeydown: (event) => this.key(event) },
    });
    this.search = el("input", {
      type: "search", class: "filter mono", placeholder: "Go to /path", "aria-label": "Go to a path", spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    });
    this.panel = new NodePanel((path) => this.go(path), () => this.reload());
    this.element = el("div", { class: "view split tree-view" },
      el("section", { class: "card list" },
        el("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); const value = this.search.value.trim(); if (value) this.go(value.startsWith("/") ? value : `/${value}`); } }, this.search),
        this.rows.element),
      this.panel.element);
    this.opening = this.openRoot();
  }

  async openRoot() {
    this.root = new Branch("/", "/", null);
    this.root.open.clear();
    this.active = { branch: null, place: null };
    await this.load(this.root, 0);
    this.draw();
  }

  // Forget what is known and ask anew: somebody has logged in or out.
  async reset() {
    this.opening = this.openRoot();
    await this.opening;
    if (this.chosen !== null) await this.choose(this.chosen);
  }

  async reload() {
    this.zxid = null;
    await this.refresh();
  }

  // --- what the server says

  // One request for a branch at a time; returns the answer, undefined if there is none.
  async load(branch, start, count = WINDOW, locate = []) {
    while (branch.loading !== null) await branch.loading;
    branch.loading = this.fetch(branch, start, count, locate);
    try {
      return await branch.loading;
    } finally {
      branch.loading = null;
      this.draw();
    }
  }

  async fetch(branch, start, count, locate) {
    try {
      const answer = await ask("children", { path: branch.path, start, count, locate });
      if (answer.token !== branch.token) branch.rows.clear();
      branch.token = answer.token;
      branch.total = Math.min(answer.total, this.rows.limit);
      branch.failure = null;
      answer.rows.forEach((row, at) => branch.rows.set(answer.start + at, row));
      for (const name of locate) {
        const place = answer.located[name];
        const open = branch.open.get(name);
        if (open === undefined) continue;
        if (place === null) branch.open.delete(name);
        else open.place = place;
      }
      return answer;
    } catch (error) {
      branch.failure = error;
      branch.open.clear();
      branch.rows.clear();
      branch.token = null;
      return undefined;
    }
  }

  async expand(branch, place) {
    const row = branch.rows.get(place);
    if (!row || row.cut || row.gone || branch.open.has(row.name)) return;
    const made = new Branch(join(branch.path, row.name), row.name, branch);
    made.place = place;
    branch.open.set(row.name, made);
    this.draw();
    await this.load(made, 0);
  }

  collapse(branch) {
    if (branch.parent === null) return;
    let at = this.active.branch;
    while (at !== null && at !== branch) at = at.parent;
    if (at === branch) this.active = { branch: branch.parent, place: branch.place };
    branch.parent.open.delete(branch.name);
    this.draw();
  }

  branches() {
    const found = [];
    const walk = (branch) => { found.push(branch); branch.open.forEach(walk); };
    if (this.root !== null) walk(this.root);
    return found;
  }

  // The paths whose changes the state is to tell: not too many, nor too long.
  get openPaths() {
    let left = OPEN_CHARS;
    return [this.chosen, ...this.branches().map((each) => each.path)].filter((path) => {
      if (path === null) return false;
      left -= path.length;
      return left > 0;
    }).slice(0, 100);
  }

  update(state) {
    this.panel.update(state);
    if (state.server.zxid === this.zxid) return;
    const isFirst = this.zxid === null;
    this.zxid = state.server.zxid;
    if (!isFirst) this.refresh();
  }

  // Ask anew for what is in sight, of the branches that are in sight.
  async refresh() {
    const [first, end] = this.rows.inSight();
    const seen = new Map();
    for (let index = Math.max(1, first); index < end; index += 1) {
      const { branch, place } = this.root.at(index - 1);
      if (!seen.has(branch)) seen.set(branch, place || 0);
    }
    const kept = this.activeName();
    for (const [branch, place] of [...seen].slice(0, 12)) {
      const names = [...branch.open.keys()];
      const wanted = branch === this.active.branch && kept !== null ? [...names, kept] : names;
      const answer = await this.load(branch, place, WINDOW, wanted);
      if (answer && branch === this.active.branch && kept !== null) {
        const at = answer.located[kept];
        if (at === null) this.active = { branch, place: Math.max(0, Math.min(this.active.place, branch.total - 1)) };
        else this.active = { branch, place: at };
      }
    }
    this.draw();
  }

  // --- from path to path

  // Open everything above a path, and choose it.
  async choose(path) {
    this.chosen = path;
    this.panel.show(path);
    await this.opening;
    let branch = this.root;
    const names = path === "/" ? [] : path.slice(1).split("/");
    this.active = { branch: null, place: null };
    if (names.length > DEEP) { this.draw(); return; }
    for (const [depth, name] of names.entries()) {
      const answer = await this.load(branch, 0, 1, [name]);
      if (path !== this.chosen) return;
      const place = answer ? answer.located[name] : null;
      if (place === null || place === undefined) break;
      if (!branch.rows.has(place)) await this.load(branch, Math.max(0, place - 10));
      this.active = { branch, place };
      const row = branch.rows.get(place);
      if (!branch.open.has(name) && (depth < names.length - 1 || (row && row.children > 0))) await this.expand(branch, place);
      branch = branch.open.get(name);
      if (branch === undefined) break;
      branch.place = place;
    }
    this.draw();
    this.rows.show(this.activeRow(), true);
  }

  activeName() {
    const { branch, place } = this.active;
    const row = branch === null ? null : branch.rows.get(place);
    return row ? row.name : null;
  }

  activeRow() {
    const { branch, place } = this.active;
    return branch === null ? 0 : branch.ownRow + 1 + branch.rowOf(place || 0);
  }

  // --- drawing

  draw() {
    if (this.root === null) return;
    this.rows.setTotal(1 + this.root.size);
    this.rows.element.setAttribute("aria-activedescendant", `row-${this.activeRow()}`);
  }

  row(index) {
    const isActive = index === this.activeRow();
    if (index === 0) {
      return this.item(index, isActive, { path: "/", depth: 0, name: "/", children: this.root.total, isOpen: true, setsize: 1, place: 0 });
    }
    const { branch, place } = this.root.at(index - 1);
    const depth = branch.depth + 1;
    if (place === null) {
      const text = branch.failure === null ? "Loading…" : meaning(branch.failure)[0];
      return el("div", { id: `row-${index}`, class: "row message muted", role: "treeitem", "aria-level": depth + 1 }, this.indent(depth), text);
    }
    const row = branch.rows.get(place);
    if (row === undefined) {
      if (branch.loading === null) this.load(branch, Math.max(0, place - 20));
      return el("div", { id: `row-${index}`, class: "row muted", role: "treeitem", "aria-level": depth + 1 }, this.indent(depth), "…");
    }
    return this.item(index, isActive, {
      ...row, path: join(branch.path, row.name), depth, branch, place,
      isOpen: branch.open.has(row.name), setsize: branch.total,
    });
  }

  indent(depth) {
    const made = el("span", { class: "indent" });
    made.style.width = `${Math.min(depth, 24) * 16}px`;
    return made;
  }

  item(index, isActive, row) {
    const canOpen = row.children > 0 && !row.cut;
    const mark = row.depth === 0 ? "" : canOpen ? (row.isOpen ? "▾" : "▸") : "";
    const isChosen = row.path === this.chosen;
    return el("div", {
      id: `row-${index}`, role: "treeitem", class: `row ${isActive ? "active" : ""} ${isChosen ? "chosen" : ""}`,
      "aria-level": row.depth + 1, "aria-posinset": row.place + 1, "aria-setsize": row.setsize,
      "aria-expanded": canOpen || row.depth === 0 ? String(row.isOpen) : null, "aria-selected": String(isChosen),
      title: row.cut ? "The name is too long to be shown whole" : null,
      onclick: (event) => this.click(event, row),
    },
    this.indent(row.depth),
    el("span", { class: "mark", "aria-hidden": "true", text: mark }),
    el("span", { class: "name mono", text: shown(row.name) + (row.cut ? "…" : "") }),
    row.locked ? badge("no access", "warn") : null,
    row.gone ? badge("deleted", "warn") : null,
    row.kind && row.kind !== "persistent" ? badge(row.kind, row.kind === "ephemeral" ? "info" : "") : null,
    el("span", { class: "amount muted", text: row.children ? number(row.children) : "" }));
  }

  click(event, row) {
    this.rows.element.focus({ preventScroll: true });
    if (row.depth > 0) this.active = { branch: row.branch, place: row.place };
    else this.active = { branch: null, place: null };
    const onMark = event.target.classList.contains("mark");
    if (row.depth > 0 && row.children > 0 && (onMark || !row.isOpen)) {
      if (row.isOpen) this.collapse(row.branch.open.get(row.name));
      else this.expand(row.branch, row.place);
    }
    if (onMark) this.draw();
    else this.open(row);
  }

  open(row) {
    if (row.cut) { toast("This name is too long to be opened here.", "warn"); return; }
    this.go(row.path);
  }

  // --- the keyboard: as the tree pattern of ARIA has it

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const total = this.rows.total;
    const at = this.activeRow();
    const page = Math.max(1, Math.floor(this.rows.element.clientHeight / ROW) - 1);
    const { branch, place } = this.active;
    const row = branch === null ? null : branch.rows.get(place);
    switch (event.key) {
      case "ArrowDown": this.move(at + 1); break;
      case "ArrowUp": this.move(at - 1); break;
      case "PageDown": this.move(Math.min(total - 1, at + page)); break;
      case "PageUp": this.move(Math.max(0, at - page)); break;
      case "Home": this.move(0); break;
      case "End": this.move(total - 1); break;
      case "ArrowRight":
        if (row && row.children > 0 && !branch.open.has(row.name)) this.expand(branch, place);
        else if (branch === null || (row && branch.open.has(row.name))) this.move(at + 1);
        break;
      case "ArrowLeft":
        if (row && branch.open.has(row.name)) this.collapse(branch.open.get(row.name));
        else if (branch !== null) this.move(branch.ownRow);
        break;
      case "Enter": case " ":
        if (branch === null) this.go("/");
        else if (row) this.open({ ...row, path: join(branch.path, row.name) });
        break;
      case "/": this.search.focus(); break;
      default: return;
    }
    event.preventDefault();
  }

  move(index) {
    if (index < 0 || index >= this.rows.total) return;
    if (index === 0) this.active = { branch: null, place: null };
    else {
      const { branch, place } = this.root.at(index - 1);
      if (place === null) return;
      this.active = { branch, place };
    }
    this.rows.show(index);
    this.draw();
  }

  close() { this.rows.close(); this.panel.close(); }
}


