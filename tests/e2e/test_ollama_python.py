"""ollama-python against Minerva; only its host is changed."""
import base64
import json

import ollama
import pytest

import harness
import tiny_models

HELLO = [{"role": "user", "content": "Hello"}]
SHORT = {"num_predict": 8, "temperature": 0}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "tall": {"type": "boolean"}},
    "required": ["name", "tall"],
    "additionalProperties": False,
}


def client_for(m):
    return ollama.Client(host=m.url, timeout=harness.PATIENCE)


def test_a_script_that_switches_models(serve):
    m = serve("--max-models", 1)
    client = client_for(m)
    listed = client.list().models
    assert [model.model for model in listed] == ["a:latest", "b:latest", "c:latest", "d:latest", "e:latest"]
    assert all(len(model.digest) == 64 and model.size > 0 and model.modified_at for model in listed)
    assert client.ps().models == []

    # By the name in the list, and by the model's own name.
    chat = client.chat(model=listed[0].model, messages=HELLO, options=SHORT)
    assert chat.message.role == "assistant" and chat.message.content and chat.model == "a:latest"
    assert chat.done and chat.done_reason == "length" and chat.eval_count == 8
    assert chat.prompt_eval_count > 0 and chat.prompt_eval_duration > 0 and chat.eval_duration > 0
    assert chat.total_duration >= chat.load_duration > 0
    (running,) = client.ps().models
    assert running.model == "a:latest" and running.size > 0 and running.expires_at and running.context_length == 4096

    parts = list(client.chat(model="b", messages=HELLO, options=SHORT, stream=True))
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True] and len(parts) >= 8
    assert "".join(part.message.content for part in parts)
    assert parts[-1].eval_count == 8 and parts[-1].done_reason == "length"
    assert m.loaded() == ["b"]

    vectors = client.embed(model="e", input=["one", "two"])
    assert [len(vector) for vector in vectors.embeddings] == [64, 64] and vectors.prompt_eval_count > 0
    assert len(client.embed(model="e", input="one", dimensions=16).embeddings[0]) == 16
    assert list(client.embeddings(model="e", prompt="one").embedding) == pytest.approx(vectors.embeddings[0])
    assert m.loaded() == ["e"]

    again = client.chat(model="a", messages=HELLO, options=SHORT)
    assert again.message.content == chat.message.content
    text = client.generate(model="a", prompt="Hello", options=SHORT)
    assert text.response == chat.message.content and text.done_reason == "length"
    pieces = list(client.generate(model="a", prompt="Once", raw=True, options=SHORT, stream=True))
    assert "".join(piece.response for piece in pieces) and pieces[-1].eval_count == 8


def test_show(serve):
    m = serve()
    client = client_for(m)
    model = client.show("a:latest")
    assert model.details.family == "llama" and model.details.format == "gguf"
    assert model.details.quantization_level == "Q8_0" and model.details.parameter_size
    assert model.modelinfo["llama.context_length"] == 4096
    assert model.modelinfo["general.architecture"] == "llama"
    assert model.capabilities == ["completion", "tools"] and "<|im_start|>" in model.template
    assert client.show("e").capabilities == ["embedding"]
    assert m.loaded() == []


def test_models_come_and_go_by_request(serve):
    m = serve()
    client = client_for(m)
    assert client.generate(model="a", prompt="").done_reason == "load"
    assert m.loaded() == ["a"]
    client.chat(model="a", messages=HELLO, options=SHORT, keep_alive=0)
    harness.wait_until(lambda: m.state("a") == "parked", "it is parked after its answer")
    assert client.chat(model="a", messages=[]).done_reason == "load"
    assert m.state("a") == "hot"
    # Its own time to stay, until the next request says otherwise.
    client.chat(model="a", messages=HELLO, options=SHORT, keep_alive="50ms")
    harness.wait_until(lambda: m.state("a") == "parked", "its time is over")
    client.chat(model="a", messages=HELLO, options=SHORT, keep_alive="1h")
    expires = client.ps().models[0].expires_at
    m.use("a")
    assert client.ps().models[0].expires_at > expires
    # A request without a prompt says otherwise too, even if it has nothing to say about that.
    usual = client.ps().models[0].expires_at
    for more in ({"keep_alive": -1}, {}):
        assert client.generate(model="a", prompt="", keep_alive="1h").done_reason == "load"
        assert client.ps().models[0].expires_at < usual
        assert client.generate(model="a", prompt="", **more).done_reason == "load"
        assert client.ps().models[0].expires_at >= usual
    assert client.generate(model="a", prompt="", keep_alive=0).done_reason == "unload"
    assert m.state("a") == "cold"
    assert client.embed(model="e", input=[]).embeddings == [] and m.state("e") == "hot"


def test_structured_output(serve):
    client = client_for(serve())
    chat = client.chat(model="a", messages=HELLO, format=PERSON, options={"num_predict": 400, "temperature": 0})
    person = json.loads(chat.message.content)
    assert set(person) == {"name", "tall"} and isinstance(person["tall"], bool)
    text = client.generate(model="a", prompt="Once", raw=True, format=PERSON,
                           options={"num_predict": 400, "temperature": 0})
    assert set(json.loads(text.response)) == {"name", "tall"}


def brace(m):
    """A bias that makes a random model begin a tool call (see tool_calls.jinja)."""
    return {str(m.post("/tokenize", {"model": "a", "content": "{"}).json["tokens"][-1]): 100}


@pytest.mark.parametrize("stream", [False, True])
def test_tools(serve, tool_calls, stream):
    # Ollama's API cannot demand a tool call, which a random model needs. So a preset demands it.
    tool_calls["config"] += '[preset."caller"]\nmodel = "a"\nset = {tool_choice = "required", parallel_tool_calls = false}\n'
    m = serve(**tool_calls)
    client = client_for(m)
    options = {"num_predict": 200, "temperature": 0, "logit_bias": brace(m)}
    answer = client.chat(model="caller", messages=HELLO, tools=[WEATHER], options=options, stream=stream)
    parts = list(answer) if stream else [answer]
    (call,) = [call for part in parts for call in part.message.tool_calls or []]
    assert call.function.name == "get_weather" and call.function.arguments["city"] in ("Rome", "Oslo")
    # The result of the tool goes back to the model.
    messages = [*HELLO, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_name": "get_weather", "content": "sunny"}]
    assert client.chat(model="a", messages=messages, tools=[WEATHER], options=SHORT).message.content


def test_images(serve, models):
    extra = {"eye/eye.gguf": models["a"], "eye/mmproj.gguf": tiny_models.generate("mmproj", ["--arch", "clip"])}
    client = client_for(serve(extra=extra))
    assert "vision" in client.show("eye").capabilities
    blind = client.chat(model="eye", messages=HELLO, options=SHORT)
    picture = tiny_models.png(128, 128, 128)
    messages = [{"role": "user", "content": "Hello", "images": [picture]}]
    seen = client.chat(model="eye", messages=messages, options=SHORT)
    assert seen.prompt_eval_count > blind.prompt_eval_count
    text = client.generate(model="eye", prompt="Hello", images=[base64.b64encode(picture).decode()], options=SHORT)
    assert text.prompt_eval_count == seen.prompt_eval_count


def test_old_turns_are_left_out(serve):
    client = client_for(serve(config='[model."a"]\npath = "a.gguf"\ncontext = 256\n'))
    turns = [{"role": role, "content": "word " * 40} for _ in range(4) for role in ("user", "assistant")]
    messages = [{"role": "system", "content": "Be brief."}, *turns, *HELLO]
    chat = client.chat(model="a", messages=messages, options={**SHORT, "num_ctx": 100_000})
    assert chat.message.content and chat.prompt_eval_count < 256
    with pytest.raises(ollama.ResponseError) as long:
        client.chat(model="a", messages=[{"role": "user", "content": "word " * 400}], options=SHORT)
    assert long.value.status_code == 400 and "context" in long.value.error
    cut = client.embed(model="e", input=["short", "word " * 2000])
    assert len(cut.embeddings) == 2
    with pytest.raises(ollama.ResponseError):
        client.embed(model="e", input="word " * 2000, truncate=False)


def test_errors_are_the_clients_own(serve):
    m = serve()
    client = client_for(m)
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError) as unknown:
            list(client.chat(model="nosuch", messages=HELLO, stream=stream))
        assert unknown.value.status_code == 404 and "nosuch" in unknown.value.error
    with pytest.raises(ollama.ResponseError) as malformed:
        client.chat(model="a", messages=HELLO, options={"temperature": "hot"})
    assert malformed.value.status_code == 400 and "options.temperature" in malformed.value.error
    with pytest.raises(ollama.ResponseError) as missing:
        client.show("nosuch")
    assert missing.value.status_code == 404
    assert client.pull("a").status == "success"
    assert [part.status for part in client.pull("a:latest", stream=True)] == ["success"]
    with pytest.raises(ollama.ResponseError) as pull:
        client.pull("nosuch")
    assert "folder" in pull.value.error
    for call in (lambda: client.copy("a", "b"), lambda: client.push("a"), lambda: client.create(model="z", from_="a")):
        with pytest.raises(ollama.ResponseError) as refused:
            call()
        assert refused.value.status_code == 501 and refused.value.error


def test_an_error_in_a_stream_is_raised(serve, slow_model):
    m = serve(models={"a": slow_model})
    stream = client_for(m).chat(model="a", messages=HELLO, options={"num_predict": 3000}, stream=True)
    assert not next(stream).done
    m.delete("/v1/models/a?force=true")
    with pytest.raises(ollama.ResponseError) as broken:
        for _ in stream:
            pass
    assert broken.value.error
