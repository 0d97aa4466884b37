// The dialog before a model is loaded, parked, unloaded or pinned: it says what that means, and then does it.
import { html, useEffect, useState } from "./htm.js";
import { call, modelPath } from "./api.js";
import { list, percent } from "./format.js";
import { Dialog, Progress, Trouble } from "./parts.js";
import { ask, lookAtStats, models, say, useStore } from "./store.js";
import { CONSEQUENCES, plan } from "./words.js";

const VERBS = {
  load: { title: "Load", doing: "Loading", button: "Load it" },
  park: { title: "Park", doing: "Parking", button: "Park it" },
  unload: { title: "Unload", doing: "Unloading", button: "Unload it" },
  pin: { title: "Pin", doing: "Pinning", button: "Pin it" },
  unpin: { title: "Unpin", doing: "Unpinning", button: "Unpin it" },
};

function done(answer) {
  const left = answer.evicted?.length ? ` To make room, ${list(answer.evicted)} left.` : "";
  return `${answer.model_id}: ${answer.message}.${left}`;
}

export function ActionDialog() {
  const { asking } = useStore();
  return asking ? html`<${Ask} key=${`${asking.verb} ${asking.model}`} ...${asking} />` : null;
}

function Ask({ verb, model: id }) {
  const state = useStore();
  const [answer, setAnswer] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [busy, setBusy] = useState(false);
  const words = VERBS[verb];
  const model = models().find((entry) => entry.id === id) ?? { id, memory_mb: 0, leases: 0 };
  const [title] = useState(verb === "load" && model.state === "parked" ? "Wake" : words.title);
  const close = () => ask(null, null);

  useEffect(() => {
    if (verb !== "load") return;
    call("POST", `${modelPath(id)}/load?dry_run=true`).then(setAnswer, setTrouble);
  }, []);

  const act = async (force) => {
    setBusy(true);
    setTrouble(null);
    try {
      say(done(await call("POST", `${modelPath(id)}/${verb}${force ? "?force=true" : ""}`)));
      lookAtStats(); // no event reports pins
      close();
    } catch (error) {
      setTrouble(error);
      setBusy(false);
    }
  };

  const sentences = verb === "load" ? (answer ? plan(answer) : []) : CONSEQUENCES[verb](model, state.conversations?.enabled);
  const known = verb !== "load" || answer !== null;
  const fraction = state.progress.get(id);
  return html`<${Dialog} title=${`${title} ${id}?`} close=${close}>
    ${!known && !trouble && html`<p>Asking the server what this takes…</p>`}
    ${sentences.map((sentence) => html`<p>${sentence}</p>`)}
    ${busy && html`<p role="status">${words.doing}${fraction === undefined ? "" : ` ${percent(fraction)}`}…
      ${verb === "load" && html`<${Progress} fraction=${fraction} label=${words.doing} />`}</p>`}
    <${Trouble} text=${trouble?.message} />
    <div class="buttons">
      <button class="primary" disabled=${busy || !known} onClick=${() => act(false)}>${title === "Wake" ? "Wake it" : words.button}</button>
      ${trouble?.status === 409 && verb !== "load" && html`<button class="danger" disabled=${busy} onClick=${() => act(true)}>Do it anyway</button>`}
      <button onClick=${close}>${busy ? "Close" : "Cancel"}</button>
    </div>
  <//>`;
}

// The buttons of one model.
export function Actions({ model }) {
  const button = (verb, label, possible) => html`<button disabled=${!possible} aria-label=${`${label} ${model.id}`}
    onClick=${() => ask(verb, model.id)}>${label}</button>`;
  const resident = model.state !== "cold" && model.state !== "quarantined" && model.state !== "stopping";
  return html`<span class="actions">
    ${button("load", model.state === "parked" ? "Wake" : "Load", !resident || model.state === "parked")}
    ${button("park", "Park", model.state === "hot" && model.can_park !== false)}
    ${button("unload", "Unload", resident)}
    ${model.pinned ? button("unpin", "Unpin", true) : button("pin", "Pin", true)}
  </span>`;
}
