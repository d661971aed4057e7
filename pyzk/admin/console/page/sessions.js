// Sessions with their ephemerals and watches, and the watches by path.

import { ask, meaning } from "./api.js";
import { address, badge, duration, el, empty, moment, number, replace, shown } from "./dom.js";
import { RemoteRows } from "./lists.js";

function pathLink(path) {
  return el("a", { class: "mono path", href: `#/tree${address(path)}`, text: shown(path) });
}

function problem(error) {
  return empty(...meaning(error));
}

function filterBox(label, onchange) {
  let timer = null;
  return el("input", {
    type: "search", class: "filter", placeholder: label, "aria-label": label, spellcheck: "false", autocomplete: "off",
    oninput: (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => onchange(event.target.value), 200);
    },
  });
}

// A list on the left, and what belongs to the chosen row on the right.
class ListView {
  constructor(title, label, rowHeight, question) {
    this.filter = "";
    this.chosen = null;
    this.count = el("span", { class: "muted" });
    this.problem = el("div");
    this.detail = el("section", { class: "card detail", "aria-live": "polite" });
    this.remote = new RemoteRows({
      rowHeight,
      fetch: (start, count) => ask(question, { start, count, filter: this.filter }),
      row: (row, index) => this.row(row, index),
      onanswer: (answer) => this.answered(answer),
      onerror: (error) => this.failed(error),
      attributes: { role: "listbox", "aria-label": title, tabindex: "0", onkeydown: (event) => this.key(event) },
    });
    this.at = 0;
    this.element = el("div", { class: "view split" },
      el("section", { class: "card list" },
        el("div", { class: "bar" }, el("h1", { text: title }), this.count,
          filterBox(label, (value) => { this.filter = value; this.at = 0; this.remote.restart(); })),
        this.problem, this.remote.element),
      this.detail);
    this.remote.restart();
    this.ticks = 0;
  }

  answered(answer) {
    replace(this.problem, answer.of === 0 ? this.nothing() : answer.total === 0 ? empty("No match", `None of ${number(answer.of)} has this text.`) : null);
    this.count.textContent = answer.total === answer.of ? number(answer.of) : `${number(answer.total)} of ${number(answer.of)}`;
  }

  failed(error) {
    replace(this.problem, problem(error));
    this.remote.rows.clear();
    this.remote.list.setTotal(0);
  }

  update() {
    this.remote.refresh();
    this.refreshDetail();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.remote.element.clientHeight / this.remote.list.rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" || event.key === " ") {
      const row = this.remote.rows.get(this.at);
      if (row) this.choose(row, this.at);
    } else if (event.key in steps) {
      this.at = Math.max(0, Math.min(this.remote.list.total - 1, this.at + steps[event.key]));
      this.remote.list.show(this.at);
      this.remote.list.schedule();
    } else return;
    event.preventDefault();
  }

  option(index, isChosen, ...content) {
    const id = `option-${index}`;
    if (index === this.at) this.remote.element.setAttribute("aria-activedescendant", id);
    return el("div", {
      id, role: "option", class: `row ${index === this.at ? "active" : ""} ${isChosen ? "chosen" : ""}`,
      "aria-selected": isChosen ? "true" : "false", "aria-posinset": index + 1, "aria-setsize": this.remote.list.total,
      onclick: () => { const row = this.remote.rows.get(index); this.at = index; if (row) this.choose(row, index); },
    }, ...content);
  }

  async choose(row, index) {
    this.chosen = this.keyOf(row);
    this.at = index;
    this.remote.list.schedule();
    await this.refreshDetail();
    if (window.matchMedia("(max-width: 760px)").matches) this.detail.scrollIntoView({ block: "start" });
  }

  close() { this.remote.close(); }
}

export class Sessions extends ListView {
  constructor() {
    super("Sessions", "Filter by id or client address", 44, "sessions");
    replace(this.detail, empty("No session chosen", "Choose one to see its ephemerals and watches."));
  }

  keyOf(row) { return row.id; }
  nothing() { return empty("No sessions", "Nobody is connected, and no session waits for its client."); }

  row(row, index) {
    if (row === null) return this.option(index, false, el("span", { class: "muted", text: "…" }));
    const client = row.client;
    return this.option(index, row.id === this.chosen,
      el("div", { class: "row-main" },
        el("span", { class: "mono", text: row.id }),
        row.local ? badge("local") : null, row.closing ? badge("closing", "warn") : null,
        client && client.secure ? badge("TLS", "good") : null,
        client && client.stalled ? badge("stalled", "warn") : null),
      el("div", { class: "row-sub muted" },
        client ? client.address : row.member === null ? "client elsewhere or gone" : `at server ${row.member}`,
        ` · timeout ${duration(row.timeoutMs)}`,
        row.ephemerals ? ` · ${number(row.ephemerals)} ephemeral${row.ephemerals === 1 ? "" : "s"}` : "",
        row.watches ? ` · ${number(row.watches)} watch${row.watches === 1 ? "" : "es"}` : ""));
  }

  async refreshDetail() {
    const id = this.chosen;
    if (id === null) return;
    try {
      const told = await ask("session", { id });
      if (id === this.chosen) this.show(told);
    } catch (error) {
      if (id !== this.chosen) return;
      if (error.code === "NO_SESSION") {
        replace(this.detail, empty(`Session ${id} is over`, "It was closed or has expired; its ephemerals are gone with it."));
      } else replace(this.detail, problem(error));
    }
  }

  show(told) {
    const client = told.client;
    const facts = [
      ["timeout", duration(told.timeoutMs)],
      ["expires in", told.expiresInMs === null ? "the leader knows" : duration(told.expiresInMs)],
      ["member", told.member === null ? "–" : `server ${told.member}`],
      ...(client ? [
        ["client", client.address + (client.secure ? " (TLS)" : "")],
        ["connected since", moment(client.since)],
        ["packets", `${number(client.received)} received, ${number(client.sent)} sent`],
        ["under way", number(client.outstanding)],
        ["last operation", client.lastOperation],
        ["latency", `mean ${duration(client.averageLatencyMs)}, max ${duration(client.maxLatencyMs)}`],
      ] : [["client", "not connected to this server"]]),
    ];
    replace(this.detail,
      el("h2", { class: "mono", text: told.id }),
      el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value })))),
      this.paths("Ephemerals", told.ephemeralPaths, null),
      told.watchedPaths ? this.paths("Watches", told.watchedPaths, told.watchedPaths.kinds)
        : el("p", { class: "muted small", text: "Watches are known to the server that the client is connected to." }));
  }

  paths(title, told, kinds) {
    const left = told.visible - told.paths.length;
    return el("section", { class: "paths", "data-list": title.toLowerCase() },
      el("h3", {}, title, el("span", { class: "muted", text: ` ${number(told.visible + told.hidden)}` })),
      told.paths.length ? el("ul", {}, told.paths.map((path, at) => el("li", {}, pathLink(path),
        kinds ? el("span", { class: "muted small", text: ` ${kinds[at].join(", ")}` }) : null))) : null,
      left > 0 ? el("p", { class: "muted small", text: `and ${number(left)} more` }) : null,
      told.hidden > 0 ? el("p", { class: "muted small", text: `${number(told.hidden)} that you may not read` }) : null,
      told.visible + told.hidden === 0 ? el("p", { class: "muted small", text: "none" }) : null);
  }
}

export class Watches extends ListView {
  constructor() {
    super("Watches", "Filter by path", 44, "watches");
    replace(this.detail, empty("No path chosen", "Choose one to see who watches it."));
    this.hidden = el("p", { class: "muted small" });
    this.element.querySelector(".list").append(this.hidden);
  }

  keyOf(row) { return row.path; }
  nothing() { return empty("No watches to show", "No client of this server watches a path that you may read."); }

  answered(answer) {
    super.answered(answer);
    this.hidden.textContent = answer.hidden ? `${number(answer.hidden)} watched paths that you may not read` : "";
    for (const row of answer.rows) if (row.path === this.chosen) this.show(row);
  }

  row(row, index) {
    if (row === null) return this.option(index, false, el("span", { class: "muted", text: "…" }));
    return this.option(index, row.path === this.chosen,
      el("div", { class: "row-main" }, el("span", { class: "mono clip", text: shown(row.path) }), row.exists ? null : badge("not there", "warn")),
      el("div", { class: "row-sub muted", text: `${number(row.watchers)} watcher${row.watchers === 1 ? "" : "s"}` }));
  }

  async choose(row, index) {
    this.show(row);
    await super.choose(row, index);
  }

  async refreshDetail() {}

  show(row) {
    replace(this.detail,
      el("h2", { class: "mono wrap" }, row.exists ? pathLink(row.path) : shown(row.path)),
      el("table", { class: "stacked" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "session" }), el("th", { scope: "col", text: "watches" }))),
        el("tbody", {}, row.sessions.map((each) => el("tr", {},
          el("td", { class: "mono", "data-label": "session", text: each.id }),
          el("td", { "data-label": "watches", text: each.kinds.join(", ") }))))),
      row.watchers > row.sessions.length ? el("p", { class: "muted small", text: `and ${number(row.watchers - row.sessions.length)} more` }) : null);
  }
}

export { filterBox, problem };
