// Doctor: what is wrong, as far as the server's answers show it, and what would help. `minerva doctor` on the machine
// itself examines more: disks, the processor, the sandbox.
import { html, useEffect, useState } from "./htm.js";
import { call } from "./api.js";
import { list, mib, percent, plural } from "./format.js";
import { Trouble } from "./parts.js";
import { lookAtModels, models, useStore } from "./store.js";

const LATELY_MS = 10 * 60 * 1000;
const AGAIN_AND_AGAIN = 3; // loads of one model lately
const MOST_PINNED = 0.5; // of the budget
const FEW_FILES = 1024;

const fine = (text) => ({ level: "fine", text });
const note = (text) => ({ level: "note", text });
const wrong = (text) => ({ level: "wrong", text });

// Models that were stopped lately to make room: how often each was loaded lately.
function reloads(decisions) {
  const loads = new Map();
  const stopped = new Set();
  for (const decision of decisions) {
    if (Date.parse(decision.time) < Date.now() - LATELY_MS) continue;
    if (decision.kind === "load") loads.set(decision.model, (loads.get(decision.model) ?? 0) + 1);
    for (const candidate of decision.candidates ?? []) {
      if (decision.kind === "make_room" && candidate.chosen && candidate.leaves_by === "stop") stopped.add(candidate.model);
    }
  }
  return [...loads].filter(([id, times]) => stopped.has(id) && times >= AGAIN_AND_AGAIN);
}

function examine({ stats, problems, decisions, draining }, config) {
  const all = models();
  const found = [];
  found.push(draining ? wrong("The server is shutting down: it takes no new requests. Start it again when it has ended.")
    : fine("The server answers, and takes requests."));
  found.push(stats.memory_pressure
    ? note(`Models have ${mib(stats.estimated_memory_mb)} of the budget of ${mib(stats.memory_budget_mb)}, more than four fifths. Others may have to wait; a larger memory_budget or smaller contexts would help.`)
    : fine(`Models have ${mib(stats.estimated_memory_mb)} of the budget of ${mib(stats.memory_budget_mb)}.`));
  if (all.length === 0) found.push(wrong("There is no model. Put a GGUF file into one of the models folders, or get one."));
  for (const model of all.filter((entry) => entry.state === "quarantined" || entry.breaker === "open")) {
    const again = model.tried_again_in_s ? ` It is tried again in ${Math.ceil(model.tried_again_in_s)} s.` : "";
    found.push(wrong(`${model.id} failed again and again, so requests for it are refused at once.${again} ${model.last_error?.message ?? ""}`));
  }
  for (const model of all.filter((entry) => entry.last_error && entry.state === "cold" && entry.breaker !== "open" && entry.runs_here !== false)) {
    found.push(note(`The last load or engine of ${model.id} failed: ${model.last_error.message}`));
  }
  const pinned = all.filter((model) => model.pinned);
  const pinned_mb = pinned.reduce((sum, model) => sum + model.memory_mb, 0);
  if (pinned_mb > MOST_PINNED * stats.memory_budget_mb) {
    found.push(note(`Pinned models have ${percent(pinned_mb / stats.memory_budget_mb)} of the budget: ${list(pinned.map((model) => model.id))}. Others take turns in the rest; unpin those that need not stay.`));
  }
  const often = reloads(decisions);
  if (often.length > 0) {
    found.push(note(`In the last ten minutes models took each other's place again and again; loaded were ${list(often.map(([id, times]) => `${id} ${times} times`))}. What would help: parking, a larger memory_budget, or smaller contexts.`));
  }
  const refused = decisions.filter((decision) => decision.kind === "refuse").slice(-5).reverse();
  for (const refusal of refused) {
    found.push(note(`A request for ${refusal.model} was turned away${refusal.times > 1 ? ` ${plural(refusal.times, "time")}` : ""}: ${refusal.reason}`));
  }
  for (const problem of problems) found.push(note(problem));
  if (problems.length === 0) found.push(fine("The models folders are in order."));
  if (config?.open_files && config.open_files < FEW_FILES) {
    found.push(note(`The server may have ${config.open_files} files open, connections included. Raise that limit (ulimit -n, or LimitNOFILE of its unit).`));
  }
  return found;
}

const MARKS = { fine: "Fine", note: "Note", wrong: "Wrong" };

export function Doctor() {
  const state = useStore();
  const [config, setConfig] = useState(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    lookAtModels();
    call("GET", "v1/config").then(setConfig, (error) => setTrouble(error.message));
  }, []);
  if (!state.stats) return html`<p class="empty">Asking the server…</p>`;
  const found = examine(state, config);
  const rank = ["wrong", "note", "fine"];
  found.sort((a, b) => rank.indexOf(a.level) - rank.indexOf(b.level));
  const serious = found.filter((finding) => finding.level !== "fine").length;
  return html`
    <${Trouble} text=${trouble} />
    <p>${serious === 0 ? "Nothing is wrong, as far as the server can tell." : `${plural(serious, "thing")} to look at.`}
      ${" "}<code>minerva doctor</code> on the server's machine looks at more: its disks, its processor, its sandbox.</p>
    <ul class="findings">${found.map((finding) => html`<li class=${finding.level}><strong>${MARKS[finding.level]}</strong> <span>${finding.text}</span></li>`)}</ul>
    ${config && html`<details><summary>What the server runs with</summary><pre tabindex="0" class="log">${config.toml}</pre></details>`}`;
}
