"""An engine gets only as many requests at once as it has slots. The others wait where other models and callers
count."""
import pytest

import harness
from harness import in_background, wait_until

TWO_SLOTS = '[model."slow"]\npath = "slow.gguf"\nparallel = 2\ncontext = 4096\n'
LONG = 150  # tokens: most of a second of the slow model


@pytest.fixture
def busy(serve, models, slow_model):
    """A server with room for one model. Both slots of its "slow" are taken; yields it with the streams that take
    them."""
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]}, config=TWO_SLOTS,
              env={"MINERVA_QUEUE_MIN_RESIDENCY": "100ms"})
    streams = [m.chat_stream("slow", max_tokens=2000) for _ in range(2)]
    for stream in streams:
        stream.token()
    yield m, streams
    for stream in streams:
        stream.drop()


def slots_of(m):
    view = m.view("slow")
    return view["slots"], view["slots_taken"], view["waiting"]


def test_a_long_line_for_one_model_does_not_hold_back_another(serve, models, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]}, config=TWO_SLOTS,
              env={"MINERVA_QUEUE_MIN_RESIDENCY": "100ms"})
    assert m.chat("slow", max_tokens=LONG).status == 200  # so that its requests are known to be slow
    line = [in_background(m.chat, "slow", max_tokens=LONG) for _ in range(16)]
    wait_until(lambda: (m.view("slow") or {}).get("waiting", 0) >= 12, "they wait")
    assert slots_of(m)[0] == 2 and slots_of(m)[1] in (2, 4)  # twice as many if its requests are short
    assert m.chat("a").status == 200
    left = sum(not call.done for call in line)
    assert left > 6, f"the other model waited until {16 - left} of the 16 before it were answered"
    assert all(call.result().status == 200 for call in line)


def test_what_generates_nothing_needs_no_slot(busy):
    m, _ = busy
    assert slots_of(m) == (2, 2, 0)
    assert m.post("/tokenize", {"model": "slow", "content": "x"}).json["tokens"]
    waits = in_background(m.chat, "slow")
    wait_until(lambda: slots_of(m) == (2, 2, 1), "it waits for a slot")
    assert m.post("/tokenize", {"model": "slow", "content": "x"}).json["tokens"]
    assert not waits.done
    busy[1].pop().drop()
    assert waits.result().status == 200


def test_a_client_that_goes_leaves_the_line(busy):
    m, _ = busy
    stream = in_background(m.chat_stream, "slow", max_tokens=2000)
    wait_until(lambda: slots_of(m) == (2, 2, 1), "it waits for a slot")
    stream.result().drop()
    wait_until(lambda: slots_of(m) == (2, 2, 0), "it left the line")


def test_more_answers_at_once_than_slots_are_refused_before_anything_moves(serve, models, slow_model):
    m = serve("--max-models", 1, models={"slow": slow_model, "a": models["a"]}, config=TWO_SLOTS)
    m.use("a")
    answer = m.chat("slow", n=3)
    assert answer.status == 400 and answer.error["param"] == "n", answer
    assert "gives 2 answers at once" in answer.error_message
    assert m.loaded() == ["a"]
    two = m.chat("slow", n=2)
    assert two.status == 200 and len(two.json["choices"]) == 2


def test_callers_take_turns(serve, models, slow_model):
    one_slot = TWO_SLOTS.replace("parallel = 2", "parallel = 1")
    m = serve("--api-key", "of-ann", "--api-key", "of-ben", models={"slow": slow_model}, config=one_slot)
    ann, ben = ({"Authorization": f"Bearer {key}"} for key in ("of-ann", "of-ben"))

    def ask(caller):
        return m.post("/v1/chat/completions", harness.chat_body("slow", max_tokens=LONG), headers=caller)

    assert ask(ann).status == 200
    line = [in_background(ask, ann) for _ in range(6)]
    wait_until(lambda: m.get("/v1/models/stats", headers=ann).json["models"][0]["waiting"] >= 4, "they wait")
    assert ask(ben).status == 200
    left = sum(not call.done for call in line)
    assert left >= 2, f"{6 - left} of six requests of one caller came before the single one of another"
    assert all(call.result().status == 200 for call in line)
