// Conversations: what is kept of them on disk, by model, with a button that removes it.
import { html, useState } from "./htm.js";
import { call } from "./api.js";
import { ago, bytes, count, seconds } from "./format.js";
import { Dialog, LongTable, Missing, ModelLink, Trouble } from "./parts.js";
import { lookAtConversations, say, useStore } from "./store.js";

const COLUMNS = ["Model", "On disk", "Last use", "Remove"];

// `model`: whose; "": of all models.
function Remove({ model, close }) {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const act = async () => {
    setBusy(true);
    setTrouble("");
    try {
      say((await call("DELETE", `v1/conversations${model ? `?model=${encodeURIComponent(model)}` : ""}`)).message);
      lookAtConversations();
      close();
    } catch (error) {
      setTrouble(error.message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${model ? `Remove the conversations of ${model}?` : "Remove all conversations?"} close=${close}>
    <p>They are removed from the disk. A client that goes on with one of them waits until its model has read all of it again.</p>
    <p>Models that are in memory or parked still have theirs.</p>
    <${Trouble} text=${trouble} />
    <div class="buttons">
      <button class="danger" disabled=${busy} onClick=${act}>Remove them</button>
      <button onClick=${close}>Cancel</button>
    </div>
  <//>`;
}

function sentence({ bytes: kept, budget_bytes: budget, restored_tokens: tokens, saved_seconds: saved }) {
  const most = budget === undefined ? "" : `, of at most ${bytes(budget)}`;
  const used = tokens ? ` Since the server started, ${count(tokens)} tokens came back from there, which was ${seconds(saved)} sooner than reading them again.` : "";
  return `${bytes(kept)} are kept${most}. A model that was unloaded or restarted goes on from there.${used}`;
}

export function Conversations() {
  const { conversations: kept, missing } = useStore();
  const [removing, setRemoving] = useState(null);
  if (missing.has("conversations")) return html`<${Missing} what="What is kept of conversations" route="GET /v1/conversations" />`;
  if (!kept) return html`<p class="empty">Asking the server…</p>`;
  if (!kept.enabled) {
    return html`<p>Conversations end with their model's engine, since the config has <code>conversations.enabled = false</code>.</p>`;
  }
  const now = Date.now() / 1000;
  return html`
    <p>${sentence(kept)}</p>
    <${LongTable} label="Conversations on disk" kind="conversations" columns=${COLUMNS} rows=${kept.data} height=${52} narrowHeight=${112}
      keyOf=${(row) => row.model} empty="No conversation has rested yet."
      row=${(row) => [
        html`<${ModelLink} id=${row.model} />`,
        bytes(row.bytes),
        ago(Math.max(0, now - row.last_used)),
        html`<button aria-label=${`Remove the conversations of ${row.model}`} onClick=${() => setRemoving(row.model)}>Remove</button>`,
      ]} />
    ${kept.data.length > 1 && html`<p><button onClick=${() => setRemoving("")}>Remove all conversations</button></p>`}
    ${removing !== null && html`<${Remove} model=${removing} close=${() => setRemoving(null)} />`}`;
}
