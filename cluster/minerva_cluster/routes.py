"""Which routes the cluster's endpoint has: those that concern a model. Everything else is the business of one machine.

Pure.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from urllib.parse import parse_qs, unquote


class Kind(enum.Enum):
    INFERENCE = enum.auto()  # by the model in the body
    LOOK = enum.auto()  # by the model in the path or in ?model=, else on any node
    LOAD = enum.auto()  # by the model in the path: on the node where that is soonest
    LEAVE = enum.auto()  # by the model in the path: on all nodes that have it in memory
    MODELS = enum.auto()  # the union of all nodes' lists
    OLLAMA_MODELS = enum.auto()  # the union again, in the words of Ollama's API
    ROOT = enum.auto()  # where clients look whether a server is there
    CLUSTER = enum.auto()  # how the nodes are
    HEALTH = enum.auto()
    READY = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    kind: Kind
    model: str = ""  # where the path or the query names it
    verb: str = ""


# The inference routes of src/server/routes.cc and src/server/ollama_routes.cc.
_AFTER_V1 = (
    "chat/completions", "chat/completions/input_tokens", "completions", "embeddings", "rerank", "reranking", "responses",
    "responses/input_tokens", "messages", "messages/count_tokens", "audio/transcriptions",
)  # fmt: skip
INFERENCE = frozenset(
    {f"/v1/{name}" for name in _AFTER_V1}
    | {f"/{name}" for name in _AFTER_V1}
    | {
        "/completion", "/embedding", "/infill", "/tokenize", "/detokenize", "/apply-template", "/lora-adapters",
        "/v1/audio/speech", "/v1/audio/translations", "/v1/audio/voices", "/v1/images/generations", "/v1/images/edits",
        "/v1/images/variations", "/v1/videos", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show",
    }
)  # fmt: skip
LOOKS = frozenset({"/props", "/slots", "/lora-adapters", "/v1/audio/voices"})
_OF_MODEL = re.compile(r"/v1/models/(.+?)(?:/(load|preload|park|unload))?")
_OTHER_VERBS = ("/files", "/logs", "/pin", "/unpin")
_FIXED = {
    ("GET", "/health"): Kind.HEALTH,
    ("GET", "/ready"): Kind.READY,
    ("GET", "/v1/models"): Kind.MODELS,
    ("GET", "/models"): Kind.MODELS,
    ("GET", "/v1/cluster"): Kind.CLUSTER,
    ("GET", "/"): Kind.ROOT,
    ("GET", "/api/version"): Kind.LOOK,
    ("GET", "/api/tags"): Kind.OLLAMA_MODELS,
    ("GET", "/api/ps"): Kind.OLLAMA_MODELS,
}
_METHODS = ("GET", "POST", "DELETE")


def methods_of(path: str, query: str) -> list[str]:
    """The methods that a route takes; none if there is no such route."""
    taken = [method for method in _METHODS if route_of(method, path, query)]
    return [*taken, *(["HEAD"] if "GET" in taken else [])]


def route_of(method: str, path: str, query: str) -> Route | None:
    if method == "OPTIONS":  # of a browser, before it asks: the daemons know which pages may
        return Route(Kind.LOOK) if methods_of(path, query) else None
    method = "GET" if method == "HEAD" else method
    path = re.sub(r"/{2,}", "/", path)
    path = path.rstrip("/") or "/"
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return Route(fixed)
    if method == "POST" and path in INFERENCE:
        return Route(Kind.INFERENCE)
    named = parse_qs(query).get("model", [""])[0]
    if method == "GET" and path in LOOKS:
        return Route(Kind.LOOK, named)
    match = _OF_MODEL.fullmatch(path)
    if match is None or match[1] == "stats" or match[1].endswith(_OTHER_VERBS):
        return None
    model, verb = unquote(match[1]), match[2] or ""
    if method == "POST" and verb in ("load", "preload"):
        return Route(Kind.LOAD, model, verb)
    if (method == "POST" and verb in ("park", "unload")) or (method == "DELETE" and not verb):
        return Route(Kind.LEAVE, model, verb or "unload")
    if method == "GET" and not verb:
        return Route(Kind.LOOK, model)
    return None


def host_allowed(authority: str, listens: str, allowed: tuple[str, ...]) -> bool:
    """Whether a Host header names this server, as src/server/access.cc decides: a page that a browser was led to by a
    name that somebody else owns must not get answers from here."""
    import ipaddress

    name = authority[1 : authority.find("]")] if authority.startswith("[") else authority.partition(":")[0]
    if not name:
        return False
    name = name.lower()
    if name == "localhost" or name in (other.lower() for other in allowed) or name == listens.lower():
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or listens in ("0.0.0.0", "::")
