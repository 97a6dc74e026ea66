const NAMES = new Map([
  [1000, "normal closure"],
  [1001, "going away"],
  [1002, "protocol error"],
  [1003, "unsupported data"],
  [1005, "no code received"],
  [1006, "no closing handshake"],
  [1007, "invalid data"],
  [1008, "policy violation"],
  [1009, "message too big"],
  [1010, "extension missing"],
  [1011, "internal error"],
  [1012, "service restart"],
  [1013, "try again later"],
  [1014, "bad gateway"],
  [1015, "TLS handshake failed"],
  [4401, "identity expired"],
  [4403, "identity revoked"],
  [4409, "publications missed"],
  [4410, "disconnected"],
]);

// Codes that tell of a fault or a restart that passes, that other credentials may open the door again, or that a new
// connection gets what this one missed. All others would meet the same answer: the conversation is over, this page broke
// a rule, or its credentials were withdrawn.
const PASSING = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014, 4401, 4409]);

/** Name a close code: `1012 (service restart)`, or the bare number of a private code. */
export function describeCode(code) {
  const name = NAMES.get(code);
  return name ? `${code} (${name})` : String(code);
}

/** Tell whether to open a new connection after one was closed with this code. */
export function mayReconnect(code) {
  return PASSING.has(code);
}
