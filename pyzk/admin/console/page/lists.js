// Long lists: only the rows in sight are elements.

import { el } from "./dom.js";

const MAX_PIXELS = 15000000; // browsers cannot make an element much higher

// Rows of one height in a scrolling box. `row(index)` returns the element of a row.
export class VirtualRows {
  constructor({ rowHeight, row, attributes, onwindow }) {
    this.rowHeight = rowHeight;
    this.row = row;
    this.onwindow = onwindow || (() => {});
    this.total = 0;
    this.spacer = el("div", { class: "spacer", role: "presentation" });
    this.element = el("div", { class: "rows", ...attributes }, this.spacer);
    this.element.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.watcher = new ResizeObserver(() => this.schedule());
    this.watcher.observe(this.element);
    this.pending = false;
  }

  get limit() { return Math.floor(MAX_PIXELS / this.rowHeight); }

  setTotal(total) {
    this.total = Math.min(total, this.limit);
    const height = `${this.total * this.rowHeight}px`;
    if (this.spacer.style.height !== height) this.spacer.style.height = height;
    this.schedule();
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  inSight() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / this.rowHeight) - 4);
    const shown = Math.ceil(this.element.clientHeight / this.rowHeight) + 8;
    return [first, Math.min(this.total, first + shown)];
  }

  draw() {
    const [first, end] = this.inSight();
    this.onwindow(first, end);
    const made = [];
    for (let index = first; index < end; index += 1) {
      const row = this.row(index);
      row.style.top = `${index * this.rowHeight}px`;
      row.style.height = `${this.rowHeight}px`;
      made.push(row);
    }
    this.spacer.replaceChildren(...made);
  }

  // Have a row in sight; with others around it if it comes from far away.
  show(index, isFar = false) {
    const top = index * this.rowHeight;
    const box = this.element;
    const isSeen = top >= box.scrollTop && top + this.rowHeight <= box.scrollTop + box.clientHeight;
    if (isFar && !isSeen) box.scrollTop = top - box.clientHeight / 3;
    else if (top < box.scrollTop) box.scrollTop = top;
    else if (top + this.rowHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top + this.rowHeight - box.clientHeight;
    }
  }

  close() { this.watcher.disconnect(); }
}

// A list on the server, of which windows are asked for as they come in sight.
export class RemoteRows {
  constructor({ rowHeight, fetch, row, attributes, onanswer, onerror }) {
    this.fetch = fetch;
    this.make = row;
    this.onanswer = onanswer || (() => {});
    this.onerror = onerror || (() => {});
    this.rows = new Map();
    this.busy = false;
    this.wanted = null;
    this.generation = 0;
    this.list = new VirtualRows({
      rowHeight,
      attributes,
      row: (index) => this.make(this.rows.get(index) || null, index),
      onwindow: (first, end) => this.want(first, end),
    });
    this.element = this.list.element;
  }

  want(first, end) {
    let missing = first;
    while (missing < end && this.rows.has(missing)) missing += 1;
    if (missing < end) this.load(missing, end - missing + 60);
  }

  // Ask anew for what is in sight; the rows stay until the answer comes.
  async refresh() {
    const [first, end] = this.list.inSight();
    await this.load(first, Math.max(60, end - first), true);
  }

  // Forget everything: another list is wanted.
  restart() {
    this.generation += 1;
    this.rows.clear();
    this.busy = false;
    this.list.element.scrollTop = 0;
    return this.load(0, 100, true);
  }

  async load(start, count, replaces = false) {
    if (this.busy) { this.wanted = replaces ? [start, count] : this.wanted; return; }
    this.busy = true;
    const generation = this.generation;
    try {
      const answer = await this.fetch(start, count);
      if (generation !== this.generation) return;
      if (replaces) this.rows.clear();
      answer.rows.forEach((row, at) => this.rows.set(answer.start + at, row));
      this.onanswer(answer);
      this.list.setTotal(answer.total);
    } catch (error) {
      if (generation === this.generation) this.onerror(error);
    } finally {
      if (generation === this.generation) {
        this.busy = false;
        const wanted = this.wanted;
        this.wanted = null;
        if (wanted) this.load(wanted[0], wanted[1], true);
      }
    }
  }

  close() { this.generation += 1; this.list.close(); }
}
