// Decisions in words: one decision with its causes, and a list of decisions.
import { html } from "./htm.js";
import { clock } from "./format.js";
import { LongTable, ModelLink } from "./parts.js";
import { causes, KINDS, standing } from "./words.js";

export const sentence = (decision) => `${decision.model}: ${KINDS[decision.kind] ?? decision.kind}. ${decision.reason}`;

export function Decision({ decision, decisions }) {
  const chain = causes(decision, decisions);
  return html`<div class="decision">
    <p><time dateTime=${decision.time}>${clock(decision.time)}</time> <${ModelLink} id=${decision.model} />${" "}
      <strong>${KINDS[decision.kind] ?? decision.kind}</strong>: ${decision.reason}${decision.times > 1 ? ` (${decision.times} times)` : ""}</p>
    ${decision.candidates && html`<ul>${decision.candidates.map((candidate) => html`<li>${candidate.model} ${standing(candidate)}</li>`)}</ul>`}
    ${chain.map((cause) => html`<p class="quiet">Because, at ${clock(cause.time)}: ${sentence(cause)}</p>`)}
  </div>`;
}

const COLUMNS = ["When", "What", "Model", "Why"];

// The latest decision first. A press of a decision's button calls `choose` with the decision.
export function DecisionList({ label, decisions, chosen, choose, empty }) {
  const rows = decisions.toReversed();
  return html`<${LongTable} label=${label} kind="decisions" columns=${COLUMNS} rows=${rows} height=${40} narrowHeight=${80}
    keyOf=${(decision) => decision.id} empty=${empty}
    row=${(decision) => [
      html`<time dateTime=${decision.time}>${clock(decision.time)}</time>`,
      KINDS[decision.kind] ?? decision.kind,
      decision.model,
      html`<button class="plain" title=${decision.reason} aria-pressed=${decision.id === chosen ? "true" : "false"} onClick=${() => choose(decision)}>${decision.reason}</button>`,
    ]} />`;
}
