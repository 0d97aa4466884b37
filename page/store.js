// What the page knows about the server, and how it stays up to date: it reads events as they come, asks for the requests
// every two seconds, and asks for everything anew after a lost connection. It asks for nothing while nobody sees the page.
import { useEffect, useReducer } from "./htm.js";
import { call, onSignedOut, Problem } from "./api.js";

const TICK_MS = 2000;
const SAMPLES_EVERY = 3; // ticks
const MODELS_EVERY = 15; // ticks: no event reports the result of an inspection, nor what is saved of conversations
const SETTLE_MS = 250; // several changes at once cause one look
const RETRY_MS = 3000;
const MOST_DECISIONS = 10000;
const HOUR_S = 3600;
const EVENTS = ["state", "progress", "eviction", "decision", "pressure", "catalog", "config", "download", "draining", "gap"];

export const state = {
  session: null, // {keys_needed, signed_in}
  connected: null, // null: not tried yet
  draining: false,
  failed: new Map(), // looks that failed last time -> why, in words
  stats: null,
  statsAt: 0,
  catalog: [], // GET /v1/models, with presets
  problems: [],
  requests: null, // {in_flight, recent}
  samples: [],
  decisions: [], // the oldest first
  downloads: null,
  conversations: null, // GET /v1/conversations
  progress: new Map(), // of loads: model -> 0 to 1
  missing: new Set(), // routes that this server does not have
  asking: null, // {verb, model}: what somebody is about to do
  said: "", // the last thing that was done, in words
};

const listeners = new Set();
let pending = false;
let version = 0; // counts changes of the state

// Tells the views about changes, at most once a frame.
function changed() {
  ++version;
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    for (const listener of [...listeners]) listener();
  });
}

export function useStore() {
  const [, again] = useReducer((n) => n + 1, 0);
  const drawn = version;
  useEffect(() => {
    listeners.add(again);
    if (version !== drawn) again(); // the state changed between the first drawing and now
    return () => listeners.delete(again);
  }, []);
  return state;
}

export const isSignedIn = () => state.session !== null && (state.session.signed_in || !state.session.keys_needed);

export function say(text) {
  state.said = text;
  changed();
}

export function ask(verb, model) {
  state.asking = model ? { verb, model } : null;
  changed();
}

// Models without presets, each with its statistics.
export function models() {
  const resident = new Map((state.stats?.models ?? []).map((model) => [model.id, model]));
  return state.catalog.filter((model) => !model.preset_of).map((model) => {
    const now = resident.get(model.id);
    return { ...model, memory_mb: 0, leases: 0, waiting: 0, last_used_s: null, pinned: false, ...now,
             state: now?.state ?? "cold", resident: now !== undefined };
  });
}

export const latestSample = () => state.samples.at(-1) ?? null;

// Tokens per second of a model, as far as they are known.
export function speedOf(id) {
  const running = (state.requests?.in_flight ?? []).filter((request) => request.model === id && request.phase === "generating");
  const sum = running.reduce((total, request) => total + (request.tokens_per_second ?? 0), 0);
  return sum || latestSample()?.models[id]?.tokens_per_second || null;
}

// ---- looks ----

// `name` is kept in `missing` where the server has no such route.
async function look(name, path, take) {
  if (state.missing.has(name)) return;
  try {
    take(await call("GET", path));
    state.failed.delete(name);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.isMissingRoute) state.missing.add(name);
    else if (error.status !== 401) state.failed.set(name, error.message);
  }
  changed();
}

export const lookAtStats = () => look("stats", "v1/models/stats", (answer) => {
  state.stats = answer;
  state.statsAt = Date.now();
  for (const id of state.progress.keys()) {
    if (answer.models.find((model) => model.id === id)?.state !== "loading") state.progress.delete(id);
  }
});

export const lookAtModels = () => look("models", "v1/models", (answer) => {
  state.catalog = answer.data;
  state.problems = answer.problems ?? [];
});

export const lookAtRequests = () => look("requests", "v1/requests", (answer) => {
  state.requests = answer;
});

export const lookAtDownloads = () => look("downloads", "v1/downloads", (answer) => {
  state.downloads = answer.data;
});

export const lookAtConversations = () => look("conversations", "v1/conversations", (answer) => {
  state.conversations = answer;
});

function lookAtSamples() {
  const since = latestSample()?.time;
  return look("samples", since ? `v1/samples?since=${since}` : "v1/samples", (answer) => {
    const fresh = answer.samples.filter((sample) => !since || sample.time > since);
    if (fresh.length === 0) return;
    const all = state.samples.concat(fresh);
    const begin = (all.at(-1)?.time ?? 0) - HOUR_S;
    state.samples = all.filter((sample) => sample.time >= begin);
  });
}

const lookAtDecisions = () => look("decisions", "v1/decisions?limit=1000", (answer) => {
  takeDecisions(answer.data.reverse());
});

// An id counts up, and from 1 again after a restart.
function takeDecisions(fresh) {
  const known = new Map(state.decisions.map((decision) => [decision.id, decision]));
  const restarted = fresh.some((decision) => (known.get(decision.id)?.kind ?? decision.kind) !== decision.kind);
  if (restarted) known.clear();
  for (const decision of fresh) known.set(decision.id, decision);
  state.decisions = [...known.values()].sort((a, b) => a.id - b.id).slice(-MOST_DECISIONS);
}

const due = new Map(); // look -> timer
function soon(fn) {
  if (due.has(fn)) return;
  due.set(fn, setTimeout(() => {
    due.delete(fn);
    fn();
  }, SETTLE_MS));
}

function lookAtAll() {
  state.missing.clear();
  return Promise.all([lookAtStats(), lookAtModels(), lookAtRequests(), lookAtSamples(), lookAtDecisions(), lookAtDownloads(),
    lookAtConversations()]);
}

// ---- events ----

let source = null;
let lastEvent = "";
let retry = null;

const TAKERS = {
  state(event) {
    const model = state.stats?.models.find((entry) => entry.id === event.model);
    if (model) model.state = event.state;
    soon(lookAtStats);
    if (event.last_error || event.state === "quarantined") soon(lookAtModels);
  },
  progress(event) {
    state.progress.set(event.model, event.progress);
  },
  decision(event) {
    if (event.id > (state.decisions.at(-1)?.id ?? 0)) {
      state.decisions = state.decisions.concat(event).slice(-MOST_DECISIONS);
    } else {
      takeDecisions([event]);
    }
  },
  catalog() {
    soon(lookAtModels);
    soon(lookAtStats);
  },
  download(event) {
    const job = event.download ?? event;
    const others = (state.downloads ?? []).filter((entry) => entry.id !== job.id);
    state.downloads = [job, ...others];
  },
  draining() {
    state.draining = true;
  },
  gap() {
    lookAtAll();
  },
  eviction() {
    soon(lookAtStats);
  },
  pressure() {
    soon(lookAtStats);
  },
  config() {
    soon(lookAtStats);
    soon(lookAtModels);
  },
};

function openEvents() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource(lastEvent ? `v1/events?last_event_id=${lastEvent}` : "v1/events");
  source.onopen = () => {
    state.connected = true;
    state.draining = false;
    lookAtAll();
    changed();
  };
  source.onerror = () => {
    state.connected = false;
    changed();
    // A browser reconnects by itself after a broken connection, but not after an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(begin, RETRY_MS);
  };
  for (const name of EVENTS) {
    source.addEventListener(name, (message) => {
      lastEvent = message.lastEventId || lastEvent;
      TAKERS[name](JSON.parse(message.data));
      changed();
    });
  }
}

// ---- life ----

let timer = null;
let ticks = 0;

function tick() {
  if (state.connected === false) return;
  ++ticks;
  lookAtRequests();
  // No event reports which requests run or wait.
  const busy = state.missing.has("requests") || (state.requests?.in_flight.length ?? 0) > 0;
  if (busy || state.stats?.models.some((model) => model.leases + model.waiting > 0)) lookAtStats();
  if (ticks % SAMPLES_EVERY === 0) lookAtSamples();
  if (ticks % MODELS_EVERY === 0) {
    lookAtModels();
    lookAtConversations();
  }
  if (state.downloads?.some((job) => job.state === "running" || job.state === "queued")) lookAtDownloads();
}

function pause() {
  clearTimeout(retry);
  clearInterval(timer);
  timer = null;
  source?.close();
  source = null;
}

async function begin() {
  pause();
  if (document.hidden) return;
  try {
    state.session = await call("GET", "v1/session");
  } catch (error) {
    state.connected = false;
    state.failed.set("session", error.message);
    retry = setTimeout(begin, RETRY_MS);
    return changed();
  }
  state.failed.delete("session");
  if (isSignedIn() && !document.hidden) {
    openEvents();
    timer = setInterval(tick, TICK_MS);
  }
  changed();
}

export async function signIn(key) {
  state.session = await call("POST", "v1/session", { body: { key } });
  await begin();
}

export async function signOut() {
  await call("DELETE", "v1/session");
  location.reload(); // nothing that was shown stays in memory
}

export function start() {
  onSignedOut(() => {
    if (state.session?.signed_in) {
      pause();
      state.session = { ...state.session, signed_in: false };
      state.connected = null;
      changed();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : begin()));
  begin();
}
