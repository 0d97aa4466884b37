"""Watches the nodes for an ingress: follows what each one publishes, and has models parked that are hot on two nodes
without need.

A watch is a long call to one node, which is made again when it ends. When it breaks, the node counts as gone until it
can be watched again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Coroutine
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RequestCancelledError
from ray.serve.handle import DeploymentHandle

from minerva_cluster.board import RESIDENT, Ask
from minerva_cluster.process import shared
from minerva_cluster.wire import Call, Change

log = logging.getLogger("minerva_cluster")

RETRY_S = 0.5
SHORTEST_LOOK_S = 1.0  # at models that are hot without need
# Which state a model has in the list of all: the best one that it has on any node.
STATES = ("hot", "waking", "loading", "parking", "parked", "stopping", "preparing", "cold", "quarantined")
# The same in llama.cpp's words, as src/router_api/status.cc says it.
STATUS_VALUES = {
    "hot": "loaded", "parking": "sleeping", "parked": "sleeping", "waking": "sleeping", "preparing": "loading",
    "loading": "loading",
}  # fmt: skip


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Apart from the request that is answered now. Serve takes all calls that are made in a request for its own: it mixes
    up those that are made at once, and cancels them with the request."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


class Watching:
    def __init__(self, nodes: DeploymentHandle, give_back_s: float) -> None:
        self._watches = nodes.options(method_name="watch", stream=True)
        self._parks = nodes.options(method_name="park")
        self._give_back_s = give_back_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._names: dict[str, str] = {}  # of nodes, by replica
        self._catalogs: dict[str, dict[str, dict[str, Any]]] = {}
        self._memory: dict[str, dict[str, Any]] = {}
        self._surplus_since: dict[tuple[str, str], float] = {}
        self._started = False
        self._giving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Once, in the ingress's loop."""
        if self._started:
            return
        self._started = True
        loop = asyncio.get_running_loop()

        def tell(replicas: frozenset[str]) -> None:
            loop.call_soon_threadsafe(self._set_replicas, replicas)

        shared.on_replicas = tell
        self._set_replicas(shared.replicas)
        if self._give_back_s > 0:
            self._giving = _task(self._give_back())

    async def stop(self) -> None:
        """Ends all watches: a node waits for its calls before it ends."""
        shared.on_replicas = lambda replicas: None
        tasks = [*self._tasks.values(), *([self._giving] if self._giving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _set_replicas(self, replicas: frozenset[str]) -> None:
        for gone in self._tasks.keys() - replicas:
            self._tasks.pop(gone).cancel()
            for kept in (self._names, self._catalogs, self._memory):
                kept.pop(gone, None)
        for new in replicas - self._tasks.keys():
            self._tasks[new] = _task(self._watch(new))

    def lose(self, node: str) -> None:
        """The node did not answer: it counts as gone until it can be watched again."""
        shared.board.remove(node)
        watch = self._tasks.get(node)
        if watch is not None:
            watch.cancel()
            self._tasks[node] = _task(self._watch(node, RETRY_S))

    async def _watch(self, node: str, after_s: float = 0) -> None:
        await asyncio.sleep(after_s)
        while True:
            response = self._watches.remote(Call(only=node))
            try:
                async for change in response:
                    self._take(node, change)
            except RayError as error:
                log.info("node %s cannot be watched: %s", self._names.get(node, node), type(error).__name__)
                shared.board.remove(node)
                await asyncio.sleep(RETRY_S)
            except RequestCancelledError:
                return
            finally:
                response.cancel()

    def _take(self, node: str, change: Change) -> None:
        self._names[node] = change.name
        if not change.answers:
            return shared.board.remove(node)
        if change.catalog is not None:
            self._catalogs[node] = change.catalog
        if change.memory is not None:
            self._memory[node] = change.memory
        shared.board.publish(node, change.models, change.removed, change.names)

    # ---- models that are hot without need ----

    async def _give_back(self) -> None:
        while True:
            await asyncio.sleep(max(SHORTEST_LOOK_S, self._give_back_s / 10))
            now = time.monotonic()
            surplus = set(shared.board.surplus())
            self._surplus_since = {key: self._surplus_since.get(key, now) for key in surplus}
            for (node, model), since in list(self._surplus_since.items()):
                if now - since >= self._give_back_s:
                    log.info("%s is hot on two nodes without need: parked on %s", model, self._names.get(node, node))
                    with contextlib.suppress(RayError):
                        await self._parks.remote(Call(ask=Ask(model), only=node))
                    self._surplus_since.pop((node, model))

    # ---- views ----

    def union(self, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All nodes' models, each with its best state. `own`: the list of one node."""
        models = {model["id"]: model for model in own}
        for catalog in self._catalogs.values():
            for model_id, model in catalog.items():
                models.setdefault(model_id, model)
        found: list[dict[str, Any]] = []
        for model_id in sorted(models):
            model = dict(models[model_id])
            behind = model.get("preset_of", model_id)
            states = [view.state for node in self._catalogs for name, view in shared.board.views(node).items() if name == behind]
            model["state"] = min([*states, model.get("state", "cold")], key=STATES.index)
            model["status"] = {**model.get("status", {}), "value": STATUS_VALUES.get(model["state"], "unloaded")}
            found.append(model)
        return found

    def nodes(self) -> list[dict[str, Any]]:
        """For people: each node with its memory and the models in it."""
        found = []
        for node, name in self._names.items():
            views = shared.board.views(node)
            found.append(
                {
                    "name": name,
                    "replica": node,
                    "reachable": node in shared.board.nodes(),
                    **self._memory.get(node, {}),
                    "models": [
                        {"id": model, "state": view.state, "in_flight": view.in_flight, "slots": view.slots}
                        for model, view in sorted(views.items())
                        if view.state in RESIDENT or view.state == "loading"
                    ],
                    "known_models": len(views),
                }
            )
        return sorted(found, key=lambda node: str(node["name"]))
