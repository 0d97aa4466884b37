// Chat: a link to llama.cpp's own web UI if it is built, and a prompt box that always works.
import { html, useEffect, useRef, useState } from "./htm.js";
import { lines, Problem, send } from "./api.js";
import { Trouble } from "./parts.js";
import { models, useStore } from "./store.js";

// Reads a stream of chat completions. `take` gets the text, `wait` gets the comments before it.
async function read(response, take, wait) {
  for await (const line of lines(response)) {
    if (line.startsWith(": ")) wait(line.slice(2));
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
    const event = JSON.parse(line.slice("data: ".length));
    if (event.error) throw new Problem(event.error.message, 0, event.error.code);
    const delta = event.choices?.[0]?.delta ?? {};
    take((delta.reasoning_content ?? "") + (delta.content ?? ""));
  }
}

export function Chat() {
  useStore();
  const [built, setBuilt] = useState(null);
  const [chosen, setChosen] = useState("");
  const [text, setText] = useState("");
  const [turns, setTurns] = useState([]);
  const [doing, setDoing] = useState("");
  const [trouble, setTrouble] = useState("");
  const stop = useRef(null);
  const box = useRef(null);
  useEffect(() => {
    // Asks for the page of the UI, not only for its address: without a UI the answer says how to build it.
    fetch("chat/", { method: "HEAD" }).then((response) => setBuilt(response.ok), () => setBuilt(false));
    return () => stop.current?.abort();
  }, []);
  // The box keeps its height and shows the newest words, so that the buttons below it stay where they are.
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [turns]);
  const all = models().filter((model) => model.runs_here !== false);
  const model = all.find((entry) => entry.id === chosen)?.id ?? all.find((entry) => entry.state === "hot")?.id ?? all[0]?.id ?? "";

  const submit = async (event) => {
    event.preventDefault();
    const asked = [...turns, { role: "user", content: text }];
    let answer = "";
    let frame = 0;
    const show = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      setTurns([...asked, { role: "assistant", content: answer }]);
    };
    show();
    setText("");
    setTrouble("");
    setDoing("waiting");
    stop.current = new AbortController();
    try {
      const response = await send("POST", "v1/chat/completions", {
        body: { model, messages: asked, stream: true },
        signal: stop.current.signal,
      });
      setDoing("reading");
      await read(response, (piece) => {
        answer += piece;
        if (piece) setDoing("answering");
        frame ||= requestAnimationFrame(show); // a small model says more words than a screen has frames
      }, setDoing);
      show();
    } catch (error) {
      show();
      if (error.name !== "AbortError") {
        setTrouble(error.message);
        if (!answer) {
          setTurns(turns);
          setText(text);
        }
      }
    }
    setDoing("");
  };

  return html`
    ${built && html`<p><a class="button primary" href="chat/">Open the chat</a> <span class="quiet">llama.cpp's own, with attachments and kept conversations.</span></p>`}
    ${built === false && html`<p class="quiet">llama.cpp's own chat, with attachments and kept conversations, is not built here; <code>make ui</code> builds it. This box does without.</p>`}
    ${turns.length > 0 && html`<div class="turns" ref=${box} tabindex="0" role="log" aria-label="Conversation" aria-live="polite">
      ${turns.map((turn) => html`<div class=${`turn ${turn.role}`}><strong>${turn.role === "user" ? "You" : model}</strong><p>${turn.content || "…"}</p></div>`)}
    </div>`}
    <${Trouble} text=${trouble} />
    <form class="prompt" onSubmit=${submit}>
      <label class="field">Model <select value=${model} onChange=${(event) => setChosen(event.target.value)}>
        ${all.map((entry) => html`<option value=${entry.id}>${entry.id}</option>`)}</select></label>
      <label class="field grow">Prompt <textarea rows="3" required value=${text} onInput=${(event) => setText(event.target.value)}
        onKeyDown=${(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit(); }}></textarea></label>
      <div class="buttons">
        <button class="primary" disabled=${doing !== "" || !model}>Send</button>
        ${doing && html`<button type="button" onClick=${() => stop.current.abort()}>Stop</button>`}
        ${!doing && turns.length > 0 && html`<button type="button" onClick=${() => setTurns([])}>Begin anew</button>`}
        <span role="status" class="quiet">${doing}</span>
      </div>
    </form>`;
}
