"""openai-python against Minerva; only its base_url is changed."""
import json

import openai
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "tall": {"type": "boolean"}},
    "required": ["name", "tall"],
    "additionalProperties": False,
}
HELLO = [{"role": "user", "content": "Hello"}]


def client_for(m):
    return openai.OpenAI(base_url=f"{m.url}/v1", api_key="unused", max_retries=0, timeout=60)


def test_a_script_that_switches_models(serve):
    m = serve("--max-models", 1)
    client = client_for(m)
    assert sorted(model.id for model in client.models.list()) == ["a", "b", "c", "d", "e"]
    assert client.models.retrieve("a").owned_by == "minerva"

    chat = client.chat.completions.create(model="a", messages=HELLO, max_tokens=8, temperature=0)
    assert chat.choices[0].message.role == "assistant" and chat.choices[0].message.content
    assert chat.usage.completion_tokens == 8
    assert m.loaded() == ["a"]

    stream = client.chat.completions.create(model="b", messages=HELLO, max_tokens=8, temperature=0, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) and len(pieces) >= 8
    assert m.loaded() == ["b"]

    vectors = client.embeddings.create(model="e", input=["one", "two"])
    assert [len(item.embedding) for item in vectors.data] == [64, 64]
    assert m.loaded() == ["e"]

    again = client.chat.completions.create(model="a", messages=HELLO, max_tokens=8, temperature=0)
    assert again.choices[0].message.content == chat.choices[0].message.content
    text = client.completions.create(model="a", prompt="Once", max_tokens=4)
    assert text.choices[0].text
    stream = client.completions.create(model="a", prompt=["Once", "Twice"], max_tokens=4, stream=True)
    assert {choice.index for chunk in stream for choice in chunk.choices} == {0, 1}
    cache = m.cache()
    # a, b, e are loaded; then a is woken, and used again.
    assert (cache["hits"], cache["misses"], cache["evictions"]) == (3, 3, 3)


def brace(m):
    """A bias that makes a random model begin a tool call (see tool_calls.jinja)."""
    return {str(m.post("/tokenize", {"model": "a", "content": "{"}).json["tokens"][-1]): 100}


def test_tool_calls(serve, tool_calls):
    m = serve(**tool_calls)
    client = client_for(m)
    chat = client.chat.completions.create(model="a", messages=HELLO, tools=[WEATHER], tool_choice="required",
                                          parallel_tool_calls=False, logit_bias=brace(m), max_tokens=200,
                                          temperature=0)
    (call,) = chat.choices[0].message.tool_calls
    assert chat.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Rome", "Oslo") and isinstance(arguments["days"], int)


def test_streamed_tool_calls(serve, tool_calls):
    m = serve(**tool_calls)
    stream = client_for(m).chat.completions.create(model="a", messages=HELLO, tools=[WEATHER], tool_choice="required",
                                                   parallel_tool_calls=False, logit_bias=brace(m), max_tokens=200,
                                                   temperature=0, stream=True)
    name, arguments = "", ""
    for chunk in stream:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert name == "get_weather" and json.loads(arguments)["city"] in ("Rome", "Oslo")


def test_json_schema(serve):
    client = client_for(serve())
    chat = client.chat.completions.create(
        model="a", messages=HELLO, max_tokens=400, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}})
    person = json.loads(chat.choices[0].message.content)
    assert set(person) == {"name", "tall"} and isinstance(person["tall"], bool)


def test_responses(serve):
    client = client_for(serve())
    response = client.responses.create(model="a", input="Hello", max_output_tokens=4)
    assert response.object == "response" and response.model


def test_errors_are_the_clients_own(serve, tmp_path, models):
    bad = tmp_path / "bad"
    bad.write_bytes(b"no model at all" * 100)
    m = serve(models={**models, "bad": bad}, env={"MINERVA_LIMITS_MAX_BODY": "1MiB"})
    client = client_for(m)

    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nosuch", messages=HELLO)
    assert unknown.value.code == "model_not_found" and "nosuch" in unknown.value.message
    assert unknown.value.type == "invalid_request_error"
    assert unknown.value.request_id.startswith("req_")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nosuch")

    with pytest.raises(openai.BadRequestError) as malformed:
        client.chat.completions.create(model="", messages=HELLO)
    assert malformed.value.code == "invalid_argument" and malformed.value.message

    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        client.chat.completions.create(model="bad", messages=HELLO)
    assert invalid.value.code == "invalid_model"

    with pytest.raises(openai.APIStatusError) as large:
        client.chat.completions.create(model="a", messages=[{"role": "user", "content": "x" * (1 << 20)}])
    assert large.value.status_code == 413 and large.value.code == "body_too_large"

    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(default_headers={"Origin": "http://evil.example"}).models.list()

    # Only once, although the client repeats a request that got a 5xx.
    before = m.cache()
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.with_options(max_retries=2).embeddings.create(model="a", input="x")
    assert unsupported.value.code == "unsupported" and unsupported.value.param == "model"
    assert m.cache() == before

    m.terminate()
    assert m.wait() == 0
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
