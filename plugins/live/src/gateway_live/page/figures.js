import { bytes, count } from "./words.js";

const percent = (value) => `${value.toFixed(value < 9.95 ? 1 : 0)} %`;
const rate = (value) => `${value < 9.95 ? value.toFixed(1) : count(value)} /s`;

/**
 * The figures that the charts can show. Each has one or two lines; `key` names the field of a sample, and `top` is the
 * top of the scale, or the least top where the scale follows the data.
 */
export const FIGURES = {
  load: {
    lines: [
      { key: "cpu_percent", label: "CPU", text: (sample) => percent(sample.cpu_percent) },
      {
        key: "memory_percent",
        label: "Memory",
        text: (sample) => `${percent(sample.memory_percent)} (${bytes(sample.memory_bytes)})`,
      },
    ],
    fixed: true,
    top: 100,
    tick: (value) => `${value} %`,
  },
  messages: {
    lines: [
      { key: "messages_in_per_second", label: "In", text: (sample) => rate(sample.messages_in_per_second) },
      { key: "messages_out_per_second", label: "Out", text: (sample) => rate(sample.messages_out_per_second) },
    ],
    fixed: false,
    top: 4,
    tick: (value) => `${count(value)}/s`,
  },
  connections: {
    lines: [{ key: "connections", label: "Open", text: (sample) => count(sample.connections) }],
    fixed: false,
    top: 4,
    tick: count,
  },
};

/** The top of a figure's scale for all these samples, so that two charts can share it. */
export function topOf(figure, samples) {
  if (figure.fixed) return figure.top;
  let top = figure.top;
  for (const sample of samples) for (const { key } of figure.lines) top = Math.max(top, sample[key]);
  return Math.ceil(top * 1.15);
}
