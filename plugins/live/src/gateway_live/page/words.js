const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** Write a count: `12,345`. */
export function count(value) {
  return whole.format(value);
}

/** Write a size: `812 B`, `12.3 KB`, `4.56 MB`, `7.89 GB` (of 1,000). */
export function bytes(value) {
  if (value === null) return "–";
  if (value < 999.5) return `${whole.format(value)} B`;
  if (value < 999_500) return `${short.format(value / 1e3)} KB`;
  if (value < 999_500_000) return `${short.format(value / 1e6)} MB`;
  return `${short.format(value / 1e9)} GB`;
}

/** Write a short time: `< 1 ms`, `3 ms`, `1.2 s`. */
export function seconds(value) {
  if (value === null) return "–";
  if (value < 0.001) return "< 1 ms";
  if (value < 0.9995) return `${whole.format(value * 1000)} ms`;
  return `${value < 9.95 ? value.toFixed(1) : whole.format(value)} s`;
}

/** Write a ratio: `6.3 times`. */
export function times(value) {
  return `${value < 10 ? value.toFixed(1) : whole.format(value)} times`;
}

/** Write the time of day: `14:03:07.123`. */
export function timeOfDay(date = new Date()) {
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
