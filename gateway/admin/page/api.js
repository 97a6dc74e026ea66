/** What the API answers in place of a result. */
export class ApiFault extends Error {
  /**
   * @param {number} status the HTTP status; 0 where there was no answer
   * @param {string} error the stable code
   * @param {string} message for people
   */
  constructor(status, error, message) {
    super(message);
    this.status = status;
    this.error = error;
  }
}

/** Tell that the session has ended, or lacks: the page to log in at is at the same address. */
export function logInAgain() {
  location.replace("/admin");
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`/api/${path}`, {
      ...options,
      // Only a page of this origin can send it; with it the session's cookie counts.
      headers: { "x-gateway-admin": "1", ...options.headers },
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new ApiFault(0, "no_answer", "the gateway does not answer");
  }
  const value = await response.json().catch(() => ({}));
  if (response.ok) return value;
  if (response.status === 401) logInAgain();
  throw new ApiFault(response.status, value.error ?? "failed", value.message ?? `status ${response.status}`);
}

/**
 * Ask for a reading.
 * @param {string} path below `/api/`
 * @param {Record<string, string | number>} [query] empty values are left out
 */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return ask(text ? `${path}?${text}` : path, { method: "GET" });
}

/** Have something done. */
export function post(path, body) {
  return ask(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
}
