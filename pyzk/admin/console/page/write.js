// Dialogs: logging in, and what changes a znode. The server decides what is allowed; nothing here does.

import { ask, fromBase64, logIn, logOut, toBase64, user } from "./api.js";
import { textOf } from "./data.js";
import { el, shown, toast } from "./dom.js";

const EDITED = 1 << 16;

function field(label, input, hint) {
  return el("label", { class: "field" }, el("span", { text: label }), input, hint ? el("span", { class: "muted small", text: hint }) : null);
}

// Show a dialog; `submit` returns when all is well, and throws what is shown otherwise.
export function dialog(title, fields, action, kind, submit) {
  const problem = el("p", { class: "problem", role: "alert" });
  const confirm = el("button", { type: "submit", class: kind || "primary", text: action });
  const made = el("dialog", { class: "dialog", "aria-labelledby": "dialog-title" });
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      problem.textContent = "";
      try {
        await submit();
        made.close();
      } catch (error) {
        problem.textContent = error.message;
      } finally {
        confirm.disabled = false;
      }
    },
  }, el("h2", { id: "dialog-title", text: title }), fields, problem,
  el("div", { class: "actions" }, el("button", { type: "button", class: "quiet", text: "Cancel", onclick: () => made.close() }), confirm));
  made.append(form);
  made.addEventListener("close", () => made.remove());
  document.body.append(made);
  made.showModal();
}

export function askWho(visitor, changed) {
  const ids = visitor === null || !visitor.ids.length ? [el("li", { class: "muted", text: "none: only what anyone may read" })]
    : visitor.ids.map((each) => el("li", {}, el("span", { class: "muted", text: `${each.scheme}: ` }), el("span", { class: "mono", text: shown(each.id) || "–" })));
  const seen = el("div", { class: "field" }, el("span", { text: "The server sees you as" }), el("ul", { class: "ids" }, ids));
  if (user() !== null) {
    dialog("Log out", [seen, el("p", { class: "muted", text: "The console forgets the password." })], "Log out", "primary", async () => { logOut(); changed(); });
    return;
  }
  const name = el("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true, autofocus: true });
  const password = el("input", { type: "password", autocomplete: "off", required: true });
  dialog("Log in", [seen,
    el("p", { class: "muted small", text: "Digest credentials, as addauth digest takes them. They stay in this page, and a reload forgets them. ZooKeeper has no list of users: a wrong password is another identity." }),
    location.protocol === "http:" && !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
      ? el("p", { class: "problem", text: "This page came without TLS: who listens on the way can read the password." }) : null,
    field("User", name), field("Password", password)], "Log in", "primary", async () => {
    logIn(name.value, password.value);
    try {
      await ask("state", {});
    } catch (error) {
      logOut();
      throw error;
    }
    changed();
  });
}

function aclText(acl) {
  return acl.map((each) => `${each.scheme}:${each.id}:${each.perms}`).join("\n");
}

function parseAcl(text) {
  return text.split("\n").map((line) => line.trim()).filter((line) => line).map((line) => {
    const first = line.indexOf(":");
    const last = line.lastIndexOf(":");
    if (first < 0 || first === last) throw new Error(`no entry of the form scheme:id:perms: ${line}`);
    return { scheme: line.slice(0, first), id: line.slice(first + 1, last), perms: line.slice(last + 1) };
  });
}

function encoded(text) {
  return toBase64(new TextEncoder().encode(text));
}

function createDialog(told, changed) {
  const name = el("input", { type: "text", class: "mono", required: true, spellcheck: "false", autocomplete: "off", autofocus: true });
  const data = el("textarea", { class: "mono", rows: 6, spellcheck: "false" });
  const mode = el("select", {}, [["persistent", "persistent"], ["persistentSequential", "persistent, with a number"], ["container", "container"]].map(([value, text]) => el("option", { value, text })));
  const acl = el("textarea", { class: "mono", rows: 2, spellcheck: "false" });
  acl.value = "world:anyone:cdrwa";
  dialog("Create a child", [el("p", { class: "muted mono wrap", text: shown(told.path) }), field("Name", name), field("Kind", mode), field("Data", data), field("ACL", acl, "a line for each entry, as scheme:id:cdrwa")],
    "Create", "primary", async () => {
      const path = told.path === "/" ? `/${name.value}` : `${told.path}/${name.value}`;
      const answer = await ask("write", { operation: "create", path, base64: encoded(data.value), mode: mode.value, acl: parseAcl(acl.value) });
      toast(`Created ${answer.path}`, "good");
      changed(answer.path);
    });
}

function editDialog(told, changed) {
  const text = told.data.null ? "" : textOf(fromBase64(told.data.base64));
  if (text === null || told.data.length > EDITED) {
    toast("Only text of up to 64 KiB can be edited here.", "warn");
    return;
  }
  const data = el("textarea", { class: "mono", rows: 14, spellcheck: "false", autofocus: true });
  data.value = text;
  dialog("Edit the data", [el("p", { class: "muted mono wrap", text: shown(told.path) }), field("Data", data, `The data must still have version ${told.stat.version}.`)],
    "Save", "primary", async () => {
      await ask("write", { operation: "setData", path: told.path, base64: encoded(data.value), version: told.stat.version });
      toast("The data is saved.", "good");
      changed(null);
    });
}

function aclDialog(told, changed) {
  if (told.aclMasked || told.acl.length < told.aclLength) {
    toast("The ACL is not known whole: it takes the permission admin.", "warn");
    return;
  }
  const acl = el("textarea", { class: "mono", rows: 6, spellcheck: "false", autofocus: true });
  acl.value = aclText(told.acl);
  dialog("Edit the ACL", [el("p", { class: "muted mono wrap", text: shown(told.path) }), field("ACL", acl, "a line for each entry, as scheme:id:cdrwa")],
    "Save", "primary", async () => {
      await ask("write", { operation: "setAcl", path: told.path, acl: parseAcl(acl.value), version: told.stat.aversion });
      toast("The ACL is saved.", "good");
      changed(null);
    });
}

function deleteDialog(told, changed) {
  dialog("Delete this znode?", [el("p", { class: "mono wrap", text: shown(told.path) }), el("p", { class: "muted", text: told.stat.numChildren ? "It has children: the server will refuse." : `Its data has version ${told.stat.version}.` })],
    "Delete", "danger", async () => {
      await ask("write", { operation: "delete", path: told.path, version: told.stat.version });
      toast(`Deleted ${told.path}`, "good");
      changed(told.path.slice(0, told.path.lastIndexOf("/")) || "/");
    });
}

export function writeButtons(told, visitor, changed) {
  if (visitor === null || !visitor.canWrite || user() === null) return null;
  const button = (text, show) => el("button", { type: "button", class: "quiet", text, onclick: () => show(told, changed) });
  const has = (letter) => told.perms.includes(letter);
  return el("span", { class: "writes" },
    has("c") ? button("Create child", createDialog) : null,
    has("w") && told.readable ? button("Edit data", editDialog) : null,
    has("a") ? button("Edit ACL", aclDialog) : null,
    told.path === "/" ? null : button("Delete", deleteDialog));
}
