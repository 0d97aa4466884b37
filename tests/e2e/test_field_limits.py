"""Values that would harm an engine are refused by the name of the field. Other users of the engine notice nothing."""
import json

import pytest

import harness

CHAT, PLAIN = "/v1/chat/completions", "/completion"
NUMBERS = [
    (CHAT, "n", -1), (CHAT, "n", 0), (CHAT, "n", 2147483647), (CHAT, "n", 1e300), (PLAIN, "n_cmpl", -5),
    (CHAT, "max_tokens", -2), (CHAT, "max_completion_tokens", 1e18), (PLAIN, "n_predict", -2147483648),
    (PLAIN, "n_keep", 2147483647), (PLAIN, "n_keep", -2), (PLAIN, "n_discard", -1), (PLAIN, "n_discard", 2147483647),
    (PLAIN, "n_probs", -1), (PLAIN, "n_probs", 2147483647), ("/v1/completions", "logprobs", -1),
    (CHAT, "top_logprobs", -1), (PLAIN, "min_keep", 2147483647), (PLAIN, "repeat_last_n", 2147483647),
    (PLAIN, "dry_penalty_last_n", 2147483647), ("/v1/rerank", "top_n", -1),
]


def rules(count):
    """A chain of rules: each is parsed inside the one before."""
    return "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(count)) + f'r{count} ::= "a"\n'


def deep(levels):
    schema = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


WIDE = {"type": "object", "properties": {f"p{i}": {} for i in range(2000)}}
GRAMMARS = {
    "groups": (PLAIN, "grammar", "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000),
    "size": (PLAIN, "grammar", rules(60_000)),
    "chat": (CHAT, "grammar", "root ::= " + "(" * 60_000),
    "deep schema": (PLAIN, "json_schema", deep(100)),
    "wide schema": (PLAIN, "json_schema", WIDE),
    "response format": (CHAT, "response_format", {"type": "json_schema", "json_schema": {"schema": WIDE}}),
    "tools": (CHAT, "tools", [{"type": "function", "function": {"name": "f", "parameters": deep(100)}}]),
    "samplers": (PLAIN, "samplers", "k" * 100_000),
}


@pytest.fixture(scope="module")
def tight(models):
    """A daemon with one engine that gets all requests, and the engine's process id, which must stay the same."""
    m = harness.Minerva({"a": models["a"]}).start()
    try:
        assert m.chat("a").status == 200
        pid = m.engine("a")
        yield m
        assert m.engine("a") == pid, "the engine died"
        m.stop()
    finally:
        m.clean()


def body_for(path, field, value):
    body = {"model": "a", "prompt": "Hello", "query": "x", "documents": ["y"], "max_tokens": 4, field: value}
    if path == CHAT:
        body["messages"] = [{"role": "user", "content": "Hello"}]
    return body


def refused(m, path, field, value):
    stream = m.chat_stream("a", max_tokens=30)  # another user's stream meanwhile
    answer = m.post(path, body_for(path, field, value))
    assert answer.status == 400, answer
    assert answer.error["param"] == field and f'"{field}"' in answer.error["message"], answer
    assert stream.status == 200 and stream.rest()[-1] == "[DONE]"
    stream.drop()


@pytest.mark.parametrize("path, field, value", NUMBERS)
def test_numbers(tight, path, field, value):
    refused(tight, path, field, value)


@pytest.mark.parametrize("case", GRAMMARS)
def test_grammars_and_lists(tight, case):
    refused(tight, *GRAMMARS[case])


def test_behind_a_large_beginning(tight):
    """The beginning of a large body goes to the engine before its end has come: the end is checked all the same."""
    for padding in (1 << 20, 8 << 20):
        text = json.dumps({"model": "a", "padding": "x" * padding, "prompt": "Hello", "n_predict": 2})
        good = tight.request("POST", PLAIN, text, {"Content-Type": "application/json"})
        assert good.status == 200, good
        bad = text[:-1] + ', "grammar": "' + "(" * 60_000 + '"}'
        answer = tight.request("POST", PLAIN, bad, {"Content-Type": "application/json"})
        assert answer.status == 400 and answer.error["param"] == "grammar", answer


def test_sane_values_pass(tight):
    sane = {"n": 1, "max_tokens": 4, "n_keep": -1, "n_discard": 0, "min_keep": 1, "repeat_last_n": 64,
            "n_probs": 5, "grammar": 'root ::= ("a" | "(" | [(]){1,8}', "stop": ["x"], "samplers": ["top_k"]}
    for field, value in sane.items():
        answer = tight.post(PLAIN, body_for(PLAIN, field, value))
        assert answer.status == 200, (field, answer)
    answer = tight.post(PLAIN, body_for(PLAIN, "grammar", "root ::= " + "(" * 64 + '"a"' + ")" * 64))
    assert answer.status == 200, answer
    answer = tight.post(PLAIN, body_for(PLAIN, "grammar", rules(3000)))
    assert answer.status == 200, answer
    schema = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(200)}}
    answer = tight.post(PLAIN, body_for(PLAIN, "json_schema", schema))
    assert answer.status == 200, answer
