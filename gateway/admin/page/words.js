const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const NOTHING = "–";

/** Write a count: `12,345`. */
export function count(value) {
  return whole.format(value);
}

/** Write how many there are of something: `1 node`, `2 nodes`. */
export function many(value, one, more = `${one}s`) {
  return `${whole.format(value)} ${value === 1 ? one : more}`;
}

/** Write a rate: `0`, `0.33`, `12.5`, `1,234`. */
export function rate(value) {
  return value < 100 ? short.format(Math.round(value * 100) / 100) : whole.format(value);
}

/** Write a size: `812 B`, `12.3 KB`, `4.56 MB`, `7.89 GB` (of 1,000). */
export function bytes(value) {
  if (value < 999.5) return `${whole.format(value)} B`;
  if (value < 999_500) return `${short.format(value / 1e3)} KB`;
  if (value < 999_500_000) return `${short.format(value / 1e6)} MB`;
  return `${short.format(value / 1e9)} GB`;
}

/** Write a short time: `40 µs`, `3.2 ms`, `1.2 s`. */
export function seconds(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 0.000_999_5) return `${short.format(value * 1e6)} µs`;
  if (value < 0.9995) return `${short.format(value * 1e3)} ms`;
  return `${short.format(value)} s`;
}

/** Write a long time: `4 s`, `12 min 3 s`, `3 h 20 min`, `5 d 2 h`. */
export function span(value) {
  const all = Math.max(0, Math.floor(value));
  const steps = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = steps.findIndex(([size]) => all >= size);
  if (at < 0) return "0 s";
  const [size, unit] = steps[at];
  const rest = steps[at + 1] ? Math.floor((all % size) / steps[at + 1][0]) : 0;
  return `${Math.floor(all / size)} ${unit}${rest ? ` ${rest} ${steps[at + 1][1]}` : ""}`;
}

/** Write a moment, given in seconds since the epoch. */
export function when(epoch) {
  return moment.format(new Date(epoch * 1000));
}

/** Write a code of the gateway, such as `message_rate`, as words. */
export function plain(code) {
  return code.replaceAll("_", " ");
}
