"""Settings, routes, answers and views, without Ray and without daemons."""

import asyncio
import dataclasses
import json
import re
from collections.abc import MutableMapping
from typing import Any

import pytest

from minerva_cluster import config
from minerva_cluster.answers import Answer, Comments, CutOff, Refusal
from minerva_cluster.board import ModelView
from minerva_cluster.cli import as_table
from minerva_cluster.config import ClusterConfig, ConfigError, parse
from minerva_cluster.machines import wanted_replicas
from minerva_cluster.published import NEVER_MS, catalog_of, names_of, plan_of, to_plan, uses_of, views_of
from minerva_cluster.routes import Kind, Route, host_allowed, methods_of, route_of
from minerva_cluster.wire import Head

# ---- how many nodes ----


@pytest.mark.parametrize(
    ("machines", "target", "running", "wanted", "is_short"),
    [
        (4, 1, 0, 4, False),  # the first look
        (4, 4, 4, 4, False),
        (5, 4, 4, 5, False),  # a machine has joined
        (4, 4, 3, 4, False),  # a replica has died, its machine has not
        (3, 4, 3, 4, True),  # a machine has died: its replacement waits
        (2, 4, 2, 4, True),
        (3, 4, 4, 3, False),  # a machine is being drained
        (2, 4, 3, 3, True),  # a machine has died, and another one is being drained
        (0, 4, 0, 4, True),
        (0, 0, 0, 0, False),
    ],
)
def test_a_replica_for_each_machine_and_for_one_that_may_come_back(
    machines: int, target: int, running: int, wanted: int, is_short: bool
) -> None:
    assert wanted_replicas(machines, target, running) == (wanted, is_short)


# ---- settings ----


def test_settings_from_a_file() -> None:
    text = 'listen = "0.0.0.0:80"\nmax_requests = 7\n[node]\narguments = ["--policy", "lru"]\n'
    parsed = parse(text, "x.toml")
    assert parsed.address == ("0.0.0.0", 80)
    assert parsed.is_public
    assert (parsed.cluster.max_requests, parsed.node.arguments) == (7, ("--policy", "lru"))
    assert parse("", "x.toml") == ClusterConfig()
    assert not ClusterConfig().is_public
    assert not parse('listen = "[::1]:80"', "x").is_public
    assert parse('listen = "box.example:80"', "x").is_public


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", 'x.toml:1: there is no setting "x"'),
        ('\n[node]\n\nprogramm = "m"', 'x.toml:4: there is no setting "programm"'),
        ("listen = 3", 'x.toml:1: "listen" is a string'),
        ("max_requests = true", "whole number"),
        ("max_requests = 0", "at least 1"),
        ("[node]\narguments = [3]", 'x.toml:2: "arguments" is a list of strings'),
        ("node = 3", "node is a table"),
        ('\nlisten = "nowhere"', 'x.toml:2: listen: "nowhere" is no address'),
        ('[node]\nanswer_timeout = "soon"', 'x.toml:2: answer_timeout: "soon" is no duration'),
        ("[nodes]", "x.toml:1: there is no table [nodes]; there is [node]"),
        ('listen = "a:99999"', "is no address"),
        ('drain = "3"', '"3" is no duration'),
        ('max_body = "3 apples"', "is no size"),
        ("x = ", "x.toml:"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(text, "x.toml")


def test_the_reference_is_a_config_of_defaults() -> None:
    assert parse(config.reference(), "reference") == ClusterConfig()
    parsed = parse('allowed_hosts = ["a\\"b", "ü"]\ndrain = "3s"\n[node]\nprogram = "/x"', "x.toml")
    assert parse(config.reference(parsed), "reference") == parsed


# ---- routes ----


def test_routes() -> None:
    assert route_of("POST", "/v1/chat/completions", "") == Route(Kind.INFERENCE)
    assert route_of("POST", "//v1//chat/completions/", "") == Route(Kind.INFERENCE)
    assert route_of("GET", "/props", "model=a%2Fb") == Route(Kind.LOOK, "a/b")
    assert route_of("POST", "/v1/models/org/a:Q4/load", "") == Route(Kind.LOAD, "org/a:Q4", "load")
    assert route_of("POST", "/v1/models/a%2Fb/park", "") == Route(Kind.LEAVE, "a/b", "park")
    assert route_of("DELETE", "/v1/models/a", "") == Route(Kind.LEAVE, "a", "unload")
    assert route_of("HEAD", "/v1/models", "") == Route(Kind.MODELS)
    assert route_of("GET", "/v1/models/a", "") == Route(Kind.LOOK, "a")
    assert route_of("GET", "/", "") == Route(Kind.ROOT)
    assert route_of("GET", "/api/ps", "") == Route(Kind.OLLAMA_MODELS)
    assert route_of("OPTIONS", "/v1/chat/completions", "") == Route(Kind.LOOK)
    assert methods_of("/v1/chat/completions", "") == ["POST"]
    assert methods_of("/v1/models/a", "") == ["GET", "DELETE", "HEAD"]
    assert methods_of("/v1/config", "") == []
    for method, path in (
        ("OPTIONS", "/v1/config"), ("POST", "/"),
        ("GET", "/v1/config"), ("POST", "/v1/pull"), ("DELETE", "/v1/models/a/files"), ("GET", "/metrics"),
        ("POST", "/upstream/a/x"), ("GET", "/v1/models/stats"), ("DELETE", "/v1/conversations"), ("PUT", "/v1/models/a"),
    ):  # fmt: skip
        assert route_of(method, path, "") is None, path


@pytest.mark.parametrize(
    ("authority", "listens", "allowed"),
    [
        ("localhost:8000", "127.0.0.1", True),
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("[::1]:8000", "127.0.0.1", True),
        ("evil.example", "127.0.0.1", False),
        ("10.0.0.1:8000", "127.0.0.1", False),
        ("10.0.0.1:8000", "0.0.0.0", True),
        ("box.example", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("", "0.0.0.0", False),
    ],
)
def test_hosts(authority: str, listens: str, allowed: bool) -> None:
    assert host_allowed(authority, listens, ("Box.example",)) is allowed


# ---- answers ----


class Client:
    def __init__(self) -> None:
        self.messages: list[MutableMapping[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


STREAM = Head(200, [("Content-Type", "text/event-stream; charset=utf-8")])
JSON = Head(200, [("content-type", "application/json")])
DEAD = Refusal(502, "unreachable", "The node has died.")


def answered(path: str, *steps: tuple[str, Any]) -> tuple[Client, Answer]:
    client = Client()
    answer = Answer(client.send, path)

    async def run() -> None:
        for name, argument in steps:
            await getattr(answer, name)(*([] if argument is None else [argument]))

    asyncio.run(run())
    return client, answer


def test_comments_are_no_answer() -> None:
    comments = Comments()
    for piece in (b": load", b"ing 3%\n", b"\n", b": loading data: 4%\n\n"):
        comments.take(piece)
        assert comments.only
    comments.take(b"da")
    assert not comments.only


def test_a_stream_of_heartbeats_has_not_begun() -> None:
    _, answer = answered("/v1/chat/completions", ("begin", STREAM), ("piece", b": loading 3%\n\n"))
    assert not answer.has_begun
    _, answer = answered("/v1/chat/completions", ("begin", STREAM), ("piece", b"data: {}\n\n"))
    assert answer.has_begun
    _, answer = answered("/v1/chat/completions", ("begin", JSON))
    assert answer.has_begun


def test_a_second_try_goes_on_in_the_same_stream() -> None:
    client, _ = answered(
        "/v1/chat/completions",
        ("begin", STREAM), ("piece", b": loading\n\n"), ("begin", STREAM), ("piece", b"data: x\n\n"), ("end", None),
    )  # fmt: skip
    assert [message["type"] for message in client.messages].count("http.response.start") == 1
    assert client.body == b": loading\n\ndata: x\n\n"


def test_errors_have_the_shape_of_their_api() -> None:
    client, _ = answered("/v1/chat/completions", ("refuse", DEAD))
    assert client.messages[0]["status"] == 502
    assert json.loads(client.body)["error"] == {
        "message": "The node has died.", "type": "api_error", "param": None, "code": "unreachable",
    }  # fmt: skip
    client, _ = answered("/v1/messages", ("refuse", DEAD))
    assert json.loads(client.body) == {"type": "error", "error": {"type": "api_error", "message": "The node has died."}}
    client, _ = answered("/api/chat", ("refuse", dataclasses.replace(DEAD, retry_after_s=3)))
    assert json.loads(client.body) == {"error": "The node has died."}
    assert (b"retry-after", b"3") in client.messages[0]["headers"]


def test_within_a_stream_an_error_is_an_event() -> None:
    client, answer = answered("/v1/chat/completions", ("begin", STREAM), ("piece", b"data: x\n"), ("refuse", DEAD))
    assert client.body.endswith(
        b'\n\ndata: {"error": {"message": "The node has died.", "type": "api_error", "param": null, "code": "unreachable"}}\n\n'
    )
    assert answer.has_ended
    with pytest.raises(CutOff):
        answered("/v1/completions", ("begin", JSON), ("piece", b'{"cho'), ("refuse", DEAD))


# ---- views ----

CATALOG = {
    "data": [
        {"id": "a", "size_bytes": 10 << 20, "aliases": ["gpt"]},
        {"id": "b", "size_bytes": 500 << 20, "aliases": []},
        {"id": "c", "size_bytes": 0, "runs_here": False},
        {"id": "a:fast", "preset_of": "a", "aliases": ["quick"]},
    ]
}
STATS = {
    "memory_budget_mb": 1000,
    "estimated_memory_mb": 900,
    "models": [
        {"id": "a", "state": "hot", "slots": 2, "leases": 2, "slots_taken": 2, "waiting": 3, "last_used_s": 7.5},
    ],
}


def test_views_of_what_a_daemon_says() -> None:
    catalog = catalog_of(CATALOG)
    assert names_of(catalog) == {"gpt": "a", "a:fast": "a", "quick": "a"}
    plan = plan_of({"possible": True, "expected_load_ms": 640, "cost_ms": 1200, "would_evict": ["a"], "confidence": "measured"})
    views = views_of(catalog, STATS, {"b": plan}, {"a": 250.0}, {"b": 1})
    assert views == {
        "a": ModelView(state="hot", slots=2, in_flight=5, service_ms=250.0),
        "b": ModelView(ready_ms=640, cost_ms=1200, victim_idle_s=4, in_flight=1),
        "c": ModelView(ready_ms=NEVER_MS),
    }
    assert to_plan(views, ["a", "b"]) == ["b"]
    unplanned = views_of(catalog, STATS, {}, {}, {})["b"]
    assert unplanned.ready_ms == unplanned.cost_ms > 1000  # it has to make room
    assert unplanned.is_guess
    blocked = plan_of({"possible": False, "expected_load_ms": None, "cost_ms": 0, "would_evict": []})
    waits = views_of(catalog, STATS, {"b": blocked}, {}, {})["b"]
    assert waits.ready_ms > unplanned.ready_ms
    assert not waits.is_guess  # it is known that others are in the way
    assert to_plan({**views, "b": ModelView(state="loading")}, ["b"]) == []


def test_dry_runs_are_old_when_the_order_of_use_is() -> None:
    def stats(**idle_s: float) -> dict[str, Any]:
        return {"models": [{"id": model, "last_used_s": idle, "leases": int(idle == 0)} for model, idle in idle_s.items()]}

    before = uses_of(stats(a=1, b=3))
    assert before == uses_of(stats(a=4, b=6))
    assert before != uses_of(stats(a=4, b=2))
    assert before != uses_of(stats(a=0, b=6))


def test_the_table() -> None:
    assert as_table({"nodes": []}) == "No node is ready yet.\n"
    model = {"id": "a", "state": "hot", "in_flight": 1, "slots": 2}
    node = {"name": "n1", "estimated_memory_mb": 5, "memory_budget_mb": 10, "models": [model]}
    lines = as_table({"nodes": [node, {**node, "models": [], "reachable": False}]}).splitlines()
    assert lines[1].split() == ["n1", "5", "of", "10", "MiB", "a", "(hot,", "1", "of", "2", "slots)"]
    assert "unreachable" in lines[2]
    assert lines[2].endswith("none")
