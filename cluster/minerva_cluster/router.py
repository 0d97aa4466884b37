"""The request router of Serve that asks the ingress's Board where a call goes.

Serve makes one for the ingress's handle of the nodes, in the ingress's process, and runs it in a thread of its own. Serve
carries this module by value: nothing in here may be state, and what the ingress knows is reached through another module.
"""

from __future__ import annotations

import logging
from typing import Any

from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve.request_router import PendingRequest, ReplicaID, ReplicaResult, RequestRouter, RunningReplica

from minerva_cluster import process
from minerva_cluster.wire import Call

log = logging.getLogger("minerva_cluster")


class NodeRouter(RequestRouter):  # type: ignore[misc]
    """Tells the ingress which nodes there are and where its calls went, and gives a call for one node to that node."""

    # Serve asks a replica how busy it is before it sends it something after a pause. Its own limit of 0.1 s is missed on a
    # machine whose cores all compute.
    queue_len_response_deadline_s = 2.0

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        call = process.call_of(pending_request)
        if call is not None and call.only:
            return [[replica] for replica in candidate_replicas if replica.replica_id.unique_id == call.only]
        return await self.choose(candidate_replicas, call, pending_request)

    async def choose(
        self, candidates: list[RunningReplica], call: Call | None, pending_request: PendingRequest | None
    ) -> list[list[RunningReplica]]:
        raise NotImplementedError

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        super().update_replicas(replicas)
        for replica in replicas:
            stats: dict[str, Any] = replica.routing_stats or {}
            node = replica.replica_id.unique_id
            if stats.get("models") and node not in process.shared.board.nodes():
                process.shared.board.publish(node, stats["models"], names=stats["names"])
        process.shared.set_replicas(frozenset(replica.replica_id.unique_id for replica in replicas))

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        super().on_replica_actor_died(replica_id)
        process.shared.set_replicas(frozenset(replica.unique_id for replica in self.curr_replicas))

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult) -> None:
        call = process.call_of(pending_request)
        routed = process.shared.routed.get(call.key) if call is not None else None
        if routed is not None:
            routed(replica_id.unique_id)


class ModelRouter(NodeRouter):
    """Chooses the node with the least expected time to first token."""

    async def choose(
        self, candidates: list[RunningReplica], call: Call | None, pending_request: PendingRequest | None
    ) -> list[list[RunningReplica]]:
        by_id = {replica.replica_id.unique_id: replica for replica in candidates}
        node = self.node_for(call, by_id) if call is not None else ""
        return [[by_id[node]]] if node in by_id else []

    def node_for(self, call: Call, replicas: dict[str, RunningReplica]) -> str:
        available = {replica.replica_id.unique_id for replica in self.select_available_replicas(list(replicas.values()))}
        full = replicas.keys() - available
        chosen = process.shared.board.choose(call.ask, call.excluded | full) or process.shared.board.choose(
            call.ask, call.excluded
        )
        if chosen is not None and chosen.node in replicas:
            return chosen.node
        # Nothing is known of the nodes yet.
        return next((node for node in replicas if node not in call.excluded), "")


class MultiplexRouter(NodeRouter, PowerOfTwoChoicesRequestRouter):  # type: ignore[misc]
    """Serve's own choice among replicas that have a model; for bench/cluster.py."""

    async def choose(
        self, candidates: list[RunningReplica], call: Call | None, pending_request: PendingRequest | None
    ) -> list[list[RunningReplica]]:
        ranks: list[list[RunningReplica]] = await PowerOfTwoChoicesRequestRouter.choose_replicas(
            self, candidates, pending_request
        )
        return ranks
