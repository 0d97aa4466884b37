// Numbers and times for people. The names of the parameters have the units.

const MIB = 1024 * 1024;

export function mib(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1024) return `${Math.round(value)} MiB`;
  return `${(value / 1024).toFixed(value < 10 * 1024 ? 1 : 0)} GiB`;
}

export const bytes = (value) => (value === null || value === undefined ? "–" : mib(value / MIB));

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0095) return `${Math.max(1, Math.round(value * 1000))} ms`;
  if (value < 1) return `${Math.round(value * 100) / 100} s`;
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

export const ago = (value) => (value === null || value === undefined ? "never" : value < 2 ? "just now" : `${seconds(value)} ago`);

export const count = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-US"));

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

export const speed = (value) => (value ? `${value < 10 ? value.toFixed(1) : Math.round(value)} tokens/s` : "–");

export function parameters(value) {
  if (!value) return "–";
  return value >= 1e9 ? `${(value / 1e9).toFixed(1)} billion` : `${Math.round(value / 1e6)} million`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clock = (time) => CLOCK.format(new Date(time));

// "a", "a and b", "a, b and c".
export const list = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
