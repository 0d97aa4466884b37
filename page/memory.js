// Memory: which model has how much of the budget.
import { html } from "./htm.js";
import { Conversations } from "./conversations.js";
import { bytes, mib, percent } from "./format.js";
import { LongTable, ModelLink, State } from "./parts.js";
import { latestSample, models, useStore } from "./store.js";

const COLOURS = 8;
const given = new Map();
// A model keeps its colour as long as the page is open.
export function colourOf(id) {
  if (!given.has(id)) given.set(id, given.size % COLOURS);
  return given.get(id);
}

const MOST_PARTS = 40; // of the bar; all other models are one part

const HOST = "host"; // the pool of the machine's memory

// What a model holds of one pool. A server without devices has only one, and does not name it.
const held = (model, pool) => model.pools_mb?.[pool] ?? (pool === HOST && !model.pools_mb ? model.memory_mb : 0);
// "1.7 GiB CUDA0, 300 MiB host"
export const byPool = (model) => Object.entries(model.pools_mb ?? {}).filter(([, amount]) => amount > 0)
  .sort(([, a], [, b]) => b - a).map(([pool, amount]) => `${mib(amount)} ${pool}`).join(", ");

function parts(resident, used, pool) {
  const shown = resident.map((model) => ({ ...model, memory_mb: held(model, pool) })).filter((model) => model.memory_mb > 0)
    .sort((a, b) => b.memory_mb - a.memory_mb).slice(0, MOST_PARTS);
  return { shown, rest: Math.max(0, used - shown.reduce((sum, model) => sum + model.memory_mb, 0)) };
}

function MemoryBar({ resident, budget, used, others, pool = HOST }) {
  const whole = Math.max(budget, used) + (others ?? 0);
  const width = (amount) => ({ width: `${(100 * amount) / whole}%` });
  const { shown, rest } = parts(resident, used, pool);
  const free = Math.max(0, budget - used);
  const sentence = `${pool === HOST ? "" : `${pool}: `}Of a budget of ${mib(budget)}, models have ${mib(used)}: ${
    shown.slice(0, 10).map((model) => `${model.id} ${mib(model.memory_mb)}${model.state === "parked" ? " (parked)" : ""}`).join(", ") || "none"
  }. Free: ${mib(free)}.${others === null ? "" : ` Other programs have ${mib(others)}.`}`;
  return html`<div class="bar" role="img" aria-label=${sentence}>
    ${shown.map((model) => html`<span key=${model.id} style=${width(model.memory_mb)} title=${`${model.id}: ${mib(model.memory_mb)}`}
      class=${`part colour-${colourOf(model.id)} ${model.state === "parked" ? "parked" : ""}`}></span>`)}
    ${rest > 0 && html`<span class="part rest" style=${width(rest)}></span>`}
    <span class="part free" style=${width(free)}></span>
    ${others !== null && html`<span class="part others" style=${width(others)}></span>`}
  </div>`;
}

// The memory of a device. What other programs have of it beyond what the budget leaves them is not for models.
function Device({ pool, resident }) {
  const others = Math.max(0, pool.memory_budget_mb - (pool.available_mb ?? pool.memory_budget_mb));
  return html`<section aria-label=${pool.id}><h2>${pool.id}</h2>
    <${MemoryBar} resident=${resident} budget=${pool.memory_budget_mb - others} used=${pool.memory_mb} others=${others} pool=${pool.id} />
    <dl class="figures">
      <div><dt>Budget</dt><dd>${mib(pool.memory_budget_mb)}</dd></div>
      <div><dt><span class="swatch hot"></span>Models have</dt><dd>${mib(pool.memory_mb)}</dd></div>
      <div><dt><span class="swatch free"></span>Free</dt><dd>${mib(Math.max(0, pool.memory_budget_mb - others - pool.memory_mb))}</dd></div>
      <div><dt><span class="swatch others"></span>Other programs, of the budget</dt><dd>${mib(others)}</dd></div>
    </dl></section>`;
}

const share = (fraction) => (fraction > 0 && fraction < 0.01 ? "under 1 %" : percent(fraction));

const COLUMNS = ["Model", "State", "Memory", "Of the budget", "Image on disk"];
const COLUMNS_WITH_DEVICES = ["Model", "State", "Memory", "Where", "Image on disk"];

export function Memory() {
  const { stats, missing } = useStore();
  if (!stats) return html`<p class="empty">Asking the server…</p>`;
  const resident = models().filter((model) => model.memory_mb > 0);
  resident.sort((a, b) => b.memory_mb - a.memory_mb);
  const budget = stats.memory_budget_mb;
  const used = stats.estimated_memory_mb;
  const sample = latestSample();
  const others = sample?.others_bytes == null ? null : sample.others_bytes / 1048576;
  const hot = resident.filter((model) => model.state !== "parked").reduce((sum, model) => sum + held(model, HOST), 0);
  const parked = resident.filter((model) => model.state === "parked").reduce((sum, model) => sum + held(model, HOST), 0);
  const devices = (stats.pools ?? []).filter((pool) => pool.id !== HOST);
  const cache = stats.cache;
  const asked = cache.hits + cache.misses;
  return html`
    <${MemoryBar} resident=${resident} budget=${budget} used=${used} others=${others} />
    <dl class="figures">
      <div><dt>Budget</dt><dd>${mib(budget)}</dd></div>
      <div><dt><span class="swatch hot"></span>In memory</dt><dd>${mib(hot)}</dd></div>
      <div><dt><span class="swatch parked"></span>Kept by parked models</dt><dd>${mib(parked)}</dd></div>
      <div><dt><span class="swatch free"></span>Free</dt><dd>${mib(Math.max(0, budget - used))}</dd></div>
      <div><dt><span class="swatch others"></span>Other programs</dt><dd>${others === null ? "not told" : bytes(sample.others_bytes)}</dd></div>
    </dl>
    ${stats.memory_pressure && html`<p class="trouble">More than four fifths of the budget are taken. The next model may
      have to wait until another one has left.</p>`}
    ${missing.has("samples") && html`<p class="missing">What other programs hold is not shown, since this server does not
      answer GET /v1/samples.</p>`}
    ${devices.map((pool) => html`<${Device} key=${pool.id} pool=${pool} resident=${resident} />`)}
    <h2>Who has it</h2>
    <${LongTable} label="Models that hold memory" kind=${devices.length > 0 ? "memory devices" : "memory"} columns=${devices.length > 0 ? COLUMNS_WITH_DEVICES : COLUMNS} rows=${resident} height=${44} narrowHeight=${108}
      keyOf=${(model) => model.id} empty="No model holds memory now. The first request for one loads it."
      row=${(model) => [
        html`<span class=${`swatch colour-${colourOf(model.id)} ${model.state === "parked" ? "parked" : ""}`}></span><${ModelLink} id=${model.id} />`,
        html`<${State} model=${model} />`,
        mib(model.memory_mb),
        devices.length > 0 ? byPool(model) : budget > 0 ? share(model.memory_mb / budget) : "–",
        model.image_mb ? mib(model.image_mb) : "none",
      ]} />
    <h2>How well it is used</h2>
    <p>${asked === 0
      ? "Nobody asked for a model since the statistics began."
      : `Of ${asked.toLocaleString("en-US")} requests, ${cache.hit_rate} % found their model in memory or parked. Models left for another one ${cache.evictions === 1 ? "once" : `${cache.evictions.toLocaleString("en-US")} times`}.`}
      ${" "}Who leaves is chosen by the policy “${cache.policy}”.</p>
    <h2>Conversations on disk</h2>
    <${Conversations} />`;
}
