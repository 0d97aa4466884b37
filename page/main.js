// The page's frame: the sign-in, the view for the address behind "#", messages about lost connections and finished deeds.
import { html, render, useEffect, useRef, useState } from "./htm.js";
import { ActionDialog } from "./action.js";
import { Chat } from "./chat.js";
import { Doctor } from "./doctor.js";
import { Get } from "./get.js";
import { Memory } from "./memory.js";
import { Model } from "./model.js";
import { Models } from "./models.js";
import { Trouble } from "./parts.js";
import { Requests } from "./requests.js";
import { isSignedIn, say, signIn, signOut, start, useStore } from "./store.js";
import { Timeline } from "./timeline.js";

const VIEWS = [
  ["memory", "Memory", Memory],
  ["models", "Models", Models],
  ["timeline", "Timeline", Timeline],
  ["requests", "Requests", Requests],
  ["get", "Get models", Get],
  ["doctor", "Doctor", Doctor],
  ["chat", "Chat", Chat],
];
const SAID_MS = 8000;

// {name, argument} of "#/model/an%20id".
function place() {
  const [name, argument] = location.hash.replace(/^#\/?/, "").split("/", 2);
  return { name: name || "memory", argument: decodeURIComponent(argument ?? "") };
}

function usePlace() {
  const [now, set] = useState(place());
  useEffect(() => {
    const listen = () => set(place());
    addEventListener("hashchange", listen);
    return () => removeEventListener("hashchange", listen);
  }, []);
  return now;
}

function SignIn() {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setTrouble("");
    try {
      await signIn(key);
    } catch (error) {
      setTrouble(error.status === 401 ? "That is not one of this server's keys." : error.message);
      setBusy(false);
    }
  };
  return html`<main class="sign-in">
    <h1>Minerva</h1>
    <p>This server needs an API key. It is exchanged for a cookie of this browser, and kept nowhere else.</p>
    <form onSubmit=${submit}>
      <label class="field">API key <input type="password" autocomplete="current-password" required autofocus value=${key}
        onInput=${(event) => setKey(event.target.value)} /></label>
      <button class="primary" disabled=${busy}>Sign in</button>
    </form>
    <${Trouble} text=${trouble} />
  </main>`;
}

function Said() {
  const { said } = useStore();
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => say(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<div role="status" class=${said ? "said" : ""}>${said}</div>`;
}

function Connection() {
  const { connected, failed, draining } = useStore();
  if (connected === false) {
    return html`<p class="banner" role="alert">The connection to the server is lost. What you see is from before. The page tries again by itself.</p>`;
  }
  if (draining) return html`<p class="banner" role="alert">The server is shutting down: running requests end, new ones are turned away.</p>`;
  return html`<${Trouble} text=${[...new Set(failed.values())].join(" ")} />`;
}

function View() {
  const { name, argument } = usePlace();
  const heading = useRef(null);
  const moved = useRef(false);
  const isModel = name === "model";
  const [, title, Body] = VIEWS.find(([path]) => path === name) ?? ["", isModel ? argument : "There is no such view", isModel ? Model : null];
  useEffect(() => {
    document.title = `${title} · Minerva`;
    // After a link, the keyboard and screen readers begin here.
    if (moved.current) heading.current?.focus();
    moved.current = true;
  }, [title]);
  return html`
    <nav aria-label="Views">${VIEWS.map(([path, label]) => html`<a href=${`#/${path}`}
      aria-current=${path === name || (isModel && path === "models") ? "page" : undefined}>${label}</a>`)}</nav>
    <main id="content">
      <h1 tabindex="-1" ref=${heading}>${title}</h1>
      <${Connection} />
      ${Body ? html`<${Body} key=${argument} id=${argument} />` : html`<p><a href="#/memory">Begin at Memory</a></p>`}
    </main>`;
}

function App() {
  const { session, failed } = useStore();
  if (session === null) return html`<main class="sign-in"><h1>Minerva</h1><p role="status">${failed.get("session") ?? "Asking the server…"}</p></main>`;
  if (!isSignedIn()) return html`<${SignIn} />`;
  return html`
    <a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.getElementById("content").querySelector("h1").focus(); }}>To the content</a>
    <header><span class="name">Minerva</span>${session.signed_in && html`<button onClick=${signOut}>Sign out</button>`}</header>
    <${View} />
    <${Said} />
    <${ActionDialog} />`;
}

start();
render(html`<${App} />`, document.getElementById("app"));
