// Timeline: the last hour by the server's samples, with the decisions in it.
import { html, useEffect, useMemo, useRef, useState } from "./htm.js";
import uPlot from "./uPlot.js";
import { clock, mib } from "./format.js";
import { colourOf } from "./memory.js";
import { Missing } from "./parts.js";
import { useStore } from "./store.js";
import { Decision, DecisionList } from "./decisions.js";
import { isSwitch } from "./words.js";

const MOST_BANDS = 8; // models with an area of their own; the others are one area together
const REACH = 12; // pixels that a click may be off

const MIB = 1048576;
const POWERS_OF_TWO = Array.from({ length: 24 }, (_, power) => 2 ** power); // MiB between two lines
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The models with the most memory over the hour, the largest first.
function banded(samples) {
  const sums = new Map();
  for (const sample of samples) {
    for (const [id, model] of Object.entries(sample.models)) sums.set(id, (sums.get(id) ?? 0) + model.bytes);
  }
  return [...sums].sort((a, b) => b[1] - a[1]).slice(0, MOST_BANDS).map(([id]) => id);
}

// Stacked areas: each line is the sum of its own value and all below it, and the highest is drawn first.
function memoryData(samples, ids) {
  const times = samples.map((sample) => sample.time);
  const lines = [samples.map((sample) => sample.used_bytes / MIB)];
  for (let keep = ids.length; keep > 0; --keep) {
    lines.push(samples.map((sample) => ids.slice(0, keep).reduce((sum, id) => sum + (sample.models[id]?.bytes ?? 0), 0) / MIB));
  }
  return [times, ...lines, samples.map((sample) => sample.budget_bytes / MIB)];
}

function memorySeries(ids) {
  const area = (label, name) => ({ label, fill: colour(name), stroke: colour(name), width: 1, points: { show: false } });
  return [{}, area("others", "--rest"), ...ids.toReversed().map((id) => area(id, `--colour-${colourOf(id)}`)),
          { label: "budget", stroke: colour("--text"), dash: [6, 4], width: 1, points: { show: false } }];
}

const line = (label, name) => ({ label, stroke: colour(name), fill: `${colour(name)}33`, width: 2, points: { show: false } });

const SYNC = uPlot.sync("timeline");
const DARK = matchMedia("(prefers-color-scheme: dark)");

function options({ width, height, series, unit, incrs, marks, choose }) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width,
    height,
    series,
    legend: { show: false },
    padding: [8, 22, 0, 0],
    cursor: { sync: { key: SYNC.key }, drag: { x: false, y: false }, points: { show: false } },
    // Up to now, so that decisions since the last sample are shown too.
    scales: { x: { time: true, range: (_, min, max) => [min, Math.max(max, Date.now() / 1000)] }, y: { range: (_, min, max) => [0, Math.max(1, (max ?? 0) * 1.08)] } },
    axes: [{ ...axis, values: (_, ticks, at, space, step) => ticks.map((time) => clock(time * 1000).slice(0, step < 60 ? 8 : 5)), space: 72, size: 26 },
           { ...axis, size: 72, values: (_, ticks) => ticks.map(unit), space: 28, incrs }],
    hooks: {
      draw: [(plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = colour("--text");
        ctx.globalAlpha = 0.55;
        ctx.lineWidth = devicePixelRatio;
        ctx.beginPath();
        let before = -1;
        for (const mark of marks()) {
          const x = Math.round(plot.valToPos(mark.at, "x", true));
          if (x < bbox.left || x > bbox.left + bbox.width || x === before) continue;
          before = x;
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + 10 * devicePixelRatio);
        }
        ctx.stroke();
        ctx.restore();
      }],
      ready: [(plot) => {
        plot.over.addEventListener("click", (event) => {
          const at = event.clientX - plot.over.getBoundingClientRect().left;
          let best = null;
          let distance = REACH;
          for (const mark of marks()) {
            const off = Math.abs(plot.valToPos(mark.at, "x") - at);
            if (off <= distance) [best, distance] = [mark.decision, off];
          }
          if (best) choose(best);
        });
      }],
    },
  };
}

// A chart. If `shape` changes, the chart is made anew; otherwise it gets new data.
function Chart({ label, shape, series, data, unit, incrs, height, marks, choose }) {
  const box = useRef(null);
  const plot = useRef(null);
  const latest = useRef({});
  latest.current = { marks, choose };
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options({
        width: box.current.clientWidth, height, series: series(), unit, incrs,
        marks: () => latest.current.marks,
        choose: (decision) => latest.current.choose(decision),
      }), data, box.current);
    };
    make();
    const observer = new ResizeObserver(() => plot.current.setSize({ width: box.current.clientWidth, height }));
    observer.observe(box.current);
    DARK.addEventListener("change", make);
    return () => {
      observer.disconnect();
      DARK.removeEventListener("change", make);
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [data]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

export function Timeline() {
  const { samples, decisions, missing } = useStore();
  const [chosen, setChosen] = useState(null);
  const switches = useMemo(() => decisions.filter(isSwitch), [decisions]);
  const marked = useMemo(() => switches.map((decision) => ({ at: Date.parse(decision.time) / 1000, decision })), [switches]);
  const ids = useMemo(() => banded(samples), [samples]);
  const memory = useMemo(() => memoryData(samples, ids), [samples, ids.join()]);
  const times = memory[0];
  const tokens = useMemo(() => [times, samples.map((sample) => sample.tokens_per_second)], [memory]);
  const waits = useMemo(() => [times, samples.map((sample) => sample.waiting)], [memory]);
  const marks = { marks: marked, choose: setChosen };
  const last = samples.at(-1);
  const panel = useRef(null);
  // The clicked chart may be far above the decision.
  useEffect(() => {
    if (chosen) panel.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const from = samples.length > 0 ? `from ${clock(samples[0].time * 1000)} to ${clock(last.time * 1000)}` : "";
  return html`
    ${missing.has("samples") && html`<${Missing} what="The last hour's memory and speed" route="GET /v1/samples" />`}
    ${!missing.has("samples") && samples.length === 0 && html`<p class="empty">The server has sampled nothing yet; it does so every few seconds.</p>`}
    ${samples.length > 0 && html`
      <p class="quiet">The last hour, ${from}. The short lines at the top of a chart are switches: choose one to see why.</p>
      <h2>Memory by model</h2>
      <${Chart} shape=${`memory ${ids.join()}`} label=${`Memory by model ${from}; now ${mib(last.used_bytes / MIB)} of ${mib(last.budget_bytes / MIB)}`}
        series=${() => memorySeries(ids)} data=${memory} unit=${mib} incrs=${POWERS_OF_TWO} height=${220} ...${marks} />
      <ul class="legend">${ids.map((id) => html`<li><span class=${`swatch colour-${colourOf(id)}`}></span>${id}</li>`)}
        <li><span class="swatch rest"></span>others</li><li><span class="swatch budget"></span>budget</li></ul>
      <h2>Tokens a second</h2>
      <${Chart} shape="tokens" label=${`Tokens a second ${from}; now ${Math.round(last.tokens_per_second)}`} series=${() => [{}, line("tokens/s", "--colour-0")]}
        data=${tokens} unit=${(value) => `${value}`} height=${130} ...${marks} />
      <h2>Requests that wait</h2>
      <${Chart} shape="waits" label=${`Requests that wait ${from}; now ${last.waiting}`} series=${() => [{}, line("waiting", "--colour-1")]}
        data=${waits} unit=${(value) => (Number.isInteger(value) ? `${value}` : "")} height=${110} ...${marks} />`}
    <h2>Switches</h2>
    <div aria-live="polite" class="chosen" ref=${panel}>${chosen
      ? html`<${Decision} decision=${chosen} decisions=${decisions} />`
      : html`<p class="quiet">Choose one to see what was decided, and what for.</p>`}</div>
    <${DecisionList} label="Switches" decisions=${switches} chosen=${chosen?.id} choose=${setChosen}
      empty="No model came or left since the server started." />`;
}
