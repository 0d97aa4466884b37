"""The Serve application: the ingress, and one node deployment with a replica on each machine."""

from __future__ import annotations

import logging
import pathlib
import re
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy, HTTPOptions, RequestRouterConfig
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from minerva_cluster import config as settings
from minerva_cluster.answers import Send
from minerva_cluster.config import ClusterConfig
from minerva_cluster.ingress import Ingress, Receive
from minerva_cluster.machines import machines, wanted_replicas
from minerva_cluster.node import Node
from minerva_cluster.wire import Broken, Call, Change, Head

APP = "minerva"
MOST_NODES = 1000
# Each ingress has one call of each node open, which watches it.
WATCHES = 64
STATS_PERIOD_S = 10.0
# A machine that has died is waited for so long.
RETURN_S = 600.0
# Ray gives its head node one of it. Serve's proxy runs there, so an ingress elsewhere would be another machine to lose.
ON_HEAD = {"node:__internal_head__": 0.001}


def log_to_serve() -> None:
    """What is logged here, the daemon's log too, goes to the replica's log file, which Serve rotates."""
    logging.getLogger("minerva_cluster").parent = logging.getLogger("ray.serve")


class Door:
    """Serve copies its ASGI application before it makes the ingress, so this one finds the ingress later."""

    ingress: Ingress | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if Door.ingress is not None:
            await Door.ingress(scope, receive, send)


class IngressReplica:
    def __init__(self, nodes: DeploymentHandle, config: ClusterConfig, multiplexed: bool) -> None:
        log_to_serve()
        Door.ingress = Ingress(nodes, config, multiplexed)

    async def check_health(self) -> None:
        assert Door.ingress is not None
        Door.ingress.watching.start()

    async def __del__(self) -> None:
        if Door.ingress is not None:
            await Door.ingress.watching.stop()


class NodeReplica:
    def __init__(self, config: ClusterConfig) -> None:
        log_to_serve()
        self._node = Node(config.node, needs_keys=config.is_public)

    async def check_health(self) -> None:
        await self._node.check_health()

    def record_routing_stats(self) -> dict[str, Any]:
        return self._node.record_routing_stats()

    async def answer(self, call: Call) -> AsyncIterator[Head | bytes | Broken]:
        async for message in self._node.answer(call):
            yield message

    async def watch(self, call: Call) -> AsyncIterator[Change]:
        async for change in self._node.watch(call):
            yield change

    async def park(self, call: Call) -> int:
        return await self._node.park(call)

    async def __del__(self) -> None:  # Serve awaits it when the replica has drained
        await self._node.stop()


class OneForEachMachine:
    """As many replicas as there are machines for nodes: Serve has no such thing as a DaemonSet. Machines that are being
    drained do not count, so Serve ends their replicas once these have answered. Runs in Serve's controller."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._short_since: float | None = None

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        replicas, is_short = wanted_replicas(
            len(machines(self._resource)), context.target_num_replicas, context.current_num_replicas
        )
        now = time.monotonic()
        self._short_since = (self._short_since or now) if is_short else None
        if self._short_since is not None and now - self._short_since > RETURN_S:
            replicas = len(machines(self._resource))
        return replicas, {}


def build(
    config: ClusterConfig,
    router: str = "minerva_cluster.router:ModelRouter",
    replica: type[NodeReplica] = NodeReplica,
    multiplexed: bool = False,
) -> serve.Application:
    """The last three are for comparisons (minerva_cluster/baselines.py)."""
    cluster = config.cluster
    nodes = serve.deployment(
        name="node",
        max_ongoing_requests=cluster.max_requests + WATCHES,
        max_queued_requests=-1,
        max_replicas_per_node=1,
        ray_actor_options={"num_cpus": 0, "resources": {config.node.resource: 1}},
        graceful_shutdown_timeout_s=settings.seconds(cluster.drain),
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=2,
        health_check_timeout_s=settings.seconds(config.node.start_timeout),
        request_router_config=RequestRouterConfig(request_router_class=router, request_routing_stats_period_s=STATS_PERIOD_S),
        autoscaling_config=AutoscalingConfig(
            min_replicas=0,
            initial_replicas=1,
            max_replicas=MOST_NODES,
            upscale_delay_s=0,
            downscale_delay_s=0,
            policy=AutoscalingPolicy(policy_function=OneForEachMachine, policy_kwargs={"resource": config.node.resource}),
        ),
    )(replica)
    ingress = serve.deployment(
        name="ingress",
        num_replicas=cluster.ingresses,
        max_ongoing_requests=10_000,
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
        graceful_shutdown_timeout_s=settings.seconds(cluster.drain),
    )(serve.ingress(Door())(IngressReplica))
    return ingress.bind(nodes.bind(config), config, multiplexed)


def application(arguments: dict[str, str]) -> serve.Application:
    """For Serve's own config files, as KubeRay reads them: `config` is the path of the cluster's settings."""
    return build(settings.read(pathlib.Path(arguments["config"])))


def is_installed() -> bool:
    """Whether the Python of this Ray has this package: without it Serve's controller would only fail again and again."""

    @ray.remote(num_cpus=0, resources=ON_HEAD)
    def has_package() -> bool:
        import importlib.util

        return importlib.util.find_spec("minerva_cluster") is not None

    found: bool = ray.get(has_package.remote())
    return found


class CannotServe(Exception):
    """The endpoint cannot be at its address, or no node can start. Nothing is left of it."""


def start(config: ClusterConfig, app: serve.Application | None = None) -> None:
    """On a Ray that this process is connected to. The endpoint and the nodes come one by one. Raises CannotServe."""
    host, port = config.address
    options = HTTPOptions(host=host, port=port, request_timeout_s=None, keep_alive_timeout_s=120)
    # Serve waits a minute for its proxy, which is not enough where all cores compute; the proxy comes all the same.
    try:
        serve.start(proxy_location="HeadOnly", http_options=options)
    except TimeoutError:
        pass
    except RuntimeError as error:
        serve.shutdown()
        raise CannotServe(f"nothing can listen on {host}:{port}: {str(error).strip().splitlines()[-1]}") from None
    there = _get_global_client().http_config
    if (there.host, there.port) != (host, port):
        text = f"this Ray serves at {there.host}:{there.port} already: set listen to that, or end it with: serve shutdown"
        raise CannotServe(text)
    try:
        serve.run(app or build(config), name=APP, route_prefix="/", blocking=False)
    except TimeoutError:
        pass
    except RuntimeError as error:
        reason = why_no_node_starts()
        stop()
        raise CannotServe(f"a node cannot start: {reason}" if reason else str(error)) from None


def is_up() -> bool:
    return APP in serve.status().applications


def stop() -> None:
    """Ends the application, and Serve if it has no other one."""
    serve.delete(APP)
    if not serve.status().applications:
        serve.shutdown()


def why_no_node_starts() -> str:
    """In the words of the node that tried it last; empty: nodes may still come."""
    application = serve.status().applications.get(APP)
    node = application.deployments.get("node") if application is not None else None
    said = re.findall(r"DaemonFailed: (.+)", node.message) if node is not None else []
    return str(said[-1]) if said else ""
