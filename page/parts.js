// Parts that several views use: long lists, states, progress, dialogs.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./htm.js";
import { percent } from "./format.js";
import { STATES } from "./words.js";

const OVERSCAN = 5; // rows that are drawn above and below those in sight
const STEP = 4; // after a scroll by so many rows the table is drawn anew

const NARROW = matchMedia("(max-width: 1099px)");
function useNarrow() {
  const [narrow, set] = useState(NARROW.matches);
  useEffect(() => {
    const listen = () => set(NARROW.matches);
    NARROW.addEventListener("change", listen);
    return () => NARROW.removeEventListener("change", listen);
  }, []);
  return narrow;
}

// A table of which only the rows in sight are in the document. All rows have one height, in pixels; `columns` are the
// headings, which narrow screens do without; `row` gives a row's cells. `kind` names the columns' widths in style.css.
export function LongTable({ label, kind, columns, rows, row, keyOf, height, narrowHeight, empty }) {
  const narrow = useNarrow();
  const box = useRef(null);
  const [first, setFirst] = useState(0);
  const [seen, setSeen] = useState(12);
  const size = narrow ? narrowHeight : height;
  useLayoutEffect(() => {
    const measure = () => {
      if (!box.current) return;
      setFirst(Math.max(0, Math.floor(box.current.scrollTop / size / STEP) * STEP - OVERSCAN));
      setSeen(Math.ceil(box.current.clientHeight / size) + STEP);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    box.current.addEventListener("scroll", measure, { passive: true });
    const watched = box.current;
    return () => {
      observer.disconnect();
      watched.removeEventListener("scroll", measure);
    };
  }, [size, rows.length === 0]);
  if (rows.length === 0) return html`<div ref=${box} class="empty">${empty}</div>`;
  const begin = Math.min(first, Math.max(0, rows.length - seen - OVERSCAN));
  const shown = rows.slice(begin, begin + seen + 2 * OVERSCAN);
  return html`<div class="scroll" ref=${box} tabindex="0" role="region" aria-label=${label}>
    <div role="table" aria-label=${label} aria-rowcount=${rows.length + 1} class=${`table ${kind}`}>
      <div role="rowgroup" class="head">
        <div role="row" aria-rowindex="1" class="row">${columns.map((column) => html`<div role="columnheader" class="cell">${column}</div>`)}</div>
      </div>
      <div role="rowgroup" class="body" style=${{ height: `${rows.length * size}px` }}>
        ${shown.map((entry, at) => html`<div role="row" key=${keyOf(entry)} aria-rowindex=${begin + at + 2} class="row"
            style=${{ height: `${size}px`, transform: `translateY(${(begin + at) * size}px)` }}>
          ${row(entry).map((cell, column) => html`<div role="cell" class="cell" data-label=${columns[column]}>${cell}</div>`)}
        </div>`)}
      </div>
    </div>
  </div>`;
}

export const State = ({ model, fraction }) => html`<span class=${`state ${model.state}`}>
  ${STATES[model.state] ?? model.state}${fraction === undefined ? "" : ` ${percent(fraction)}`}${model.pinned ? html` <span class="tag">pinned</span>` : ""}
</span>`;

export const Progress = ({ fraction, label }) => html`<progress max="1" value=${fraction ?? undefined} aria-label=${label}></progress>`;

export const Trouble = ({ text }) => (text ? html`<p class="trouble" role="alert">${text}</p>` : null);

// Takes the place of a part that needs a route that the server does not have.
export const Missing = ({ what, route }) => html`<p class="missing">${what} is not shown, since this server does not answer ${route}: it is
  an older Minerva, or one built without that part. The rest of the page works without it.</p>`;

export const ModelLink = ({ id }) => html`<a title=${id} href=${`#/model/${encodeURIComponent(id)}`}>${id}</a>`;

// A dialog. It keeps the keyboard inside while it is open; Escape closes it.
export function Dialog({ title, close, children }) {
  const element = useRef(null);
  useEffect(() => {
    element.current.showModal();
  }, []);
  return html`<dialog ref=${element} aria-labelledby="dialog-title" onClose=${close}
      onCancel=${(event) => { event.preventDefault(); close(); }}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}
