"""What a model cannot do: refused with the reason before anything is loaded, evicted or counted."""
import base64

import anthropic
import ollama
import openai
import pytest

import harness
from harness import wait_until
from tiny_models import generate, png

CHAT = [{"role": "user", "content": "Hello"}]
GREY = base64.b64encode(png(128, 128, 128)).decode()
PIXEL = f"data:image/png;base64,{GREY}"

# Each kind of request: its route and its body.
REQUESTS = {
    "chat": ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 2}),
    "messages": ("/v1/messages", {"messages": CHAT, "max_tokens": 2}),
    "responses": ("/v1/responses", {"input": "Hello", "max_output_tokens": 2}),
    "count": ("/v1/messages/count_tokens", {"messages": CHAT}),
    "completions": ("/v1/completions", {"prompt": "Hello", "max_tokens": 2}),
    "completion": ("/completion", {"prompt": "Hello", "n_predict": 2}),
    "infill": ("/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 2}),
    "embeddings": ("/v1/embeddings", {"input": "Hello"}),
    "rerank": ("/v1/rerank", {"query": "Hello", "documents": ["Hello", "Bye"]}),
    "two answers": ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 2, "n": 3}),
    "image": ("/v1/chat/completions", {"messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]}),
    "image to messages": ("/v1/messages", {"max_tokens": 2, "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                                  "data": GREY}}]}]}),
    "image to responses": ("/v1/responses", {"input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": PIXEL}]}]}),
    "audio": ("/v1/chat/completions", {"messages": [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]}]}),
}
MEDIA = {"image", "image to messages", "image to responses", "audio"}
TEXT = {"chat", "messages", "responses", "count", "completions", "completion", "infill", "two answers"}
TEMPLATE = {"chat", "messages", "responses", "count"}
CANNOT = {
    "chat": {"infill", "embeddings", "rerank", "two answers", *MEDIA},
    "base": {*TEMPLATE, "infill", "embeddings", "rerank", "two answers", *MEDIA},
    "embedding": {*TEXT, "rerank", *MEDIA},
    "reranker": {*TEXT, "embeddings", *MEDIA},
    "seeing": {"infill", "embeddings", "rerank", "two answers", "audio"},
}


@pytest.fixture
def kinds(models):
    """A server with one model of each kind but "seeing", which needs two files; and with one more model in memory."""
    return {"chat": models["a"], "base": generate("base", ["--seed", "5", "--chat-template", "none"]),
            "embedding": models["e"], "reranker": generate("reranker", ["--arch", "bert", "--pooling", "rank"]),
            "resident": models["b"]}


@pytest.fixture
def seeing(models):
    return {"seeing/seeing.gguf": models["a"], "seeing/mmproj.gguf": generate("mmproj", ["--arch", "clip"])}


def reason(path, answer):
    """The message of the error, in the shape of the API that was called."""
    body = answer.json
    if path.startswith("/v1/messages"):
        assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error", body
        assert set(body["error"]) == {"type", "message"}, body
    else:
        assert answer.error["code"] == "unsupported" and answer.error["param"], body
    return body["error"]["message"]


@pytest.mark.parametrize("kind", CANNOT)
def test_nobody_leaves_for_what_cannot_be_done(serve, kinds, seeing, kind):
    m = serve("--max-models", 1, models=kinds, extra=seeing)
    m.use("resident")
    before = m.cache()
    for name in CANNOT[kind]:
        path, body = REQUESTS[name]
        answer = m.post(path, {"model": kind, **body})
        assert answer.status == 400, (name, answer)
        message = reason(path, answer)
        assert "--" not in message.replace("--chat-template", "") and "mmproj to" not in message, message
    assert m.loaded() == ["resident"]
    assert m.cache() == before


@pytest.mark.parametrize("kind", CANNOT)
def test_what_can_be_done_is_done(serve, kinds, seeing, kind):
    m = serve(models=kinds, extra=seeing)
    for name in REQUESTS.keys() - CANNOT[kind]:
        path, body = REQUESTS[name]
        answer = m.post(path, {"model": kind, **body})
        assert answer.status == 200, (name, answer)


@pytest.mark.parametrize("kind", CANNOT)
def test_clients_ask_once(serve, kinds, seeing, kind):
    """An SDK tries three times if a request may succeed later."""
    m = serve("--max-models", 1, models=kinds, extra=seeing)
    m.use("resident")
    before = m.cache()
    of_openai = openai.OpenAI(base_url=m.url, api_key="unused", max_retries=2)
    of_anthropic = anthropic.Anthropic(base_url=m.url, api_key="unused", max_retries=2)
    for name in CANNOT[kind]:
        path, body = REQUESTS[name]
        client, refusal = ((of_anthropic, anthropic.BadRequestError) if path.startswith("/v1/messages") else
                           (of_openai, openai.BadRequestError))
        with pytest.raises(refusal) as refused:
            client.post(path, body={"model": kind, **body}, cast_to=object)
        assert f'"{kind}"' in refused.value.message, refused.value
    of_ollama = ollama.Client(m.url)
    image = {"model": kind, "messages": [{**CHAT[0], "images": [GREY]}]}
    asked = {"chat": lambda: of_ollama.chat(model=kind, messages=CHAT), "image": lambda: of_ollama.chat(**image),
             "completions": lambda: of_ollama.generate(model=kind, prompt="Hello"),
             "infill": lambda: of_ollama.generate(model=kind, prompt="a", suffix="b"),
             "embeddings": lambda: of_ollama.embed(model=kind, input="Hello")}
    asked = [call for name, call in asked.items() if name in CANNOT[kind] and (name, kind) != ("chat", "base")]
    for call in asked:
        with pytest.raises(ollama.ResponseError) as refused:
            call()
        assert refused.value.status_code == 400 and f'"{kind}"' in refused.value.error, refused.value
    # The log line of a request comes after its answer.
    wait_until(lambda: m.log().count(" -> 400 in ") >= len(CANNOT[kind]) + len(asked), "a line for each request")
    assert m.log().count(" -> 400 in ") == len(CANNOT[kind]) + len(asked)
    assert m.loaded() == ["resident"] and m.cache() == before


def test_a_stream_is_refused_with_its_status(serve, kinds):
    m = serve(models=kinds)
    answer = m.post("/v1/chat/completions", {"model": "embedding", "messages": CHAT, "stream": True})
    assert answer.status == 400 and answer.error["code"] == "unsupported", answer


def test_an_image_at_the_end_of_a_large_body(serve, kinds):
    m = serve("--max-models", 1, models=kinds)
    m.use("resident")
    messages = [{"role": "user", "content": "x" * (3 << 20)}, *REQUESTS["image"][1]["messages"]]
    answer = m.post("/v1/chat/completions", {"model": "chat", "messages": messages})
    assert answer.status == 400 and answer.error["code"] == "unsupported", answer
    assert answer.error["param"] == "messages"
    assert m.loaded() == ["resident"]


def test_words_about_images_are_no_images(serve, kinds):
    m = serve(models=kinds)
    answer = m.chat("chat", 'What is {"type": "image_url"}?')
    assert answer.status == 200, answer


def test_a_template_of_the_operators_makes_it_a_chat_model(serve, kinds):
    m = serve(models={"base": kinds["base"]},
              config='[model."base"]\npath = "base.gguf"\nargs = ["--chat-template", "chatml"]\n')
    assert m.chat("base").status == 200


def test_what_the_engine_cannot_read_is_the_clients_fault(serve):
    m = serve()
    headers = {"Content-Type": "application/json"}
    for body in (r'{"model":"a","messages":[{"role":"user","content":"\ud800"}]}',
                 r'{"model":"a","messages":[{"role":"user","content":"x"]}',
                 r'{"model":"a","messages":[{"role":7,"content":"x"}],"stop":[7]}',
                 r'{"model":"a","messages":[{"role":"user","content":"x"}],"temperature":"warm"}'):
        answer = m.request("POST", "/v1/chat/completions", body, headers)
        assert answer.status == 400, (body, answer)
        assert "exception" not in answer.error["message"], answer


def test_a_schema_as_huggingface_hub_sends_it(serve):
    m = serve()
    schema = {"type": "object", "properties": {"tall": {"type": "boolean"}}, "required": ["tall"],
              "additionalProperties": False}
    answer = m.chat("a", max_tokens=100, temperature=0, response_format={"type": "json_object", "value": schema})
    assert answer.status == 200, answer
    said = harness.json.loads(answer.json["choices"][0]["message"]["content"])
    assert set(said) == {"tall"} and isinstance(said["tall"], bool), said
