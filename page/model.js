// One model: what it is, what it takes, why it is where it is, its log, its presets.
import { html, useEffect, useRef, useState } from "./htm.js";
import { call, lines, modelPath, send } from "./api.js";
import { ago, bytes, clock, count, mib, parameters } from "./format.js";
import { Actions } from "./action.js";
import { State, Trouble } from "./parts.js";
import { models, useStore } from "./store.js";
import { Decision, DecisionList } from "./decisions.js";
import { byPool } from "./memory.js";
import { gaveWay } from "./words.js";

const MOST_LINES = 500; // of the log that are kept here

function facts(model, takes) {
  const rows = [
    ["Parameters", parameters(model.parameters)],
    ["Quantization", model.quantization ?? "–"],
    ["Architecture", model.architecture?.name ?? "not inspected yet"],
    ["Takes", list(model.architecture?.input_modalities)],
    ["Context", model.context_length ? `${count(model.context_length)} tokens per conversation` : "–"],
    ...(model.gave_way ? [["To fit the budget", gaveWay(model.gave_way)]] : []),
    ["File", `${bytes(model.size_bytes)}${model.name && model.name !== model.id ? `, called ${model.name}` : ""}`],
    ["Memory it takes", takes === null ? "–" : `${mib(takes)}, as measured in use, or predicted before its first use`],
    ["Memory it holds", model.memory_mb ? `${mib(model.memory_mb)} now${model.pools_mb ? `: ${byPool(model)}` : ""}` : "none now"],
    ["Image on disk", model.image_mb ? mib(model.image_mb) : "none"],
    ["Requests", `${count(model.access_count ?? 0)} so far; ${model.leases} running, ${model.waiting} waiting`],
    ["Slots", model.slots ? `${model.slots_taken} of ${model.slots} taken` : "–"],
    ["Last use", ago(model.last_used_s)],
    ["Parked and woken", `${count(model.parks ?? 0)} and ${count(model.wakes ?? 0)} times`],
    ["Other names", list(model.aliases) || "none"],
  ];
  if (model.companions?.length) rows.push(["Files with it", list(model.companions)]);
  if (model.next_preload) rows.push(["Loaded next", clock(model.next_preload)]);
  if (model.next_unload) rows.push(["Unloaded next", clock(model.next_unload)]);
  return rows;
}
const list = (words) => (words ?? []).join(", ");

// Follows the engine's log while it is shown.
function Log({ id }) {
  const [text, setText] = useState([]);
  const [trouble, setTrouble] = useState("");
  const box = useRef(null);
  useEffect(() => {
    const stop = new AbortController();
    let kept = [];
    let frame = 0;
    const show = () => {
      frame = 0;
      setText(kept);
    };
    const follow = async () => {
      try {
        for await (const line of lines(await send("GET", `${modelPath(id)}/logs?follow=true&tail=200`, { signal: stop.signal }))) {
          kept = [...kept, line].slice(-MOST_LINES);
          frame ||= requestAnimationFrame(show);
        }
      } catch (error) {
        if (!stop.signal.aborted) setTrouble(`The log is not followed any more. ${error.message} Open this view again to go on.`);
      }
    };
    follow();
    return () => {
      stop.abort();
      cancelAnimationFrame(frame);
    };
  }, [id]);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return html`<${Trouble} text=${trouble} />
    <pre class="log" ref=${box} tabindex="0" role="log" aria-label=${`Log of ${id}`} aria-live="off">${text.length ? text.join("\n") : "Its engine has said nothing yet."}</pre>`;
}

export function Model({ id }) {
  const state = useStore();
  const [takes, setTakes] = useState(null);
  const [trouble, setTrouble] = useState("");
  const [chosen, setChosen] = useState(null);
  const [logs, setLogs] = useState(false);
  const preset = state.catalog.find((entry) => entry.id === id && entry.preset_of);
  const model = models().find((entry) => entry.id === (preset?.preset_of ?? id));
  const known = model !== undefined;
  useEffect(() => {
    if (!known || model.runs_here === false) return;
    // A dry run says what it takes, in memory or not.
    call("POST", `${modelPath(model.id)}/load?dry_run=true`).then((answer) => setTakes(answer.estimated_memory_mb), (error) => setTrouble(error.message));
  }, [model?.id, known]);
  if (!state.stats || state.catalog.length === 0) return html`<p class="empty">Asking the server…</p>`;
  if (!model) return html`<p class="empty">There is no model “${id}” (any more). <a href="#/models">All models</a></p>`;
  const presets = state.catalog.filter((entry) => entry.preset_of === model.id);
  const about = state.decisions.filter((decision) => decision.model === model.id ||
    decision.candidates?.some((candidate) => candidate.chosen && candidate.model === model.id));
  return html`
    ${preset && html`<p>“${id}” is a preset of ${model.id}, and answered by it.</p>`}
    <p class="line"><${State} model=${model} fraction=${state.progress.get(model.id)} /> <${Actions} model=${model} /></p>
    <${Trouble} text=${model.why_not ?? model.last_error?.message ?? trouble} />
    <dl class="facts">${facts(model, takes).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${presets.length > 0 && html`<h2>Presets</h2><p>Other names for it, each with settings of its own: ${presets.map((entry) => entry.id).join(", ")}.</p>`}
    <h2>Why it is where it is</h2>
    ${chosen && html`<div aria-live="polite" class="chosen"><${Decision} decision=${chosen} decisions=${state.decisions} /></div>`}
    <${DecisionList} label=${`Decisions about ${model.id}`} decisions=${about} chosen=${chosen?.id} choose=${setChosen}
      empty="Nothing was decided about it since the server started." />
    <h2>Log</h2>
    ${logs ? html`<${Log} id=${model.id} />` : html`<button onClick=${() => setLogs(true)}>Follow its engine's log</button>`}`;
}
