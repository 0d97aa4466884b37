"""anthropic's own Python client against /v1/messages; only its base_url is changed."""
import os
import re
import signal

import anthropic
import pytest

from harness import in_background, wait_until
from test_command_engines import entry

HELLO = [{"role": "user", "content": "Hello"}]


def client_for(m, **more):
    return anthropic.Anthropic(base_url=m.url, api_key="unused", max_retries=0, timeout=60, **more)


def test_a_message_and_a_stream(serve):
    client = client_for(serve())
    message = client.messages.create(model="a", max_tokens=4, messages=HELLO)
    assert message.type == "message" and message.content[0].text
    with client.messages.stream(model="b", max_tokens=4, messages=HELLO) as stream:
        assert "".join(stream.text_stream)
    assert client.messages.count_tokens(model="a", messages=HELLO).input_tokens > 0


def test_errors_are_the_clients_own(serve):
    m = serve("--max-models", 1)
    m.use("b")
    client = client_for(m)
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="nosuch", max_tokens=4, messages=HELLO)
    assert unknown.value.body["error"]["type"] == "not_found_error"
    before = m.cache()
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError) as cannot:
            client.with_options(max_retries=2).messages.create(model="e", max_tokens=4, messages=HELLO, stream=stream)
        assert cannot.value.body["error"]["type"] == "invalid_request_error"
        assert "embedding" in cannot.value.body["error"]["message"]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="a", max_tokens=4, messages=[{"role": "user", "content": [image]}])
    assert m.cache() == before and m.loaded() == ["b"]


def test_a_prompt_that_is_too_long_says_how_long_in_anthropics_words(serve):
    client = client_for(serve())
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError) as refused:
            client.messages.create(model="a", max_tokens=4, stream=stream,
                                   messages=[{"role": "user", "content": "Hello " * 10000}])
        # Claude Code looks for these words, and then shortens its conversation.
        message = refused.value.body["error"]["message"]
        assert re.match(r"prompt is too long: \d+ tokens > \d+ maximum: ", message), message
        assert message.endswith("settings."), message


def test_a_stream_that_waited_raises_its_error(serve, slow_model):
    m = serve(models={"slow": slow_model})
    client = client_for(m)

    def read():
        with client.messages.stream(model="slow", max_tokens=4, messages=HELLO) as stream:
            return "".join(stream.text_stream)

    calls = []
    first = m.catch_loading("slow", lambda: calls.append(in_background(read)))
    # Heartbeats begin two seconds after a request. If a later request has its first one, the client has one too.
    waiting = m.stream("/v1/messages", {"model": "slow", "max_tokens": 4, "messages": HELLO, "stream": True})
    waiting.heartbeat("loading")
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: [pid for pid in m.engines("slow") if pid != first], "another engine is tried")[0]
    os.kill(second, signal.SIGKILL)
    with pytest.raises(anthropic.APIStatusError) as died:
        calls[-1].result()
    error = died.value.body["error"]
    assert error["type"] == "api_error" and "died while loading" in error["message"], error


def test_an_error_of_the_engine_within_a_stream(serve):
    """The error goes out as the engine sent it, and the client raises it."""
    m = serve(models={}, config=entry("like"))
    with pytest.raises(anthropic.APIStatusError) as broken:
        list(client_for(m).messages.create(model="like", max_tokens=4, stream=True,
                                           messages=[{"role": "user", "content": "break"}]))
    assert "told to break" in str(broken.value)
