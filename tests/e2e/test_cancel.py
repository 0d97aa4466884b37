"""A client that goes away frees what it held: its slot and its lease."""
import time

from harness import figures, wait_until

LONG_PROMPT = "the cat sat on the mat " * 500
TWO_AT_ONCE = '[model."slow"]\npath = "slow.gguf"\nparallel = 2\ncontext = 4096\n'


def wait_for_free_slots(m, busy, what):
    gone = time.monotonic()

    def free():
        # Not too often, since the engine answers this between two steps of its work.
        if m.busy_slots("slow") == busy:
            return True
        time.sleep(0.2)
        return False

    wait_until(free, "the slot is free")
    figures.append((f"client dropped {what}: until its slot was free", time.monotonic() - gone))


def begin_prefill(m, stream=True):
    connection = m.connect()
    body, headers = m.encode({"model": "slow", "prompt": LONG_PROMPT, "max_tokens": 3000, "stream": stream}, {})
    connection.request("POST", "/v1/completions", body, headers)
    return connection


def test_in_prefill(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    for stream in (True, False):
        connection = begin_prefill(m, stream)
        wait_until(lambda: m.busy_slots("slow") == 1, "the prompt is being processed")
        connection.close()
        wait_for_free_slots(m, 0, "in prefill")
        m.settle()


def test_while_decoding(serve, slow_model):
    m = serve(models={"slow": slow_model})
    stream = m.chat_stream("slow", max_tokens=3000)
    stream.token()
    stream.drop()
    wait_for_free_slots(m, 0, "while decoding")
    m.settle()
    assert m.chat("slow").status == 200


def test_without_streaming_while_decoding(serve, slow_model):
    m = serve(models={"slow": slow_model})
    m.use("slow")
    connection = m.connect()
    body, headers = m.encode({"model": "slow", "prompt": "x", "max_tokens": 3000}, {})
    connection.request("POST", "/v1/completions", body, headers)
    wait_until(lambda: m.busy_slots("slow") == 1, "it is being served")
    connection.close()
    wait_for_free_slots(m, 0, "without streaming")


def test_while_another_stream_runs(serve, slow_model):
    m = serve(models={"slow": slow_model}, config=TWO_AT_ONCE)
    other = m.chat_stream("slow", max_tokens=4000)
    other.token()
    stream = m.chat_stream("slow", "Another", max_tokens=3000)
    stream.token()
    wait_until(lambda: m.busy_slots("slow") == 2, "both are served")
    stream.drop()
    wait_for_free_slots(m, 1, "while decoding beside another stream")
    other.token()  # undisturbed

    connection = begin_prefill(m)
    wait_until(lambda: m.busy_slots("slow") == 2, "the prompt is being processed")
    connection.close()
    wait_for_free_slots(m, 1, "in prefill beside another stream")
    other.token()
    other.drop()


def test_many_clients_that_vanish_leave_nothing_behind(serve):
    m = serve()
    m.use("a")
    for _ in range(30):
        stream = m.chat_stream("a", max_tokens=4000)
        stream.token()
        stream.drop()
    m.settle()
    assert m.chat("a").status == 200


def test_a_conversation_header_does_not_detach_the_answer(serve, slow_model):
    m = serve(models={"slow": slow_model})
    stream = m.stream("/v1/chat/completions",
                      {"model": "slow", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3000,
                       "stream": True}, {"X-Conversation-Id": "detached"})
    stream.token()
    stream.drop()
    wait_for_free_slots(m, 0, "with a conversation header")
