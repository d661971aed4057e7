// JSON with its lines indented, whatever a client has written: the work and the result are bounded.

const DEEPEST = 24; // levels that are indented; what is deeper stands below the last of them
const LONGEST = 2 << 20; // characters of the result

// Indent JSON without touching what is between its marks: numbers keep all their digits. What is
// returned are pairs of kind and text; null if the result would be too long.
export function pretty(text) {
  if (text.length > LONGEST) return null;
  const parts = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
  const take = () => { const found = parts.exec(text); return found ? found[0] : ""; };
  const out = [];
  let length = 0;
  let depth = 0;
  const put = (kind, part) => {
    length += part.length;
    if (!kind && out.length && !out[out.length - 1][0]) out[out.length - 1][1] += part;
    else out.push([kind, part]);
  };
  const line = () => put("", `\n${"  ".repeat(Math.min(depth, DEEPEST))}`);
  for (let before = "", part = take(), next; part; before = part, part = next) {
    next = take();
    if (part === "{" || part === "[") {
      put("", part);
      if (next !== "}" && next !== "]") { depth += 1; line(); }
    } else if (part === "}" || part === "]") {
      if (before !== "{" && before !== "[") { depth -= 1; line(); }
      put("", part);
    } else if (part === ",") { put("", ","); line(); }
    else if (part === ":") put("", ": ");
    else put(part[0] === '"' ? (next === ":" ? "key" : "string") : "value", part);
    if (length > LONGEST) return null;
  }
  return out;
}
