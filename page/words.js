// Turns decisions, plans and states of the server into sentences. Text only: nothing here becomes HTML.
import { bytes, count, list, mib, percent, plural, seconds } from "./format.js";

export const STATES = {
  cold: "not in memory",
  preparing: "being inspected",
  loading: "loading",
  hot: "in memory",
  parking: "being parked",
  parked: "parked",
  waking: "waking",
  stopping: "being stopped",
  quarantined: "failed",
};

export const KINDS = {
  load: "loaded",
  wake: "woken",
  make_room: "made room",
  wait: "had to wait",
  park: "parked",
  stop: "stopped",
  refuse: "refused",
};

// The kinds of decisions that change what is in memory.
export const isSwitch = (decision) => decision.kind !== "wait" && decision.kind !== "refuse";

export function phase(request) {
  const part = request.fraction === null ? "" : ` ${percent(request.fraction)}`;
  switch (request.phase) {
    case "receiving":
      return "receiving the request";
    case "waiting":
      return request.place ? `waiting for its turn, number ${request.place} in line` : "waiting for its turn";
    case "reading":
      return `reading${part}${request.prompt_tokens ? `${part ? " of" : ""} ${plural(request.prompt_tokens, "token")}` : ""}`;
    case "generating":
      return request.generated_tokens === null ? "generating" : `generating, ${plural(request.generated_tokens, "token")} so far`;
    default:
      return `${request.phase}${part}`;
  }
}

const CONFIDENCE = {
  measured: "as its own last loads took",
  guessed: "guessed from loads of others",
  unknown: "a guess without experience",
};

const SETTINGS = {
  context: "a context of",
  parallel: "slots:",
  weights: "weights:",
  context_checkpoints: "context checkpoints:",
  prompt_cache_mib: "prompt cache in MiB:",
};

// What gave way so that a model fits: "a context of 5,120 instead of 8,192; slots: 1 instead of 2".
export function gaveWay(list) {
  const shown = (value) => (typeof value === "number" ? count(value) : value);
  return list.map(({ setting, from, to }) => `${SETTINGS[setting] ?? setting} ${shown(to)} instead of ${shown(from)}`).join("; ");
}

// The result of a dry run of a load, in sentences.
export function plan(answer) {
  const sentences = [];
  if (answer.state === "hot") return [`${answer.model_id} is in memory already; nothing has to be done.`];
  sentences.push(`It takes ${mib(answer.estimated_memory_mb)}; ${mib(answer.free_memory_mb)} of the budget ${answer.free_memory_mb === 1 ? "is" : "are"} free.`);
  if (answer.gave_way) sentences.push(`It would run with ${gaveWay(answer.gave_way)}, to fit the memory budget.`);
  if (answer.would_evict.length > 0) {
    sentences.push(`${list(answer.would_evict)} ${answer.would_evict.length === 1 ? "has" : "have"} to leave for it. To have ${answer.would_evict.length === 1 ? "it" : "them"} back takes about ${seconds(answer.cost_ms / 1000)}. The reason: ${answer.message.replace(/\.$/, "")}.`);
  } else if (answer.possible) {
    sentences.push("Nobody has to leave for it.");
  }
  sentences.push(answer.expected_load_ms === null
    ? "How long it takes is not known before its first load."
    : `It should take about ${seconds(answer.expected_load_ms / 1000)} (${CONFIDENCE[answer.confidence] ?? answer.confidence}).`);
  if (!answer.possible) sentences.push(`It is not possible at this moment: ${answer.message} It would wait for its turn.`);
  return sentences;
}

const running = (model) => model.leases > 0
  ? [`${plural(model.leases, "request")} of it ${model.leases === 1 ? "is" : "are"} running; it waits for ${model.leases === 1 ? "its" : "their"} end, at most half a minute unless the config says otherwise.`]
  : [];

// What parking, unloading, pinning and unpinning mean for a model: the server has no dry run of these. `keeps`: whether
// conversations are kept on disk.
export const CONSEQUENCES = {
  park: (model) => [
    `This frees most of its ${mib(model.memory_mb)}. No other model is displaced.`,
    "Its conversations go to an image on disk; it is back within moments when it is asked again.",
    ...running(model),
  ],
  unload: (model, keeps) => [
    `This frees ${model.memory_mb ? mib(model.memory_mb) : "what it holds"}. No other model is displaced.`,
    `${keeps ? "Its conversations stay on disk" : "Its conversations are dropped"}${model.image_mb ? `; its image of ${mib(model.image_mb)} is removed` : ""}; the next request loads it anew.`,
    ...running(model),
  ],
  pin: (model) => [
    model.memory_mb
      ? `It never leaves memory for another model: ${mib(model.memory_mb)} of the budget are its own until it is unpinned.`
      : "Once it is in memory it never leaves for another model, until it is unpinned.",
    "This holds until the server restarts; `pin = true` in the config stays.",
  ],
  unpin: () => ["It may leave memory for another model again. Nothing else changes now."],
};

// A decision and its causes, the first cause last.
export function causes(decision, decisions) {
  const chain = [];
  for (let id = decision.because_of; id && chain.length < 5;) {
    const cause = decisions.find((entry) => entry.id === id);
    if (!cause) break;
    chain.push(cause);
    id = cause.because_of;
  }
  return chain;
}

export function standing(candidate) {
  const what = candidate.leaves_by === "park" ? "was parked" : "was stopped";
  const verdict = candidate.chosen ? `${what}, which frees ${mib(candidate.frees_mb)}` : "stayed";
  return candidate.standing ? `${verdict} (${candidate.standing})` : verdict;
}

// The state of a download.
export function download(job) {
  if (job.state === "failed") return job.error?.message ?? "It failed, and the server does not say why.";
  if (job.state === "done") return job.model_id ? `done: ask for ${job.model_id}` : "done";
  if (job.state === "cancelled") return "cancelled; what came of it is not kept";
  if (job.state === "paused") return "paused; Resume goes on where it was";
  if (job.state === "queued") return "waits for its turn";
  const left = job.seconds_left === null || job.seconds_left === undefined ? "" : `, ${seconds(job.seconds_left)} left`;
  const rate = job.bytes_per_second ? `, ${bytes(job.bytes_per_second)} a second${left}` : "";
  return `${job.doing ?? "fetching"}: ${bytes(job.done_bytes)} of ${job.size_bytes ? bytes(job.size_bytes) : "an unknown size"}${rate}`;
}
