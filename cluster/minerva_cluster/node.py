"""Node: the deployment with one replica on each machine. It hands calls to the daemon beside it, byte by byte."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import multidict
import ray
import yarl

from minerva_cluster.config import NodeConfig
from minerva_cluster.daemon import Daemon, DaemonFailed, admin_key
from minerva_cluster.publisher import Publisher
from minerva_cluster.wire import Broken, Call, Change, Head, Headers

log = logging.getLogger("minerva_cluster")

# Of one connection only, and set anew by each side (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The daemon has the body whole.
NOT_SENT = HOP_BY_HOP | {"host", "content-length", "expect"}

PATIENCE_S = 30.0  # for a daemon that is started again


class Node:
    def __init__(self, config: NodeConfig, needs_keys: bool, name: str = "") -> None:
        self._config = config
        self._needs_keys = needs_keys
        self.name = name or node_name()
        self.daemon = Daemon(config, self.name, self._restarted)
        self._publisher: Publisher | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Starts the daemon. Raises DaemonFailed."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        try:
            await self.daemon.start()
            if self._needs_keys:
                await self._check_keys()
        except DaemonFailed:
            await self.daemon.stop()
            raise
        self._publisher = Publisher(self.daemon, self.name, admin_key(self._config.admin_key_file))
        self._publishing = asyncio.create_task(self._publisher.run())

    async def _check_keys(self) -> None:
        assert self.daemon.session is not None
        async with self.daemon.session.get(f"{self.daemon.url}/v1/models") as answer:
            if answer.status != 401:
                raise DaemonFailed(
                    "other machines reach this cluster's endpoint, so its daemons must need API keys: set api_keys "
                    "or api_key_file in the daemon's config ([node] config)"
                )

    def _restarted(self) -> None:
        if self._publisher is not None:
            self._publisher.forget_all()

    # ---- what Serve calls ----

    async def check_health(self) -> None:
        await self.ready()

    def record_routing_stats(self) -> dict[str, Any]:
        """What ingresses use of a node that they cannot watch."""
        if self._publisher is None:
            return {}
        return {"name": self.name, "models": self._publisher.views, "names": self._publisher.names}

    async def stop(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
        await self.daemon.stop()

    # ---- what ingresses call ----

    async def watch(self, call: Call) -> AsyncIterator[Change]:
        await self.ready()
        assert self._publisher is not None
        async for change in self._publisher.changes():
            yield change

    async def answer(self, call: Call) -> AsyncIterator[Head | bytes | Broken]:
        await self.ready()
        assert self._publisher is not None
        began = time.monotonic()
        service_ms: float | None = None
        self._publisher.begins(call.ask.model)
        try:
            async with await self._ask(call) as answer:
                model = answer.headers.get("x-minerva-model", "") if answer.status == 200 else ""
                # A stream's head that came before its model was there does not have it.
                waited_ms = answer.headers.get("x-minerva-wait-ms") if model else None
                if waited_ms is not None:
                    await self._publisher.serves(model)
                if answer.status == 503 and b'"draining"' in await answer.read():
                    yield Broken("it is being shut down")
                    return
                yield Head(answer.status, _to_pass(_texts(answer.raw_headers)))
                if answer.status == 503:
                    yield await answer.read()
                    return
                async for piece in answer.content.iter_any():
                    yield piece
                await self._publisher.serves(model)
                if waited_ms is not None:
                    service_ms = (time.monotonic() - began) * 1000 - float(waited_ms)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("%s broke off: %r", call.path, error)
            reached = not isinstance(error, aiohttp.ClientConnectorError)
            yield Broken("it closed the connection" if reached else "it cannot be reached")
        finally:
            self._publisher.ends(call.ask.model, service_ms)

    async def _ask(self, call: Call) -> aiohttp.ClientResponse:
        assert self.daemon.session is not None
        headers = [("Host", "localhost"), *((n, v) for n, v in call.headers if n.lower() not in NOT_SENT)]
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self.daemon.session.request(
                    call.method,
                    yarl.URL(self.daemon.url + call.path, encoded=True),
                    headers=multidict.CIMultiDict(headers),
                    data=call.body if call.body or call.method not in ("GET", "HEAD") else None,
                    allow_redirects=False,
                )
            except aiohttp.ClientConnectorError:  # no daemon has seen the request
                if not call.is_patient or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def park(self, call: Call) -> int:
        """Gives a model's memory back. Returns the status of the daemon's answer."""
        await self.ready()
        assert self.daemon.session is not None
        key = admin_key(self._config.admin_key_file)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self.daemon.url}/v1/models/{call.ask.model}/park"
        async with self.daemon.session.post(url, headers=headers) as answer:
            return answer.status


def node_name() -> str:
    """Of this machine, as Ray calls it (`ray start --node-name`)."""
    ours = ray.get_runtime_context().get_node_id()
    names = (node.get("NodeName") for node in ray.nodes() if node["NodeID"] == ours)
    return next(names, None) or socket.gethostname()


def _to_pass(headers: Headers) -> Headers:
    """The endpoint dates its answers itself, and Serve gives each an x-request-id. The daemon's has another name."""
    named = [("x-minerva-request-id" if n.lower() == "x-request-id" else n, v) for n, v in headers]
    return [(n, v) for n, v in named if n.lower() not in HOP_BY_HOP and n.lower() != "date"]


def _texts(raw: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
