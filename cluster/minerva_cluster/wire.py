"""What ingress and nodes say to each other. Plain values: Ray carries them."""

from __future__ import annotations

import dataclasses
from typing import Any

from minerva_cluster.board import Ask, ModelView

Headers = list[tuple[str, str]]


@dataclasses.dataclass(slots=True)
class Call:
    """A request on its way to a node. The router reads where it may go, and writes where it went."""

    ask: Ask = dataclasses.field(default_factory=Ask)
    method: str = "GET"
    path: str = "/"  # with its query
    headers: Headers = dataclasses.field(default_factory=list)
    body: bytes = b""
    only: str = ""  # this node and no other
    excluded: frozenset[str] = frozenset()
    is_patient: bool = False  # waits for a daemon that is started again: there is no other node
    key: str = ""  # of the request in its ingress


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """A node's first word on a call: the head of its daemon's answer. Pieces of the body follow, as bytes."""

    status: int
    headers: Headers


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """A node's last word on a call: its daemon could not be reached, or its answer broke off."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What has changed on a node since the change before; the first one says everything."""

    name: str  # of the node, for people
    answers: bool = True  # False: its daemon does not answer, so the node gets nothing for the time being
    models: dict[str, ModelView] = dataclasses.field(default_factory=dict)
    removed: tuple[str, ...] = ()
    names: dict[str, str] | None = None  # all other names of its models, where these have changed
    catalog: dict[str, dict[str, Any]] | None = None  # its list of models, likewise
    memory: dict[str, Any] | None = None  # of its statistics, likewise
