// The overview: what the server is, its numbers, and charts of the last five minutes.

import { Chart } from "./charts.js";
import { badge, bytes, duration, el, number, replace, setText } from "./dom.js";

export const EVERY_MS = 2000;

// The charts live as long as the page, so they go on while another view is open.
const charts = {
  packets: new Chart("Packets", "per second", ["received", "sent"], EVERY_MS),
  latency: new Chart("Latency", "ms, mean of each interval", ["all", "reads", "updates"], EVERY_MS),
  writes: new Chart("Transactions", "per second", ["proposed", "committed"], EVERY_MS),
  disk: new Chart("Log syncs", "ms, mean of each interval", ["fsync"], EVERY_MS),
  clients: new Chart("Clients", "now", ["connections", "sessions"], EVERY_MS),
  waiting: new Chart("Requests under way", "now", ["outstanding"], EVERY_MS),
};
let last = null;

function rate(now, before, seconds) {
  return now >= before ? (now - before) / seconds : null; // srst begins anew
}

function mean(now, before) {
  const count = now.count - before.count;
  return count > 0 ? (now.sum - before.sum) / count : null;
}

export function note(state) {
  const { counters, summaries, gauges } = state.numbers;
  if (last !== null) {
    const seconds = (state.time - last.time) / 1000;
    if (seconds > 0.2) {
      const before = last.numbers;
      const each = (name) => rate(counters[name], before.counters[name], seconds);
      const average = (name) => mean(summaries[name], before.summaries[name]);
      charts.packets.add([each("packets_received"), each("packets_sent")]);
      charts.latency.add([average("latency"), average("readlatency"), average("updatelatency")]);
      charts.writes.add([each("proposal_count"), each("commit_count")]);
      charts.disk.add([average("fsynctime")]);
      charts.clients.add([gauges.connections, gauges.sessions]);
      charts.waiting.add([gauges.outstanding]);
    }
  }
  last = state;
}

export class Overview {
  constructor() {
    this.cells = new Map();
    this.role = el("div", { class: "role" });
    this.facts = el("dl", { class: "facts" });
    this.figures = el("div", { class: "figures" });
    this.summaries = el("tbody");
    this.element = el("div", { class: "view overview" },
      el("section", { class: "card hero", "aria-label": "This server" }, this.role, this.facts),
      this.figures,
      el("section", { class: "charts", "aria-label": "Charts of the last five minutes" }, Object.values(charts).map((each) => each.element)),
      el("section", { class: "card", "aria-label": "Latencies" },
        el("h2", { text: "Latencies since the start" }),
        el("div", { class: "scroll" }, el("table", { class: "numbers" },
          el("thead", {}, el("tr", {}, ["", "count", "min", "mean", "p50", "p99", "max"].map((name) => el("th", { scope: "col", text: name })))),
          this.summaries)),
        el("p", { class: "muted small", text: "Milliseconds. Percentiles are those of the last 4,096 values." })));
  }

  figure(name, value) {
    let cell = this.cells.get(name);
    if (!cell) {
      cell = el("b");
      this.cells.set(name, cell);
      this.figures.append(el("div", { class: "card figure" }, cell, el("span", { class: "muted", text: name })));
    }
    setText(cell, value);
  }

  update(state) {
    const { server, numbers, epochs } = state;
    replace(this.role,
      el("span", { class: "role-name", text: server.sid === null ? "Lone server" : `Server ${server.sid}` }),
      badge(server.mode, server.mode === "leader" ? "good" : server.mode === "looking" ? "bad" : ""),
      server.leader !== null ? el("span", { class: "muted", text: `of server ${server.leader}` }) : null,
      server.serving ? badge("serving", "good") : badge("not serving", "bad"),
      server.readOnly ? badge("read only", "warn") : null);
    const facts = [
      ["zxid", server.zxid],
      ["epoch", epochs === null ? "–" : `${epochs.current} (accepted ${epochs.accepted})`],
      ["up", duration(server.uptimeMs)],
      ["clients at", server.clientAddress + (server.secureClientPort > 0 ? `, TLS ${server.secureClientPort}` : "")],
      ["version", server.version],
    ].filter(([name]) => name !== "epoch" || server.sid !== null);
    replace(this.facts, facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
    const { gauges, counters } = numbers;
    this.figure("znodes", number(gauges.znodes));
    this.figure("data", bytes(gauges.dataBytes));
    this.figure("sessions", number(gauges.sessions));
    this.figure("connections", number(gauges.connections));
    this.figure("ephemerals", number(gauges.ephemerals));
    this.figure("watches", number(gauges.watches));
    this.figure("expired sessions", number(counters.stale_sessions_expired));
    this.figure("refused clients", number(counters.connection_rejected));
    const rows = [["requests", "latency"], ["reads", "readlatency"], ["updates", "updatelatency"], ["log sync", "fsynctime"], ["quorum's ACK", "quorum_ack_latency"], ["snapshot", "snapshottime"], ["election", "election_time"]];
    replace(this.summaries, rows.map(([name, key]) => {
      const told = numbers.summaries[key];
      const cells = [number(told.count), told.min, told.average, told.p50, told.p99, told.max];
      return el("tr", {}, el("th", { scope: "row", text: name }), cells.map((value, at) => el("td", {
        text: at === 0 ? value : told.count ? value === undefined ? "–" : number(value) : "–",
      })));
    }));
  }

  close() {}
}
