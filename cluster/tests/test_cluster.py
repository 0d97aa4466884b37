"""Clients against a cluster: what they know from one daemon holds for many."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import anthropic
import openai
import pytest
from conftest import Start
from harness import Stream, chat_body

from minerva_cluster.config import ClusterConfig, Config, NodeConfig, reference
from minerva_cluster.emulated import PATIENCE_S, Emulated, wait_until

HELLO: Any = [{"role": "user", "content": "Hello"}]
PAGE = "https://page.example"  # a page of another site that the daemons allow


@pytest.fixture(scope="module")
def two(start: Start) -> Emulated:
    """Two nodes with room for one model each; n2 does not have b."""
    return start(
        nodes=("n1", "n2"),
        arguments=("--max-models", "1"),
        without={"n2": {"b"}},
        daemon_config=f'limits.allowed_origins = ["{PAGE}"]\n',
        node={"answer_timeout": "15s"},
    )


def client_of(cluster: Emulated, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{cluster.url}/v1", api_key=key, max_retries=0, timeout=PATIENCE_S)


def connect(cluster: Emulated) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=PATIENCE_S)


def ask(
    cluster: Emulated, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = connect(cluster)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def stream_of(cluster: Emulated, model: str, text: str = "Hello", max_tokens: int = 4, **more: Any) -> Stream:
    connection = connect(cluster)
    body = json.dumps(chat_body(model, text, max_tokens=max_tokens, stream=True, **more))
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    return Stream(connection, connection.getresponse())


def node_with(cluster: Emulated, model: str, state: str = "hot") -> str:
    return str(wait_until(lambda: [n for n, s in cluster.states(model).items() if s == state], f"{model} is {state}")[0])


def in_flight(cluster: Emulated, model: str) -> int:
    return sum(m["in_flight"] for node in cluster.nodes().values() for m in node["models"] if m["id"] == model)


def test_openai_python_works_unchanged(two: Emulated) -> None:
    client = client_of(two)
    assert [model.id for model in client.models.list()] == ["a", "b", "c", "d", "e", "slow"]
    assert client.models.retrieve("a").owned_by == "minerva"
    chat = client.chat.completions.create(model="a", messages=HELLO, max_tokens=8, temperature=0)
    assert chat.choices[0].message.content
    assert chat.usage is not None
    assert chat.usage.completion_tokens == 8
    stream = client.chat.completions.create(model="a", messages=HELLO, max_tokens=8, temperature=0, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == chat.choices[0].message.content
    assert len(pieces) >= 8
    vectors = client.embeddings.create(model="e", input=["one", "two"])
    assert [len(item.embedding) for item in vectors.data] == [64, 64]
    assert client.completions.create(model="a", prompt="Once", max_tokens=4).choices[0].text
    raw = client.chat.completions.with_raw_response.create(model="a", messages=HELLO, max_tokens=1)
    assert raw.headers["x-minerva-model"] == "a"
    assert raw.headers["x-request-id"]


def test_errors_come_from_the_daemons_unchanged(two: Emulated) -> None:
    client = client_of(two)
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=HELLO)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as unable:
        client.embeddings.create(model="a", input="one")
    assert unable.value.code == "unsupported"
    anthropics = anthropic.Anthropic(base_url=two.url, api_key="none", max_retries=0)
    with pytest.raises(anthropic.NotFoundError):
        anthropics.messages.create(model="nobody", max_tokens=4, messages=HELLO)
    answer = anthropics.messages.create(model="a", max_tokens=4, messages=HELLO)
    assert answer.content
    with anthropics.messages.stream(model="a", max_tokens=4, messages=HELLO) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_what_the_endpoint_refuses_itself(two: Emulated) -> None:
    def refused(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        answer, document = ask(two, method, path, body, **headers)
        return answer.status, json.loads(document)["error"]["code"]

    assert refused("GET", "/v1/config") == (404, "route_not_found")
    assert refused("POST", "/v1/pull", b"{}") == (404, "route_not_found")
    assert refused("GET", "/v1/chat/completions") == (405, "method_not_allowed")
    assert refused("POST", "/health") == (405, "method_not_allowed")
    assert refused("GET", "/v1/models", Host="evil.example") == (403, "forbidden")
    assert refused("GET", "/v1/models", Origin="http://evil.example", Sec_Fetch_Site="cross-site") == (403, "forbidden")
    large = b'{"model": "a", "x": "' + b"x" * (33 << 20) + b'"}'
    assert refused("POST", "/v1/chat/completions", large) == (413, "body_too_large")
    assert refused("POST", "/v1/chat/completions", b"{", Content_Type="application/json")[0] == 400


def test_pages_of_other_sites_as_the_daemons_allow_them(two: Emulated) -> None:
    wants = {"Origin": PAGE, "Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    answer, _ = ask(two, "OPTIONS", "/v1/chat/completions", None, **wants)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert ask(two, "GET", "/v1/models", Origin=PAGE)[0].headers["access-control-allow-origin"] == PAGE
    evil, _ = ask(two, "OPTIONS", "/v1/chat/completions", None, **{**wants, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers


def test_an_answer_has_one_date_and_one_id(two: Emulated) -> None:
    answer, _ = ask(two, "GET", "/v1/models/a", X_Request_ID="mine")
    assert answer.headers.get_all("x-request-id") == ["mine"]
    assert len(answer.headers.get_all("date") or ()) == 1
    assert answer.headers["x-minerva-request-id"].startswith("req_")


def test_what_clients_of_ollama_look_at(two: Emulated) -> None:
    assert ask(two, "HEAD", "/")[0].status == 200
    assert ask(two, "GET", "/")[1] == b"Minerva is running"
    assert "version" in json.loads(ask(two, "GET", "/api/version")[1])
    client_of(two).chat.completions.create(model="b", messages=HELLO, max_tokens=1)
    models = json.loads(ask(two, "GET", "/api/tags")[1])["models"]
    assert [model["name"].partition(":")[0] for model in models] == ["a", "b", "c", "d", "e", "slow"]
    wait_until(
        lambda: "b" in [m["name"].partition(":")[0] for m in json.loads(ask(two, "GET", "/api/ps")[1])["models"]], "b is listed"
    )


def test_the_list_says_the_state_in_both_ways(two: Emulated) -> None:
    client_of(two).chat.completions.create(model="a", messages=HELLO, max_tokens=1)
    node_with(two, "a")
    models = {model["id"]: model for model in json.loads(ask(two, "GET", "/v1/models")[1])["data"]}
    assert (models["a"]["state"], models["a"]["status"]["value"]) == ("hot", "loaded")


def test_models_are_where_their_files_are_and_conversations_stay(two: Emulated) -> None:
    client = client_of(two)
    client.chat.completions.create(model="b", messages=HELLO, max_tokens=1)
    assert node_with(two, "b") == "n1"  # the other node does not have its file
    messages = list(HELLO)
    caches = []
    for _ in range(4):
        raw = client.chat.completions.with_raw_response.create(model="c", messages=messages, max_tokens=4)
        caches.append(raw.headers["x-minerva-cache"])
        messages += [{"role": "assistant", "content": raw.parse().choices[0].message.content}, *HELLO]
    assert caches[1:] == ["hit"] * 3
    assert len(two.states("c")) == 1 or sorted(two.states("c").values()) == ["hot", "parked"]


def test_a_dropped_client_frees_the_slot(two: Emulated) -> None:
    stream = stream_of(two, "slow", max_tokens=2000)
    stream.token()
    wait_until(lambda: in_flight(two, "slow") == 1, "the request is seen")
    stream.drop()
    wait_until(lambda: in_flight(two, "slow") == 0, "its slot is free", 60)


def test_heartbeats_pass_through(two: Emulated) -> None:
    client_of(two).chat.completions.create(model="a", messages=HELLO, max_tokens=1)
    node = node_with(two, "a")
    for model in ("slow", "c", "d"):
        # Whichever node loads it, its engine is stopped as soon as it is there, and so the load goes on.
        if two.states(model):
            continue
        found: list[int] = []
        thread = threading.Thread(target=_stop_engine, args=(two, model, found), daemon=True)
        thread.start()
        stream = stream_of(two, model, max_tokens=4)
        comments = []
        for event in stream.events():
            if not event.startswith(":"):
                assert json.loads(event)["choices"]
                break
            comments.append(event)
            if len(comments) == 2:
                for pid in found:
                    os.kill(pid, signal.SIGCONT)
        assert stream.rest()[-1] == "[DONE]"
        for pid in found:
            os.kill(pid, signal.SIGCONT)
        if len(comments) >= 2:
            assert any("loading" in comment for comment in comments)
            return
    pytest.fail(f"no load was caught; a is on {node}")


def _stop_engine(cluster: Emulated, model: str, stopped: list[int]) -> None:
    for pid in wait_until(lambda: cluster.engines(model=model), f"an engine of {model}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)


def test_life_cycle_calls(two: Emulated) -> None:
    def call(method: str, path: str) -> dict[str, Any]:
        connection = connect(two)
        connection.request(method, path)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, document
        return document

    assert call("POST", "/v1/models/c/load")["state"] == "hot"
    node_with(two, "c")
    assert call("POST", "/v1/models/c/load?dry_run=true")["message"] == "already loaded"
    assert call("POST", "/v1/models/c/park")["state"] == "parked"
    node_with(two, "c", "parked")
    assert call("DELETE", "/v1/models/c")["state"] == "cold"
    wait_until(lambda: not two.states("c"), "c is cold everywhere")
    assert call("GET", "/v1/models/c")["state"] == "cold"
    assert call("GET", "/health") == {"status": "ok"}
    assert call("GET", "/ready") == {"status": "ready"}


def test_status(two: Emulated) -> None:
    command = [sys.executable, "-m", "minerva_cluster.cli", "status", "--url", two.url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["NODE", "n1", "n2"]
    document = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=60).stdout)
    assert [node["known_models"] for node in document["nodes"]] == [6, 5]
    nowhere = [*command[:-1], "http://127.0.0.1:9"]
    assert subprocess.run(nowhere, capture_output=True, timeout=60).returncode == 3


def test_up_where_another_endpoint_is(two: Emulated, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cluster.toml").write_text(f'listen = "127.0.0.1:9"\nurl_of_ray = "{two.ray}"\n')
    command = [sys.executable, "-m", "minerva_cluster.cli", "up", "--config", str(tmp_path / "cluster.toml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert f"this Ray serves at 127.0.0.1:{two.port} already" in ended.stderr


def test_a_daemon_that_dies_is_started_again(two: Emulated) -> None:
    client = client_of(two)
    for node in ("n1", "n2"):
        (pid,) = two.daemons(node)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda node=node, pid=pid: two.daemons(node) not in ([], [pid]), "another daemon is there")  # type: ignore[misc]
        for model in ("a", "c"):
            assert client.chat.completions.create(model=model, messages=HELLO, max_tokens=1).choices
    two.wait_for(2)


def test_a_daemon_that_hangs_costs_time_and_nothing_else(two: Emulated) -> None:
    client = client_of(two)
    client.chat.completions.create(model="a", messages=HELLO, max_tokens=1)
    node = node_with(two, "a")
    (pid,) = two.daemons(node)
    os.kill(pid, signal.SIGSTOP)
    assert [model.id for model in client.models.list()] == ["a", "b", "c", "d", "e", "slow"]
    assert client.chat.completions.create(model="a", messages=HELLO, max_tokens=1).choices
    wait_until(lambda: two.daemons(node) not in ([], [pid]), "another daemon is there")
    two.wait_for(2)


def test_a_daemon_that_dies_before_it_answers_costs_nothing(two: Emulated) -> None:
    client_of(two).chat.completions.create(model="slow", messages=HELLO, max_tokens=1)
    node = node_with(two, "slow")
    text = "the cat sat on the mat " * 250
    answers: list[Stream] = []
    thread = threading.Thread(target=lambda: answers.append(stream_of(two, "slow", text, max_tokens=4)), daemon=True)
    thread.start()
    wait_until(lambda: in_flight(two, "slow") == 1 or not thread.is_alive(), "the prompt is being read")
    os.kill(two.daemons(node)[0], signal.SIGKILL)
    thread.join(PATIENCE_S)
    assert answers[0].status == 200
    assert answers[0].rest()[-1] == "[DONE]"


def test_a_node_that_is_killed_under_load_loses_no_unanswered_request(two: Emulated) -> None:
    outcomes: list[str] = []
    stopping = threading.Event()

    def ask(number: int) -> None:
        client = client_of(two)
        while not stopping.is_set():
            try:
                stream = client.chat.completions.create(model="acde"[number], messages=HELLO, max_tokens=4, stream=True)
                pieces = 0
            except openai.APIError as error:
                outcomes.append(f"refused: {error}")
                continue
            try:
                for _ in stream:
                    pieces += 1
                outcomes.append("done")
            except Exception as error:
                outcomes.append("answer broke off" if pieces else f"lost: {error!r}")

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: outcomes.count("done") >= 6, "requests are answered")
    daemons = two.daemons("n2")
    two.kill("n2")
    wait_until(lambda: not two.processes(node="n2/"), "nothing is left of the node", 60)
    assert daemons
    count = len(outcomes)
    wait_until(lambda: len(outcomes) >= count + 12, "the other node answers everything")
    two.add("n2")
    two.wait_for(2)
    count = len(outcomes)
    wait_until(lambda: len(outcomes) >= count + 12, "both answer")
    stopping.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert set(outcomes) <= {"done", "answer broke off"}, outcomes


def test_up_and_down(start: Start, tmp_path: pathlib.Path) -> None:
    """On a Ray that runs nothing yet."""
    bare = start(deploy=False, nodes=("n1",), arguments=("--max-models", "1"))
    settings = dataclasses.replace(bare.config.node, program="/no/such/program")
    taken = socket.create_server(("127.0.0.1", 0))

    def run(*arguments: str, listen: str = f"127.0.0.1:{bare.port}", node: NodeConfig = settings) -> tuple[int, str]:
        config = ClusterConfig(Config(listen=listen, url_of_ray=bare.ray), node)
        (tmp_path / "cluster.toml").write_text(reference(config))
        command = [sys.executable, "-m", "minerva_cluster.cli", *arguments]
        if arguments[0] == "up":
            command += ["--config", str(tmp_path / "cluster.toml"), "--detach"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stderr + ended.stdout

    code, said = run("up", listen=f"127.0.0.1:{taken.getsockname()[1]}")
    assert (code, f"nothing can listen on 127.0.0.1:{taken.getsockname()[1]}" in said) == (1, True), said
    code, said = run("up")
    assert (code, "a node cannot start: there is no program /no/such/program" in said) == (1, True), said
    code, said = run("up", node=bare.config.node)
    assert (code, f"Serving at {bare.url}/v1. `minerva-cluster down` ends it." in said) == (0, True), said
    assert client_of(bare).chat.completions.create(model="a", messages=HELLO, max_tokens=1).choices
    code, said = run("drain", "nobody", "--ray", bare.ray)
    assert (code, "Ray has no machine called nobody" in said) == (1, True), said
    assert run("down", "--ray", bare.ray)[0] == 0
    assert not bare.processes()
    code, said = run("down", "--ray", bare.ray)
    assert (code, "no cluster is up there" in said) == (1, True), said
    code, said = run("down", "--ray", "127.0.0.1:9")
    assert (code, "no Ray answers at 127.0.0.1:9" in said) == (3, True), said


@pytest.fixture(scope="module")
def keyed(start: Start) -> Emulated:
    """One node whose daemon needs keys."""
    keys = 'api_keys = ["one", "two"]\nadmin_keys = ["chief"]\n'
    return start(nodes=("n1",), daemon_config=keys, admin_key="chief")


def test_keys_pass_through(keyed: Emulated) -> None:
    assert client_of(keyed, "one").chat.completions.create(model="a", messages=HELLO, max_tokens=1).choices
    with pytest.raises(openai.AuthenticationError):
        client_of(keyed, "three").chat.completions.create(model="a", messages=HELLO, max_tokens=1)
    for path in ("/v1/models", "/v1/cluster", "/v1/models/a"):
        connection = connect(keyed)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 401, path
        assert json.loads(answer.read())["error"]["code"] == "invalid_api_key"
    assert [model.id for model in client_of(keyed, "two").models.list()] == ["a", "b", "c", "d", "e", "slow"]


def test_the_replica_that_dies_takes_its_daemon_along(keyed: Emulated) -> None:
    client_of(keyed, "one").chat.completions.create(model="a", messages=HELLO, max_tokens=1)
    (daemon,) = keyed.daemons()
    engines = keyed.engines()
    assert engines
    os.kill(keyed.replica("n1"), signal.SIGKILL)
    wait_until(lambda: not {daemon, *engines} & set(keyed.processes()), "daemon and engine are gone", 60)
    assert client_of(keyed, "one").chat.completions.create(model="a", messages=HELLO, max_tokens=1).choices
