// One znode: where it is, its data, its Stat, its ACL, and a search among its children.

import { ask, meaning } from "./api.js";
import { DataCard } from "./data.js";
import { address, badge, bytes, duration, el, empty, moment, number, replace, shown, toast } from "./dom.js";
import { RemoteRows } from "./lists.js";
import { writeButtons } from "./write.js";

const LETTERS = { c: "create", d: "delete", r: "read", w: "write", a: "admin" };

export class NodePanel {
  constructor(go, changed) {
    this.go = go;
    this.changed = changed;
    this.path = null;
    this.told = null;
    this.visitor = null;
    this.head = el("header", { class: "node-head" });
    this.data = new DataCard();
    this.stat = el("section", { class: "card", "aria-label": "Stat" });
    this.acl = el("section", { class: "card", "aria-label": "ACL" });
    this.children = null;
    this.childrenCard = el("section", { class: "card", "aria-label": "Children", hidden: true });
    this.content = el("div", { class: "node-content" }, this.data.element,
      el("div", { class: "pair" }, this.stat, this.acl), this.childrenCard);
    this.message = el("div");
    this.element = el("section", { class: "node", "aria-label": "Znode" }, this.head, this.message, this.content);
    this.content.hidden = true;
    replace(this.message, empty("No znode chosen", "Choose one in the tree."));
  }

  // The state says who looks, and whether the znode has changed.
  update(state) {
    this.visitor = state.visitor;
    if (this.path === null) return;
    const token = state.tokens[this.path];
    const isSame = this.told === null ? token === null || token === undefined
      : token && token[0] === this.told.token && token[1] === this.told.childrenToken;
    if (!isSame) this.show(this.path);
  }

  async show(path) {
    const isOther = path !== this.path;
    this.path = path;
    if (isOther) {
      this.told = null;
      replace(this.head, this.crumbs(path));
      if (this.children !== null) { this.children.close(); this.children = null; }
      this.childrenCard.hidden = true;
    }
    try {
      const told = await ask("node", { path });
      if (path !== this.path) return;
      this.told = told;
      this.draw();
    } catch (error) {
      if (path !== this.path) return;
      this.told = null;
      this.content.hidden = true;
      replace(this.head, this.crumbs(path));
      replace(this.message, empty(...meaning(error)));
    }
  }

  crumbs(path) {
    const names = path === "/" ? [] : path.slice(1).split("/");
    const link = (name, target, isLast) => el("a", {
      href: `#/tree${address(target)}`, class: "crumb mono", "aria-current": isLast ? "page" : null, text: shown(name),
      onclick: (event) => { event.preventDefault(); this.go(target); },
    });
    const parts = [link("/", "/", names.length === 0)];
    let target = "";
    names.slice(0, 200).forEach((name, at) => {
      target += `/${name}`;
      if (at > 0) parts.push(el("span", { class: "muted", "aria-hidden": "true", text: "/" }));
      parts.push(link(name, target, at === names.length - 1));
    });
    return el("nav", { class: "crumbs", "aria-label": "Path" }, parts,
      el("button", { type: "button", class: "quiet small", text: "Copy", title: "Copy the path", onclick: () => this.copy() }));
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.path);
      toast("The path is copied.");
    } catch {
      toast("The browser does not let the page copy here.", "warn");
    }
  }

  draw() {
    const told = this.told;
    replace(this.message);
    this.content.hidden = false;
    replace(this.head, this.crumbs(told.path),
      el("div", { class: "bar" },
        badge(told.stat.kind, told.stat.kind === "ephemeral" ? "info" : ""),
        told.stat.numChildren ? el("span", { class: "muted", text: `${number(told.stat.numChildren)} ${told.stat.numChildren === 1 ? "child" : "children"}` }) : null,
        el("span", { class: "muted perms", title: [...told.perms].map((each) => LETTERS[each]).join(", ") }, "you may: ", el("span", { class: "mono", text: told.perms || "nothing" })),
        el("span", { class: "space" }),
        writeButtons(told, this.visitor, (path) => { this.changed(); if (path !== null && path !== this.path) this.go(path); else this.show(this.path); })));
    if (told.readable) {
      this.data.element.hidden = false;
      this.data.show(told.path, told.token, told.data);
    } else this.data.element.hidden = true;
    this.drawStat(told.stat);
    this.drawAcl(told);
    this.drawChildren(told);
  }

  drawStat(stat) {
    const owner = stat.ephemeralOwner === "0x0" ? "none" : el("a", { class: "mono", href: `#/sessions/${stat.ephemeralOwner}`, text: stat.ephemeralOwner });
    const rows = [
      ["created", `${moment(stat.ctime)}`, stat.czxid],
      ["modified", `${moment(stat.mtime)}`, stat.mzxid],
      ["children changed", "", stat.pzxid],
      ["data version", number(stat.version), ""],
      ["children version", number(stat.cversion), ""],
      ["ACL version", number(stat.aversion), ""],
      ["data length", bytes(stat.dataLength), ""],
      ["ephemeral owner", owner, ""],
      ...(stat.ttlMs === undefined ? [] : [["TTL", duration(stat.ttlMs), ""]]),
    ];
    replace(this.stat, el("h2", { text: "Stat" }), el("dl", { class: "stat" }, rows.map(([name, value, zxid]) => el("div", {},
      el("dt", { text: name }), el("dd", {}, value, zxid ? el("span", { class: "mono muted", text: ` ${zxid}` }) : null)))));
  }

  drawAcl(told) {
    const left = told.aclLength - told.acl.length;
    replace(this.acl, el("h2", { text: "ACL" }),
      el("div", { class: "scroll" }, el("table", {},
        el("thead", {}, el("tr", {}, ["scheme", "id", "permissions"].map((name) => el("th", { scope: "col", text: name })))),
        el("tbody", {}, told.acl.map((each) => el("tr", {}, el("td", { text: each.scheme }),
          el("td", { class: "mono wrap", text: shown(each.id) }), el("td", { class: "mono", title: [...each.perms].map((letter) => LETTERS[letter]).join(", "), text: each.perms || "none" })))))),
      left > 0 ? el("p", { class: "muted small", text: `and ${number(left)} more` }) : null,
      told.aclMasked ? el("p", { class: "muted small", text: "Hashes of digest ids are shown to who has the permission admin." }) : null);
  }

  drawChildren(told) {
    const card = this.childrenCard;
    card.hidden = !told.readable || told.stat.numChildren === 0;
    if (card.hidden) return;
    if (this.children !== null) { this.children.refresh(); return; }
    const path = told.path;
    let filter = "";
    let timer = null;
    const count = el("span", { class: "muted" });
    const rows = new RemoteRows({
      rowHeight: 26,
      fetch: (start, wanted) => ask("children", { path, start, count: Math.min(500, wanted), filter }),
      row: (row) => this.childRow(path, row),
      onanswer: (answer) => {
        count.textContent = filter ? `${number(answer.total)} of ${number(answer.of)}` : number(answer.of);
        rows.element.style.height = `${Math.min(10, Math.max(1, answer.total)) * 26 + 2}px`;
      },
      onerror: (error) => toast(error.message, "bad"),
      attributes: { class: "rows child-rows", tabindex: "0", role: "list", "aria-label": "Children" },
    });
    this.children = rows;
    replace(card, el("div", { class: "bar" }, el("h2", { text: "Children" }), count, el("span", { class: "space" }),
      el("input", {
        type: "search", class: "filter", placeholder: "Names with this text", "aria-label": "Filter children", spellcheck: "false",
        oninput: (event) => { clearTimeout(timer); timer = setTimeout(() => { filter = event.target.value; rows.restart(); }, 200); },
      })), rows.element);
    rows.restart();
  }

  childRow(path, row) {
    if (row === null) return el("div", { class: "row muted", role: "listitem", text: "…" });
    const target = path === "/" ? `/${row.name}` : `${path}/${row.name}`;
    return el("div", { class: "row", role: "listitem" },
      row.cut ? el("span", { class: "mono name", text: `${shown(row.name)}… (${number(row.cut)} characters)` })
        : el("a", { class: "mono name", href: `#/tree${address(target)}`, text: shown(row.name), onclick: (event) => { event.preventDefault(); this.go(target); } }),
      row.locked ? badge("no access", "warn") : null,
      row.kind && row.kind !== "persistent" ? badge(row.kind, row.kind === "ephemeral" ? "info" : "") : null,
      el("span", { class: "amount muted", text: row.bytes === undefined ? "" : bytes(row.bytes) }));
  }

  close() {
    this.data.close();
    if (this.children !== null) this.children.close();
  }
}
