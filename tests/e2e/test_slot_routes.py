"""Which routes take slots of llama.cpp's server and how many; and that no request may pick a slot."""
import pytest

from harness import wait_until
from test_route_matrix import route_table

MESSAGES = [{"role": "user", "content": "Hello"}]
# Members for every route.
BODY = {"messages": MESSAGES, "prompt": "Hello", "input": "Hello", "content": "Hello", "query": "Hello",
        "documents": ["Hello"], "input_prefix": "a", "input_suffix": "b", "tokens": [1], "max_tokens": 4}
USE = 1  # Reach::kUse
VISITS = [("POST", "/tokenize"), ("POST", "/detokenize"), ("POST", "/apply-template"),
          ("POST", "/v1/messages/count_tokens"), ("POST", "/v1/chat/completions/input_tokens"),
          ("POST", "/v1/responses/input_tokens"), ("GET", "/props"), ("GET", "/slots"), ("GET", "/lora-adapters"),
          ("GET", "/metrics")]


def config(slots):
    return f'[model."slow"]\npath = "slow.gguf"\nparallel = {slots}\ncontext = 4096\nargs = ["--metrics"]\n'


def test_a_named_slot_is_refused_before_anything_moves(serve, models):
    m = serve("--max-models", 1, models={"a": models["a"], "e": models["e"], "resident": models["b"]},
              config='[preset."strips"]\nmodel = "a"\nstrip = ["id_slot"]\n')
    m.use("resident")
    before = m.cache()
    paths = [route["path"] for route in route_table() if route["reach"] == USE and route["takes"] != 0]
    assert "/v1/chat/completions" in paths and "/v/rerank" in paths and "/v1/messages" in paths
    paths += ["/chat/v1/chat/completions", "/upstream/a/v1/chat/completions", "/upstream/a//completion/"]
    for path in paths:
        for slot in (0, 7, "0", True):
            answer = m.post(path, {"model": "a", **BODY, "id_slot": slot})
            assert answer.status == 400, (path, answer)
            assert answer.error_message.startswith('"id_slot" picks a slot'), (path, answer)
            if "/messages" in path:
                assert answer.json["type"] == "error", (path, answer)
            else:
                assert answer.error["code"] == "invalid_argument" and answer.error["param"] == "id_slot", (path, answer)
    late = m.post("/v1/chat/completions", {"model": "a", "x": "x" * 3_000_000, **BODY, "id_slot": 0})
    assert late.status == 400 and late.error["param"] == "id_slot", late
    # For a model and route for which nothing else reads the whole body.
    late = m.post("/v1/embeddings", {"model": "e", "x": "x" * 3_000_000, "input": "Hello", "id_slot": 0})
    assert late.status == 400 and late.error["param"] == "id_slot", late
    stream = m.post("/v1/chat/completions", {"model": "a", **BODY, "stream": True, "id_slot": 0})
    assert stream.status == 400 and stream.error["param"] == "id_slot", stream
    assert m.loaded() == ["resident"] and m.cache() == before
    for slot in (-1, None):
        assert m.post("/v1/chat/completions", {"model": "a", **BODY, "id_slot": slot}).status == 200
    assert m.post("/completion", {"model": "strips", **BODY, "id_slot": 0}).status == 200
    assert m.post("/tokenize", {"model": "a", **BODY, "id_slot": 0}).status == 200  # a visit takes no slot


def test_visits_are_answered_while_every_slot_is_taken(serve, slow_model):
    m = serve(models={"slow": slow_model}, config=config(1))
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    for method, path in VISITS:
        answer = (m.post(path, {"model": "slow", **BODY}) if method == "POST" else m.get(path + "?model=slow"))
        assert answer.status == 200, (path, answer)
    assert m.busy_slots("slow") == 1, "the stream ended before the visits did"
    stream.drop()


@pytest.mark.parametrize("path, more, slots", [
    ("/v1/chat/completions", {"n": 2}, 2),
    ("/v1/completions", {"n_cmpl": 2}, 2),
    ("/completion", {"n": 2.9}, 2),  # the engine cuts the fraction
    ("/v1/responses", {"n": 2}, 2),
    ("/v1/messages", {"n": 2}, 1),  # the engine's translation drops it
])
def test_answers_take_slots_at_once(serve, slow_model, path, more, slots):
    m = serve(models={"slow": slow_model}, config=config(3))
    m.use("slow")
    stream = m.stream(path, {"model": "slow", **BODY, "max_tokens": 3000, "max_output_tokens": 3000, "stream": True, **more})
    busy = wait_until(lambda: m.busy_slots("slow"), "the engine works")
    assert busy == slots
    stream.drop()
