// What the page asks its server. The credentials are kept here and nowhere else: a reload forgets them.

let credentials = null;

export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function logIn(user, password) {
  credentials = { user, password };
}

export function logOut() {
  credentials = null;
}

export function user() {
  return credentials === null ? null : credentials.user;
}

// A header has bytes: each of the UTF-8 form becomes the character of that number.
function authorization() {
  const raw = new TextEncoder().encode(`digest ${credentials.user}:${credentials.password}`);
  return Array.from(raw, (each) => String.fromCharCode(each)).join("");
}

export async function ask(name, body, timeoutMs = 20000) {
  const headers = { "Content-Type": "application/json", "X-Pyzk-Console": "1" };
  if (credentials !== null) headers.Authorization = authorization();
  let response;
  let answer;
  try {
    response = await fetch(`/console/api/${name}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body || {}),
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(timeoutMs),
    });
    answer = await response.json();
  } catch (error) {
    throw new Refusal(0, "NO_ANSWER", "the server does not answer");
  }
  if (!response.ok) throw new Refusal(response.status, answer.error, answer.message);
  return answer;
}

export function fromBase64(text) {
  const binary = atob(text);
  const data = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) data[at] = binary.charCodeAt(at);
  return data;
}

export function toBase64(data) {
  let binary = "";
  for (let at = 0; at < data.length; at += 4096) {
    binary += String.fromCharCode(...data.subarray(at, at + 4096));
  }
  return btoa(binary);
}

// What an error means, in words for people.
export function meaning(error) {
  switch (error.code) {
    case "NO_AUTH": return ["Not permitted", "The ACL of this znode does not let you read it. Log in with digest credentials that it names."];
    case "NO_NODE": return ["There is no such znode", "It has been deleted, or it never existed."];
    case "NOT_SERVING": return ["This server does not serve now", "It looks for a leader, or is being synchronized. The tree comes back by itself."];
    case "NO_ANSWER": return ["No answer", "The server cannot be reached. The console tries again."];
    case "SESSION_CLOSED_REQUIRE_AUTH": return ["Authentication is enforced", error.message];
    default: return ["That did not work", error.message || String(error)];
  }
}
