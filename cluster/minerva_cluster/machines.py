"""Ray's machines, as far as the cluster has to know them."""

from __future__ import annotations

import time

import ray
from ray.core.generated import autoscaler_pb2


def machines(resource: str) -> set[str]:
    """The names of the machines that may have a node. Those that are being drained do not count.

    A machine that has died and is back already has two entries for some seconds, and one name."""
    draining = ray._private.state.state.get_draining_nodes()
    return {
        node["NodeName"] or node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get(resource, 0) >= 1 and node["NodeID"] not in draining
    }


def wanted_replicas(machines: int, target: int, running: int) -> tuple[int, bool]:
    """How many replicas there should be, and whether some of these wait for a machine that has died.

    Serve replaces a dead replica before Ray knows that its machine is dead. The replacement waits for a machine, and takes
    the one that comes back. If it were taken back at once, Serve would wait until it has started before it ends it: on the
    machine that came back, in the place of the node that belongs there."""
    waiting = max(0, min(target, machines + max(0, target - running)) - machines)
    return machines + waiting, waiting > 0


def drain(machine: str, seconds: float) -> None:
    """The machine gets nothing new, and Serve ends its replica once this has answered what it has, at most so long.

    Raises RuntimeError. It cannot be taken back: the machine joins again after a restart of Ray there."""
    client = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    deadline_ms = int((time.time() + seconds) * 1000)
    # The reason that has a deadline; with the other one Ray refuses while the machine is not idle.
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, message = client.drain_node(machine, reason, "minerva-cluster drain", deadline_ms)
    if not accepted:
        raise RuntimeError(message)


def machine_called(name: str) -> str | None:
    """The id of the machine that Ray knows by this name (`ray start --node-name`) or address."""
    for node in ray.nodes():
        if node["Alive"] and name in (node.get("NodeName"), node["NodeManagerAddress"]):
            found: str = node["NodeID"]
            return found
    return None
