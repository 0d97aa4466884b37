// Get models: the choices of a repository and whether they fit, and the downloads.
import { html, useEffect, useState } from "./htm.js";
import { call } from "./api.js";
import { bytes, mib } from "./format.js";
import { LongTable, Missing, Progress, Trouble } from "./parts.js";
import { lookAtDownloads, say, useStore } from "./store.js";
import { download } from "./words.js";

const FITS = { fits: "fits", "fits smaller": "fits with less than usual", "does not fit": "does not fit this machine" };
const CHOICES = ["Model", "File size", "Memory", "Here", "Get it"];
const COMPANIONS = { mtp: "its file for predicting several tokens (MTP)", draft: "its draft model" };
const JOBS = ["Model", "How it goes", "Actions"];

// The companions that some of the choices can have: kind -> bytes of the smallest.
function companionsOf(choices) {
  const kinds = new Map();
  for (const { kind, size_bytes: size } of choices.flatMap((choice) => choice.companions ?? [])) {
    kinds.set(kind, Math.min(size, kinds.get(kind) ?? Infinity));
  }
  return [...kinds];
}

const ended = (job) => job.state === "done" || job.state === "failed" || job.state === "cancelled";

export function Get() {
  const { downloads, missing } = useStore();
  const [name, setName] = useState("");
  const [choices, setChoices] = useState(null);
  const [wanted, setWanted] = useState([]); // kinds of companions
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    lookAtDownloads();
  }, []);
  if (missing.has("downloads")) {
    return html`<${Missing} what="Getting models" route="GET /v1/downloads" />
      <p>Put GGUF files into one of the server's models folders instead: they are found at once.</p>`;
  }
  const attempt = async (work) => {
    setBusy(true);
    setTrouble("");
    try {
      await work();
    } catch (error) {
      setTrouble(error.message);
    }
    setBusy(false);
  };
  const search = (event) => {
    event.preventDefault();
    setChoices(null);
    setWanted([]);
    attempt(async () => setChoices(await call("POST", "v1/pull?dry_run=true", { body: { model: name.trim() } })));
  };
  const want = (kind) => setWanted(wanted.includes(kind) ? wanted.filter((other) => other !== kind) : [...wanted, kind]);
  const pull = ({ model, companions = [] }) => attempt(async () => {
    const come = companions.map(({ kind }) => kind).filter((kind) => wanted.includes(kind));
    await call("POST", "v1/pull", { body: { model, with: come } });
    say(`${model} is being fetched.`);
    await lookAtDownloads();
  });
  const cancel = (job) => attempt(async () => {
    await call("DELETE", `v1/downloads/${encodeURIComponent(job.id)}`);
    say(`The download of ${job.model} was cancelled.`);
    await lookAtDownloads();
  });
  const pause = (job) => attempt(async () => {
    const deed = job.state === "paused" ? "resume" : "pause";
    await call("POST", `v1/downloads/${encodeURIComponent(job.id)}/${deed}`);
    say(deed === "pause" ? `The download of ${job.model} is paused, also over a restart.` : `The download of ${job.model} goes on.`);
    await lookAtDownloads();
  });
  return html`
    <form class="line" onSubmit=${search}>
      <label class="field">Repository <input required size="36" placeholder="org/name or org/name:Q4_K_M" value=${name}
        autocomplete="off" autocapitalize="none" spellcheck=${false} onInput=${(event) => setName(event.target.value)} /></label>
      <button class="primary" disabled=${busy}>${busy ? "Asking…" : "Show what it has"}</button>
    </form>
    <${Trouble} text=${trouble} />
    ${choices && html`
      <h2>${choices.repo}</h2>
      <p>${choices.license ? `Licence: ${choices.license}. ` : ""}${choices.gated ? "Its licence has to be accepted on its own page first, and the server needs a token. " : ""}
        ${choices.chosen ? `For this machine: ${choices.chosen}. ${choices.why}` : choices.why}</p>
      ${companionsOf(choices.data).map(([kind, size]) => html`<p key=${kind}><label><input type="checkbox"
        checked=${wanted.includes(kind)} onChange=${() => want(kind)} /> With ${COMPANIONS[kind] ?? kind}, ${bytes(size)} or more;
        the model's <code>args</code> have to name it.</label></p>`)}
      <${LongTable} label="What the repository has" kind="choices" columns=${CHOICES} rows=${choices.data} height=${48} narrowHeight=${112}
        keyOf=${(choice) => choice.model} empty="There is no GGUF file in it."
        row=${(choice) => [
          html`${choice.model}${choice.model === choices.chosen ? html` <span class="tag">chosen</span>` : ""}`,
          bytes(choice.size_bytes),
          choice.expected_memory_mb ? `about ${mib(choice.expected_memory_mb)}` : "–",
          html`<span class=${choice.fit === "does not fit" ? "outcome failed" : "outcome completed"}>${FITS[choice.fit] ?? choice.fit}</span>`,
          html`<button disabled=${busy} aria-label=${`Get ${choice.model}`} onClick=${() => pull(choice)}>Get</button>`,
        ]} />`}
    <h2>Downloads</h2>
    <${LongTable} label="Downloads" kind="jobs" columns=${JOBS} rows=${downloads ?? []} height=${64} narrowHeight=${156}
      keyOf=${(job) => job.id} empty="Nothing is being fetched. Downloads go on when this page is closed, and after a restart."
      row=${(job) => [
        job.model,
        html`<span class=${job.state === "failed" ? "outcome failed" : ""} title=${download(job)}>${download(job)}</span>${!ended(job) &&
          html`<${Progress} fraction=${job.size_bytes ? job.done_bytes / job.size_bytes : undefined} label=${`Download of ${job.model}`} />`}`,
        html`<button disabled=${busy || ended(job)} aria-label=${`${job.state === "paused" ? "Resume" : "Pause"} the download of ${job.model}`}
            onClick=${() => pause(job)}>${job.state === "paused" ? "Resume" : "Pause"}</button>${" "}
          <button disabled=${busy || ended(job)} aria-label=${`Cancel the download of ${job.model}`} onClick=${() => cancel(job)}>Cancel</button>`,
      ]} />`;
}
