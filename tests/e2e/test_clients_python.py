"""langchain-openai and the command line tool `llm` against Minerva; only their addresses are changed."""
import json
import os
import pathlib
import subprocess
import sys
from typing import Literal

import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

import harness

PLACE = {
    "title": "place",
    "description": "A place",
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def brace(m):
    """A bias that makes a random model begin a tool call (see tool_calls.jinja)."""
    return {str(m.post("/tokenize", {"model": "a", "content": "{"}).json["tokens"][-1]): 100}


# ---- langchain-openai ----

def chat(m, model, max_tokens=8, **more):
    return ChatOpenAI(base_url=f"{m.url}/v1", api_key="unused", model=model, temperature=0, max_tokens=max_tokens,
                      max_retries=0, **more)


def embeddings(m, model):
    # Otherwise it counts tokens as OpenAI does, and fetches a table for that.
    return OpenAIEmbeddings(base_url=f"{m.url}/v1", api_key="unused", model=model, max_retries=0,
                            check_embedding_ctx_length=False)


def streamed(m, model):
    return "".join(piece.content for piece in chat(m, model).stream("Hello"))


def test_langchain_switches_models(one_at_a_time):
    m = one_at_a_time
    listed = chat(m, "a").root_client.models.list()
    assert sorted(model.id for model in listed) == ["a", "b", "c", "d", "e", "slow"]

    first = chat(m, "a").invoke("Hello")
    assert first.content and first.usage_metadata["output_tokens"] == 8
    assert streamed(m, "b")
    assert m.loaded() == ["b"]
    vectors = embeddings(m, "e").embed_documents(["one", "two"])
    assert [len(vector) for vector in vectors] == [64, 64]
    assert chat(m, "a").invoke("Hello").content == first.content
    assert m.loaded() == ["a"]


@tool
def get_weather(city: Literal["Rome", "Oslo"]) -> str:
    """The weather at a place"""
    return f"rain in {city}"


def test_langchain_calls_tools(one_at_a_time):
    m = one_at_a_time
    caller = chat(m, "a", 200, logit_bias=brace(m)).bind_tools([get_weather], tool_choice="required",
                                                               parallel_tool_calls=False)
    (call,) = caller.invoke("Hello").tool_calls
    assert call["name"] == "get_weather" and call["args"]["city"] in ("Rome", "Oslo")


def test_langchain_gets_structured_output(one_at_a_time):
    former = chat(one_at_a_time, "a", 400).with_structured_output(PLACE, method="json_schema", strict=True)
    place = former.invoke("Hello")
    assert place["city"] in ("Rome", "Oslo")


def test_langchain_waits(one_at_a_time):
    m = one_at_a_time
    asked = []
    m.keep_waiting("slow", lambda: asked.append(harness.in_background(streamed, m, "slow")))
    m.resume("slow")
    assert asked[-1].result()


def test_langchain_raises_the_clients_errors(one_at_a_time):
    m = one_at_a_time
    with pytest.raises(openai.NotFoundError, match="nosuch"):
        chat(m, "nosuch").invoke("Hello")
    with pytest.raises(openai.NotFoundError, match="nosuch"):
        streamed(m, "nosuch")
    with pytest.raises(openai.BadRequestError) as unsupported:
        embeddings(m, "a").embed_query("x")
    assert unsupported.value.code == "unsupported"


def test_langchain_raises_an_error_after_a_wait(serve, slow_model):
    # A server of its own, since a model that failed twice is refused for a while.
    m = serve(models={"slow": slow_model})
    asked = []
    m.fail_load("slow", m.keep_waiting("slow", lambda: asked.append(harness.in_background(streamed, m, "slow"))))
    with pytest.raises(openai.APIError) as crashed:
        asked[-1].result()
    assert crashed.value.code == "engine_crashed"


# ---- llm ----

def llm(m, *arguments):
    """Starts the tool with its own folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(m.folder), "LLM_USER_PATH": str(m.folder / "llm"),
                   "OPENAI_BASE_URL": f"{m.url}/v1", "OPENAI_API_KEY": "unused"}
    return subprocess.Popen([pathlib.Path(sys.executable).with_name("llm"), *arguments], env=environment, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ask(m, model, *arguments, tokens=8):
    return llm(m, "openai", "endpoint", f"{m.url}/v1", "Hello", "-m", model, "-o", "temperature", "0",
               "-o", "max_tokens", str(tokens), *arguments)


def answer(program):
    code, output, errors = harness.finish(program)
    assert code == 0, errors
    return output


def test_llm_switches_models(one_at_a_time):
    m = one_at_a_time
    listed = answer(llm(m, "openai", "endpoint", f"{m.url}/v1", "--models"))
    assert {"a", "b", "c", "d", "e", "slow"} <= set(listed.split())
    streamed = answer(ask(m, "b"))
    assert streamed.strip() and m.loaded() == ["b"]
    schema = json.dumps(PLACE)
    assert json.loads(answer(ask(m, "a", "--schema", schema, tokens=400)))["city"] in ("Rome", "Oslo")
    assert m.loaded() == ["a"]
    # The tool embeds only with OpenAI's models.
    assert len(json.loads(answer(llm(m, "embed", "-m", "text-embedding-3-small", "-c", "one")))) == 64
    assert m.loaded() == ["e"]
    assert answer(ask(m, "b", "--no-stream")) == streamed


def test_llm_shows_errors(one_at_a_time):
    code, output, errors = harness.finish(ask(one_at_a_time, "nosuch"))
    assert code == 1 and not output and "nosuch" in errors


def test_llm_waits(one_at_a_time):
    m = one_at_a_time
    asked = []
    m.keep_waiting("slow", lambda: asked.append(ask(m, "slow")))
    m.resume("slow")
    assert answer(asked[-1]).strip()
