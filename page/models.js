// Models: the state of each, and its buttons.
import { html, useState } from "./htm.js";
import { ago, bytes, mib, speed } from "./format.js";
import { Actions } from "./action.js";
import { LongTable, ModelLink, State } from "./parts.js";
import { models, speedOf, useStore } from "./store.js";

const COLUMNS = ["Model", "State", "Memory", "Requests", "Last use", "Speed", "Actions"];
const ORDER = ["hot", "loading", "waking", "preparing", "parking", "stopping", "parked", "quarantined", "cold"];

function work(model) {
  if (model.leases === 0 && model.waiting === 0) return "none";
  const running = model.slots ? `${Math.min(model.slots_taken, model.slots)} of ${model.slots} slots taken` : `${model.leases} running`;
  return `${running}${model.waiting ? `, ${model.waiting} waiting` : ""}`;
}

export function Models() {
  const state = useStore();
  const [wanted, setWanted] = useState("");
  if (!state.stats) return html`<p class="empty">Asking the server…</p>`;
  const text = wanted.trim().toLowerCase();
  const all = models();
  const since = (Date.now() - state.statsAt) / 1000;
  const rows = all.filter((model) => !text || [model.id, ...(model.aliases ?? [])].some((name) => name.toLowerCase().includes(text)));
  rows.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.id < b.id ? -1 : 1));
  return html`
    <label class="field">Find <input type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label>
    <p class="quiet">${rows.length === all.length ? `${all.length} models` : `${rows.length} of ${all.length} models`}, those in memory first.</p>
    <${LongTable} label="Models" kind="models" columns=${COLUMNS} rows=${rows} height=${52} narrowHeight=${148}
      keyOf=${(model) => model.id}
      empty=${all.length === 0
        ? html`There is no model yet. <a href="#/get">Get one</a>, or put a GGUF file into a models folder.`
        : "No model has that in its name."}
      row=${(model) => [
        html`<${ModelLink} id=${model.id} />`,
        html`<${State} model=${model} fraction=${state.progress.get(model.id)} />`,
        model.memory_mb ? mib(model.memory_mb) : html`<span class="quiet">${bytes(model.size_bytes)} on disk</span>`,
        work(model),
        ago(model.last_used_s === null ? null : model.last_used_s + since),
        speed(speedOf(model.id)),
        html`<${Actions} model=${model} />`,
      ]} />`;
}
