// The console: one page whose views change with the part of the address behind the #.

import { ask, meaning, user } from "./api.js";
import { address, badge, clock, el, empty, replace, setText, toast } from "./dom.js";
import { Members } from "./members.js";
import { EVERY_MS, Overview, note } from "./overview.js";
import { Sessions, Watches } from "./sessions.js";
import { Tree } from "./tree.js";
import { askWho } from "./write.js";

const VIEWS = [["overview", "Overview"], ["tree", "Tree"], ["sessions", "Sessions"], ["watches", "Watches"], ["ensemble", "Ensemble"], ["log", "Log"]];
const LINES = 1000;
const main = document.getElementById("main");
const banner = document.getElementById("banner");

let view = null;
let viewName = null;
let state = null;
let lost = null; // when the server was heard last, while it is not heard
let lines = [];
let lastLine = 0;
let timer = null;
let isAsking = false;

class Log {
  constructor() {
    this.level = "INFO";
    this.list = el("ol", { class: "log", tabindex: "0", "aria-label": "The last lines of the log" });
    const select = el("select", { "aria-label": "Least level", onchange: () => { this.level = select.value; this.draw(); } },
      ["INFO", "WARNING", "ERROR"].map((value) => el("option", { value, text: `${value} and above` })));
    this.element = el("div", { class: "view" }, el("div", { class: "bar" }, el("h1", { text: "Log" }),
      el("span", { class: "muted", text: "the last lines of this server" }), el("span", { class: "space" }), select),
    el("section", { class: "card log-card" }, this.list));
    this.drawn = -1;
  }

  update() { if (this.drawn !== lastLine) this.draw(); }

  draw() {
    this.drawn = lastLine;
    const order = ["INFO", "WARNING", "ERROR", "CRITICAL"];
    const least = order.indexOf(this.level);
    const box = this.list;
    const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
    const told = lines.filter((each) => order.indexOf(each.level) >= least);
    replace(box, told.length ? told.map((each) => el("li", { class: `log-line ${each.level.toLowerCase()}` },
      el("time", { class: "mono muted", datetime: new Date(each.time).toISOString(), title: new Date(each.time).toISOString(), text: clock(each.time) }),
      el("span", { class: "level", text: each.level.toLowerCase() }),
      el("span", { class: "logger muted", text: each.logger.replace(/^pyzk\./, "") }),
      el("span", { class: "message", text: each.message })))
      : el("li", { class: "empty", text: "No lines yet." }));
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }

  close() {}
}

function make(name) {
  switch (name) {
    case "tree": return new Tree((path) => { location.hash = `#/tree${address(path)}`; });
    case "sessions": return new Sessions();
    case "watches": return new Watches();
    case "ensemble": return new Members();
    case "log": return new Log();
    default: return new Overview();
  }
}

function pathOf(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  const [, name, rest] = location.hash.match(/^#\/([a-z]+)(.*)$/s) || [null, "overview", ""];
  const known = VIEWS.some(([each]) => each === name) ? name : "overview";
  if (known !== viewName) {
    if (view !== null) view.close();
    viewName = known;
    view = make(known);
    replace(main, view.element);
    if (state !== null) view.update(state);
    document.title = `${VIEWS.find(([each]) => each === known)[1]} · pyzk console`;
  }
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.dataset.view === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (known === "tree") {
    let path = pathOf(rest) || "/";
    if (path.length > 1 && path.endsWith("/")) path = path.replace(/\/+$/, "") || "/";
    if (path !== view.chosen) view.choose(path);
  }
  if (known === "sessions" && rest.length > 1) view.choose({ id: rest.slice(1) }, 0);
}

function showWhere() {
  const { server } = state;
  replace(document.getElementById("where"),
    el("span", { class: "server-name", text: server.sid === null ? "lone server" : `server ${server.sid}` }),
    badge(server.mode, server.mode === "leader" ? "good" : server.mode === "looking" ? "bad" : ""),
    el("span", { class: "mono muted zxid", title: "the last transaction here", text: server.zxid }));
  setText(document.getElementById("who"), user() === null ? "Log in" : user());
}

function showBanner(error) {
  let text = null;
  let kind = "bad";
  if (error !== null) {
    text = error.code === "NO_ANSWER" ? `No answer from this server since ${clock(lost)}. Trying again…` : meaning(error).join(": ");
    if (error.code === "FORBIDDEN" || error.code === "AUTH_FAILED") text = error.message;
  } else if (!state.server.running) {
    text = state.server.mode === "looking" ? "This server looks for a leader and serves nobody now." : "This server is not serving yet.";
    kind = "warn";
  } else if (state.visitor.refused) {
    text = "This server serves only who has authenticated: the tree, sessions and watches are not shown.";
    kind = "warn";
  } else if (state.server.readOnly) {
    text = "No leader: this server is read only, and may be behind.";
    kind = "warn";
  }
  document.body.classList.toggle("lost", error !== null);
  replace(banner, text === null ? null : el("div", { class: `banner ${kind}`, text }));
}

// What has changed since the last time, said once.
function tellChanges(before, now) {
  if (before === null) return;
  const leaderOf = (each) => (each.members ? each.members.leader : null);
  const [was, is] = [leaderOf(before), leaderOf(now)];
  if (was !== is && now.members) toast(is === null ? "The leader is gone." : `Server ${is} leads now.`, is === null ? "bad" : "good");
  if (was === is && before.server.mode !== now.server.mode) toast(`This server is ${now.server.mode} now.`);
}

async function poll() {
  clearTimeout(timer);
  if (isAsking) return;
  isAsking = true;
  try {
    const open = view !== null && view.openPaths ? view.openPaths : [];
    const told = await ask("state", { open, log: lastLine }, 8000);
    if (told.log.length) {
      lines = lines.concat(told.log).slice(-LINES);
      lastLine = told.log[told.log.length - 1].number;
    }
    tellChanges(state, told);
    state = told;
    lost = null;
    note(told);
    showWhere();
    showBanner(null);
    view.update(told);
  } catch (error) {
    if (lost === null) lost = Date.now();
    showBanner(error.code ? error : { code: "BUG", message: String(error) });
    if (state === null) replace(main, empty(...meaning(error)));
    if (!error.code) console.error(error);
  } finally {
    isAsking = false;
    timer = setTimeout(poll, document.hidden ? 5 * EVERY_MS : EVERY_MS);
  }
}

function whoChanged() {
  lines = [];
  lastLine = 0;
  poll();
  if (viewName === "tree") view.reset();
  else { const name = viewName; viewName = null; if (name !== null) route(); }
}

function start() {
  replace(document.getElementById("tabs"), VIEWS.map(([name, text]) => el("a", { href: `#/${name}`, "data-view": name, text })));
  document.getElementById("who").addEventListener("click", () => askWho(state === null ? null : state.visitor, whoChanged));
  window.addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  route();
  poll();
}

start();
