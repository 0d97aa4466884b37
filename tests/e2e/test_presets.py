"""Presets: several names with their own settings for one set of weights."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from harness import MINERVA, wait_until

PROGRAM = pathlib.Path(__file__).parent / "openai_like.py"
ENGINE = f"""[model."echo"]
command = {json.dumps([sys.executable, str(PROGRAM), "--port", "${PORT}"])}
memory = "64MiB"
aliases = ["again"]
"""
FAST = """[preset."echo:fast"]
model = "again"
aliases = ["fast"]
strip = ["top_k", "n_predict"]
default = { temperature = 0.2, stop = ["x"] }
set = { chat_template_kwargs = { enable_thinking = false }, seed = 7 }
system = "Answer briefly."
"""
USER = {"role": "user", "content": "body"}
SYSTEM = {"role": "system", "content": "Answer briefly."}


def received(answer):
    """The body that the engine got, as text."""
    assert answer.status == 200, answer
    said = answer.json
    return said["body"] if "body" in said else said["choices"][0]["message"]["content"]


def test_it_is_listed_like_a_model(serve):
    m = serve(config='[preset."a:fast"]\nmodel = "a"\naliases = ["fast"]\n[preset."lost"]\nmodel = "nothing"\n')
    listed = {model["id"]: model for model in m.get("/v1/models").json["data"]}
    assert list(listed) == ["a", "a:fast", "b", "c", "d", "e"], "one without a model is not there"
    model, preset = listed["a"], listed["a:fast"]
    assert preset.pop("preset_of") == "a" and preset.pop("aliases") == ["fast"] and "preset_of" not in model
    assert {**preset, "id": "a", "aliases": []} == model
    for name in ("a:fast", "fast", "fast:latest", "A:FAST"):
        shown = m.get(f"/v1/models/{name}").json
        assert shown["id"] == "a:fast" and shown["preset_of"] == "a"
    shown = subprocess.run([MINERVA, "models", "--url", m.url], capture_output=True, text=True, check=True,
                           env={"PATH": os.environ["PATH"], "HOME": str(m.folder)}).stdout
    row = next(line for line in shown.splitlines() if line.startswith("a:fast"))
    assert row.split()[-1] == "a" and "PRESET OF" in shown.splitlines()[0], shown

    lost = m.chat("lost")
    assert lost.status == 404 and 'The preset "lost" has no model.' in lost.error["message"], lost
    assert m.get("/v1/models/lost").status == 404


def test_calls_on_its_name_act_on_its_model(serve):
    m = serve(config='[preset."fast"]\nmodel = "a"\n')
    assert m.load("fast").json["model_id"] == "a"
    assert m.state("fast") == "hot" and m.loaded() == ["a"]
    assert m.post("/v1/models/fast/pin").json["message"] == "pinned"
    assert m.view("a")["pinned"]
    assert m.post("/v1/models/fast/unpin").json["message"] == "unpinned"
    assert m.get("/v1/models/fast/logs").body == m.get("/v1/models/a/logs").body
    assert m.delete("/v1/models/fast").json["message"] == "unloaded"
    assert m.state("fast") == "cold"
    taken = m.post("/v1/models/fast/load", {"model_path": "b.gguf"})
    assert taken.status == 409 and taken.error["param"] == "model_path", taken


def test_the_engine_gets_what_the_preset_makes_of_a_body(serve):
    m = serve(config=ENGINE + FAST, models={})
    answer = m.post("/v1/chat/completions",
                    '{ "model":"echo:fast", "top_k": 1,"max_tokens":9,\n "chat_template_kwargs" :{"lang": "en"} ,'
                    '"seed":1, "t\\u006fp_k": 2,"messages":[{"role":"user","content":"body"}], "stop": null }',
                    headers={"Content-Type": "application/json"})
    assert received(answer) == (
        '{ "model":"again",\n "chat_template_kwargs" :{"lang": "en","enable_thinking":false} ,"seed":7,'
        '"messages":[{"role":"system","content":"Answer briefly."},{"role":"user","content":"body"}],'
        '"stop":["x"],"temperature":0.2}')
    assert answer.headers["x-minerva-model"] == "echo" and answer.headers["x-minerva-preset"] == "echo:fast"
    by_alias = m.post("/v1/chat/completions", {"model": "fast", "messages": [USER], "temperature": 1, "stop": "y"})
    body = json.loads(received(by_alias))
    assert (body["temperature"], body["stop"], body["seed"]) == (1, "y", 7)
    assert by_alias.headers["x-minerva-preset"] == "echo:fast"
    # Requests to the model's own name stay unchanged.
    plain = m.post("/v1/chat/completions", '{"model":"echo" ,"messages":[{"content":"body"}]}',
                   headers={"Content-Type": "application/json"})
    assert received(plain) == '{"model":"echo" ,"messages":[{"content":"body"}]}'
    assert "x-minerva-preset" not in plain.headers


def test_the_system_prompt_is_where_the_api_has_it(serve):
    m = serve(config=ENGINE + '[preset."p"]\nmodel = "echo"\nsystem = "Answer briefly."\n', models={})

    def sent(path, **body):
        return json.loads(received(m.post(path, {"model": "p", **body})))

    assert sent("/v1/chat/completions", messages=[USER])["messages"] == [SYSTEM, USER]
    own = [{"role": "developer", "content": "Mine."}, USER]
    assert sent("/v1/chat/completions", messages=own)["messages"] == own
    assert sent("/v1/messages", messages=[USER], max_tokens=5)["system"] == "Answer briefly."
    assert sent("/v1/messages", messages=[USER], max_tokens=5, system="Mine.")["system"] == "Mine."
    assert sent("/v1/responses", input="Hi")["instructions"] == "Answer briefly."
    assert sent("/v1/responses", input="Hi", instructions="Mine.")["instructions"] == "Mine."
    assert sent("/v1/completions", prompt="Hi") == {"model": "echo", "prompt": "Hi"}
    # The model's name may be in the query. A form is no body that a preset could change.
    assert json.loads(received(m.post("/v1/responses?model=p", {"input": "Hi"}))) == {
        "input": "Hi", "instructions": "Answer briefly."}
    form = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\np\r\n--x--\r\n'
    answer = m.post("/v1/audio/transcriptions", form, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert received(answer) == form


def test_faces_of_one_model_share_its_engine_and_its_conversations(serve):
    m = serve(config="".join(f'[preset."{name}"]\nmodel = "a"\nset = {{ {values} }}\n' for name, values in {
        "cold": "temperature = 0.0", "warm": "temperature = 1.5, top_p = 0.9", "short": "max_tokens = 3"}.items()))
    messages = [{"role": "user", "content": "Once upon a time there was a model with several faces. " * 8}]

    def turn(model):
        answer = m.post("/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": 8})
        assert answer.status == 200, answer
        m.settle()
        messages.extend([answer.json["choices"][0]["message"], {"role": "user", "content": "And then?"}])
        return answer.json

    first = turn("cold")
    engine = m.engine("a")
    before = first["usage"]["prompt_tokens"]
    for model in ("warm", "short", "cold", "a"):
        timings = turn(model)["timings"]
        # The whole conversation so far is in the cache, except for the last words of the turn before.
        assert timings["cache_n"] >= before - 8, (model, timings, before)
        before = timings["cache_n"] + timings["prompt_n"]
    assert first["usage"]["completion_tokens"] <= 8 and turn("short")["usage"]["completion_tokens"] <= 3
    assert m.engine("a") == engine and m.engines() == [engine]
    assert [model["id"] for model in m.stats()["models"]] == ["a"], "a preset is no model of its own"


def test_a_long_body_is_rewritten_whole(serve):
    m = serve(config=ENGINE + FAST, models={})
    long = "x" * (3 << 20)
    for name in ("fast", "fast:latest"):
        # The name comes first. What the preset changes comes last, and is read before the model is asked for.
        body = json.loads(received(m.post("/v1/chat/completions", {
            "model": name, "messages": [{"role": "user", "content": long}, USER], "top_k": 1})))
        assert body["messages"] == [SYSTEM, {"role": "user", "content": long}, USER]
        assert "top_k" not in body and body["seed"] == 7


def test_limits_hold_for_what_a_preset_makes(serve):
    m = serve(models={}, config='[limits]\nmax_body = "8KiB"\n' + ENGINE + '[preset."p"]\nmodel = "echo"\n'
              f'system = "{"x" * 6000}"\nset = {{ response_format = {{ type = "text" }} }}\n')
    small = m.post("/v1/chat/completions", {"model": "p", "messages": [USER]})
    assert len(received(small)) > 6000
    large = m.post("/v1/chat/completions", {"model": "p", "messages": [USER], "user": "x" * 3000})
    assert large.status == 413, large
    broken = m.post("/v1/chat/completions", '{"model":"p","messages":[],"response_format":{"a" 1}}',
                    headers={"Content-Type": "application/json"})
    assert broken.status == 400 and broken.error["param"] == "response_format", broken
    assert m.metric("minerva_queued_body_bytes") == 0


def test_a_changed_preset_counts_at_once(serve):
    m = serve(config=ENGINE + '[preset."p"]\nmodel = "echo"\nset = { seed = 1 }\n', models={})
    ask = {"model": "p", "messages": [USER]}
    assert json.loads(received(m.post("/v1/chat/completions", ask)))["seed"] == 1
    config = m.folder / "minerva.toml"
    aside = config.with_suffix(".new")
    aside.write_text(ENGINE + '[preset."p"]\nmodel = "echo"\nset = { seed = 2 }\n')
    aside.rename(config)
    wait_until(lambda: 'config reloaded: changed preset."p"' in m.log(), "the config is read again")
    assert json.loads(received(m.post("/v1/chat/completions", ask)))["seed"] == 2
    aside.write_text(ENGINE)
    aside.rename(config)
    wait_until(lambda: m.post("/v1/chat/completions", ask).status == 404, "the preset is gone")


def test_what_import_makes_of_other_servers_configs_is_served(serve, tmp_path, models):
    for name in ("a", "b"):
        shutil.copy(models[name], tmp_path / f"{name}.gguf")
    swap = tmp_path / "config.yaml"
    swap.write_text(f"""
macros:
  echo: {sys.executable} {PROGRAM} --port ${{PORT}}
models:
  "echo":
    cmd: ${{echo}}
    aliases: ["gpt-4o-mini"]
    filters:
      stripParams: "top_k"
      setParamsByID:
        "${{MODEL_ID}}:high": {{seed: 9}}
  "tiny":
    cmd: llama-server --port ${{PORT}} -m {tmp_path}/a.gguf -c 512 --no-such-flag
""")
    ini = tmp_path / "presets.ini"
    ini.write_text(f"version = 1\n[*]\nctx-size = 512\n[second]\nmodel = {tmp_path}/b.gguf\nLLAMA_ARG_N_PARALLEL = 1\n")
    made = subprocess.run([MINERVA, "import", swap, ini], capture_output=True, text=True, check=True).stdout
    assert "# No counterpart: --no-such-flag" in made
    m = serve("--models-dir", tmp_path, config=made, models={})
    for model in ("tiny", "second"):
        assert m.chat(model).status == 200
        assert m.get(f"/v1/models/{model}").json["context_length"] == 512
    for name, seed in (("echo", None), ("gpt-4o-mini", None), ("echo:high", 9)):
        body = json.loads(received(m.post("/v1/chat/completions", {"model": name, "messages": [USER], "top_k": 1})))
        assert body.get("seed") == seed and "top_k" not in body
