// Requests: those in flight, with their phases and a button to cancel them, and the last that ended.
import { html, useState } from "./htm.js";
import { call } from "./api.js";
import { clock, count, seconds, speed } from "./format.js";
import { LongTable, Missing, ModelLink, Progress, Trouble } from "./parts.js";
import { lookAtRequests, say, useStore } from "./store.js";
import { phase } from "./words.js";

const IN_FLIGHT = ["Model", "What goes on", "Speed", "Caller", "Since", "End it"];
const RECENT = ["When", "Model", "How it ended", "Waited", "First byte", "Took", "Tokens", "Speed", "Caller"];

const OUTCOMES = { completed: "completed", failed: "failed", shed: "turned away", cancelled: "cancelled" };

function tokens(request) {
  if (request.prompt_tokens === null) return "–";
  const cached = request.cached_tokens ? ` (${count(request.cached_tokens)} cached)` : "";
  return `${count(request.prompt_tokens)} in${cached}, ${count(request.generated_tokens)} out`;
}

export function Requests() {
  const { requests, missing } = useStore();
  const [trouble, setTrouble] = useState("");
  const [ending, setEnding] = useState(() => new Set());
  if (missing.has("requests")) return html`<${Missing} what="Which requests are running" route="GET /v1/requests" />`;
  if (!requests) return html`<p class="empty">Asking the server…</p>`;
  const end = async (request) => {
    setEnding(new Set([...ending, request.id]));
    setTrouble("");
    try {
      await call("DELETE", `v1/requests/${encodeURIComponent(request.id)}`);
      say(`A request to ${request.model || "a model"} was cancelled; its client is told so.`);
    } catch (error) {
      setTrouble(error.status === 404 ? "That request has ended meanwhile." : error.message);
    }
    lookAtRequests();
  };
  return html`
    <h2>In flight</h2>
    <${Trouble} text=${trouble} />
    <${LongTable} label="Requests in flight" kind="in-flight" columns=${IN_FLIGHT} rows=${requests.in_flight} height=${56} narrowHeight=${152}
      keyOf=${(request) => request.id} empty="No request is running now."
      row=${(request) => [
        request.model ? html`<${ModelLink} id=${request.model} />` : html`<span class="quiet">not known yet</span>`,
        html`<span>${phase(request)}</span>${request.fraction !== null && html`<${Progress} fraction=${request.fraction} label=${phase(request)} />`}`,
        speed(request.tokens_per_second),
        request.caller ?? html`<span class="quiet">not named</span>`,
        seconds(request.seconds),
        html`<button disabled=${ending.has(request.id)} aria-label=${`Cancel the request to ${request.model} that began ${clock(request.began)}`}
          onClick=${() => end(request)}>Cancel</button>`,
      ]} />
    <h2>The latest that ended</h2>
    <${LongTable} label="Requests that ended" kind="recent" columns=${RECENT} rows=${requests.recent} height=${40} narrowHeight=${116}
      keyOf=${(request) => request.id} empty="No request has ended since the server started."
      row=${(request) => [
        html`<time dateTime=${request.began}>${clock(request.began)}</time>`,
        request.model ? html`<${ModelLink} id=${request.model} />` : html`<span class="quiet">none</span>`,
        html`<span class=${`outcome ${request.outcome}`}>${OUTCOMES[request.outcome] ?? request.outcome}</span> ${request.status}`,
        seconds(request.wait_seconds),
        seconds(request.first_byte_seconds),
        seconds(request.seconds),
        tokens(request),
        speed(request.tokens_per_second),
        request.caller ?? "–",
      ]} />
    <p class="quiet">What was asked and what was answered is kept nowhere.</p>`;
}
