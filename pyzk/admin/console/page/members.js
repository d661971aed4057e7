// The ensemble: every member, as far as this server knows it.

import { badge, bytes, duration, el, empty, number, replace } from "./dom.js";

const COLUMNS = ["server", "role", "state", "last zxid", "lag", "queue", "round trip", "heard", "addresses"];

function cell(name, content, isNumber) {
  return el("td", { "data-label": name, class: isNumber ? "n" : null }, content);
}

export class Members {
  constructor() {
    this.body = el("tbody");
    this.note = el("p", { class: "muted small" });
    this.table = el("div", { class: "card scroll" }, el("table", { class: "members stacked" },
      el("thead", {}, el("tr", {}, COLUMNS.map((name, at) => el("th", { scope: "col", class: at > 2 && at < 8 ? "n" : null, text: name })))),
      this.body));
    this.element = el("div", { class: "view" }, el("h1", { text: "Ensemble" }), this.table, this.note);
    this.alone = empty("This server stands alone", "It is no member of an ensemble, so there is nobody else to show.");
  }

  update(state) {
    const told = state.members;
    if (told === null) { replace(this.element, el("h1", { text: "Ensemble" }), this.alone); return; }
    replace(this.body, told.members.map((each) => this.row(each, told.leader)));
    const observers = told.observers === null || !told.observers.length ? "" :
      ` Observers behind this server: ${told.observers.map((each) => `${each.sid} (${each.state})`).join(", ")}.`;
    this.note.textContent = `${told.leader === null ? "Nobody leads now. " : ""}Configuration ${told.version}. `
      + (state.server.mode === "leader"
        ? "Lag is the number of transactions that a member has not acknowledged; the round trip is that of a PING."
        : "This server knows its leader and itself; what it does not know is shown as –. The leader's console knows more.")
      + observers;
  }

  row(each, leader) {
    const role = each.role || (each.sid === leader ? "leader" : null);
    const lag = each.lag === null ? "–" : each.lag === 0 ? "0" : number(each.lag);
    const kind = role === "leader" ? "good" : role === "looking" ? "bad" : "";
    return el("tr", { class: each.self ? "self" : null, "data-sid": each.sid },
      el("th", { scope: "row", "data-label": "server" }, String(each.sid), each.self ? el("span", { class: "muted", text: " this server" }) : null),
      cell("role", role ? badge(role, kind) : each.isObserver ? "observer" : "–"),
      cell("state", [each.state || "–", each.note ? el("div", { class: "muted small", text: each.note }) : null]),
      cell("last zxid", el("span", { class: "mono", text: each.zxid || "–" }), true),
      cell("lag", lag, true),
      cell("queue", bytes(each.queuedBytes), true),
      cell("round trip", each.roundTripMs === null ? "–" : each.roundTripMs < 1 ? "< 1 ms" : duration(each.roundTripMs), true),
      cell("heard", each.heardMs === null ? "–" : each.heardMs === 0 ? "now" : `${duration(each.heardMs)} ago`, true),
      cell("addresses", [each.address ? el("span", { class: "mono small", text: each.address }) : "–",
        each.client ? el("div", { class: "mono small muted", text: `clients ${each.client}` }) : null]));
  }

  close() {}
}
