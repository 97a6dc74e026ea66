const NAMES = new Map([
  ["1000", "normal closure"],
  ["1001", "going away"],
  ["1002", "protocol error"],
  ["1003", "unsupported data"],
  ["1005", "closed without a code"],
  ["1006", "gone without a closing handshake"],
  ["1007", "invalid data"],
  ["1008", "policy violation"],
  ["1009", "message too big"],
  ["1010", "extension missing"],
  ["1011", "internal error"],
  ["1012", "service restart"],
  ["1013", "try again later"],
  ["1014", "bad gateway"],
  ["4401", "identity expired"],
  ["4403", "identity revoked"],
  ["4409", "publications missed"],
  ["4410", "disconnected"],
]);

/** Name a close code: `service restart`, or nothing for a private one. */
export function nameOf(code) {
  return NAMES.get(String(code)) ?? "";
}
