"""What bench/cluster.py compares with: round-robin, and Ray Serve's own model multiplexing, over the same daemons.

Nothing else uses them.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from ray import serve
from ray.serve.request_router import RunningReplica

from minerva_cluster.app import NodeReplica
from minerva_cluster.router import ModelRouter, MultiplexRouter
from minerva_cluster.wire import Broken, Call, Head

__all__ = ["MultiplexRouter", "MultiplexedReplica", "RoundRobinRouter"]

MOST_MODELS = 2  # that Serve counts as being on a replica; the benchmark's daemons have room for as many


class RoundRobinRouter(ModelRouter):
    """The nodes take turns."""

    _turns = itertools.count()

    def node_for(self, call: Call, replicas: dict[str, RunningReplica]) -> str:
        candidates = sorted(node for node in replicas if node not in call.excluded)
        return candidates[next(self._turns) % len(candidates)] if candidates else ""


class MultiplexedReplica(NodeReplica):
    """Serve counts a model as loaded from its first request on, until MOST_MODELS others were asked for later."""

    @serve.multiplexed(max_num_models_per_replica=MOST_MODELS)
    async def model(self, model_id: str) -> str:
        return model_id

    async def answer(self, call: Call) -> AsyncIterator[Head | bytes | Broken]:
        if serve.get_multiplexed_model_id():
            await self.model(serve.get_multiplexed_model_id())
        async for message in self._node.answer(call):
            yield message
