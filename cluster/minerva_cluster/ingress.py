"""Ingress: reads a request's body, lets the router choose the node, and streams the answer through.

It decides nothing about keys, limits of models or what a model can do: that is the daemons' business, and their answers
pass through unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from minerva_cluster.answers import Answer, CutOff, Refusal, Send, not_found, wrong_method
from minerva_cluster.board import Ask
from minerva_cluster.config import ClusterConfig, count_of_bytes, seconds
from minerva_cluster.node import HOP_BY_HOP
from minerva_cluster.process import shared
from minerva_cluster.reading import TooLarge, ask_of, unpack
from minerva_cluster.routes import Kind, Route, host_allowed, methods_of, route_of
from minerva_cluster.watching import Watching
from minerva_cluster.wire import Broken, Call, Head, Headers

log = logging.getLogger("minerva_cluster")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MOST_TRIES = 2  # of one request: a second one if the client has seen nothing of the first
SOON_S = 5.0  # for a node's part of a list
NO_ANSWER = Refusal(502, "unreachable", "No node answers now. Try again later.")
MOST_HEADERS = 64 << 10  # bytes of a refusal after a stream's head


class Gone(Exception):
    """The client has gone."""


class Failed(Exception):
    """A node did not answer. `refusal`: what the client gets unless another node answers."""

    def __init__(self, node: str, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.node = node
        self.refusal = refusal


class Ingress:
    """An ASGI application."""

    def __init__(self, nodes: DeploymentHandle, config: ClusterConfig, multiplexed: bool = False) -> None:
        """`multiplexed`: calls name their model to Serve's own multiplexing (minerva_cluster/baselines.py)."""
        self.config = config
        self._multiplexed = multiplexed
        self.most_bytes = count_of_bytes(config.cluster.max_body)
        self.wait_s = seconds(config.cluster.wait_for_node)
        self._keys = itertools.count()
        self._streams = nodes.options(method_name="answer", stream=True)
        self.watching = Watching(nodes, seconds(config.cluster.give_back))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.watching.start()
        answer = Answer(send, scope["path"])
        try:
            await self._take(scope, receive, answer)
        except Gone:
            log.info("the client of %s has gone", scope["path"])

    async def _take(self, scope: MutableMapping[str, Any], receive: Receive, answer: Answer) -> None:
        path = scope["path"]
        query = scope.get("query_string", b"").decode("latin-1")
        headers: Headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        fields = {name.lower(): value for name, value in headers}
        cluster = self.config.cluster
        if not host_allowed(fields.get("host", ""), self.config.address[0], cluster.allowed_hosts):
            text = "The Host header names a host this server does not answer for. Use its address, or allowed_hosts."
            return await answer.refuse(Refusal(403, "forbidden", text, "permission_error"))
        route = route_of(scope["method"], path, query)
        if route is None:
            methods = methods_of(path, query)
            return await answer.refuse(wrong_method(scope["method"], path, methods) if methods else not_found(path))
        if route.kind is Kind.ROOT:
            return await self._whole_answer(answer, b"Minerva is running", "text/plain; charset=utf-8")
        if route.kind is Kind.HEALTH:
            return await self._json(answer, {"status": "ok"})
        if route.kind is Kind.READY:
            if shared.board.nodes():
                return await self._json(answer, {"status": "ready"})
            return await answer.refuse(Refusal(503, "no_capacity", "No node is ready yet.", retry_after_s=5))
        body = await self._body(receive, fields, answer)
        if body is None:
            return
        raw_path = scope.get("raw_path") or path.encode()
        call = Call(
            method=scope["method"],
            path=raw_path.decode("latin-1").partition("?")[0] + (f"?{query}" if query else ""),
            headers=headers,
            body=body,
        )
        work = asyncio.create_task(self._answer(route, call, fields, answer))
        gone = asyncio.create_task(self._until_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                raise Gone
            await work
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _body(self, receive: Receive, fields: dict[str, str], answer: Answer) -> bytes | None:
        """None: refused."""
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self.most_bytes:
                await self._refuse_large(answer)
                return None
            if not message.get("more_body"):
                return b"".join(pieces)

    async def _refuse_large(self, answer: Answer) -> None:
        text = (
            f"The body is larger than max_body, {self.config.cluster.max_body}. Send less, or raise it in the cluster's config."
        )
        await answer.refuse(Refusal(413, "body_too_large", text, "invalid_request_error"))

    async def _answer(self, route: Route, call: Call, fields: dict[str, str], answer: Answer) -> None:
        if route.kind is Kind.INFERENCE:
            try:
                plain = unpack(call.body, fields.get("content-encoding", ""), self.most_bytes)
            except TooLarge:
                return await self._refuse_large(answer)
            key = fields.get("authorization", "") + fields.get("x-api-key", "")
            # The daemon refuses a body that cannot be unpacked here.
            call.ask, _ = ask_of(plain or b"", fields.get("content-type", "application/json"), key)
            return await self._relay(call, answer)
        call.ask = Ask(route.model)
        if route.kind in (Kind.LOOK, Kind.LOAD):
            return await self._relay(call, answer)
        if route.kind is Kind.LEAVE:
            return await self._leave(call, answer)
        return await self._list(route, call, answer)

    # ---- one request to one node ----

    async def _relay(self, call: Call, answer: Answer) -> None:
        for attempt in range(1, MOST_TRIES + 1):
            try:
                return await self._try(call, answer)
            except Failed as failure:
                last = attempt == MOST_TRIES or answer.has_begun
                log.warning("try %d of %s on %s failed: %s", attempt, call.path, failure.node, failure.refusal.message)
                if last:
                    return await answer.refuse(failure.refusal)
                if failure.node:
                    call.excluded = call.excluded | {failure.node}
                if not set(shared.board.nodes()) - call.excluded:
                    # It was the only node: it may be back soon.
                    call.excluded = frozenset()
                    call.is_patient = True

    async def _try(self, call: Call, answer: Answer) -> None:
        """Raises Failed where the node did not answer to the end."""
        call.key = str(next(self._keys))
        node = ""
        loop = asyncio.get_running_loop()
        routed = asyncio.Event()

        def went(to: str) -> None:
            nonlocal node
            node = to
            shared.board.sent(to, call.ask)
            loop.call_soon_threadsafe(routed.set)

        shared.routed[call.key] = went
        streams = self._streams.options(multiplexed_model_id=call.ask.model) if self._multiplexed else self._streams
        response = streams.remote(call)
        ended = False
        try:
            await self._until_routed(routed)
            await self._copy(response, node, call, answer)
            ended = True
        except CutOff:
            raise
        except RayTaskError as error:
            text = f"Its node could not ask its daemon: {error.cause or error}"
            raise Failed(node, Refusal(502, "unreachable", text)) from None
        except (RayActorError, RayError) as error:
            log.warning("node %s: %r", node, error)
            if isinstance(error, RayActorError) and node:
                self.watching.lose(node)
            text = "The node that answered this request has died. Send it again."
            raise Failed(node, Refusal(502, "unreachable", text)) from None
        except RayServeException as error:
            text = f"No node can take this request now: {error}. Try again later."
            raise Failed(node, Refusal(503, "no_capacity", text, retry_after_s=10)) from None
        finally:
            shared.routed.pop(call.key, None)
            if not ended:
                with contextlib.suppress(RayServeException):  # it never went anywhere
                    response.cancel()
            if node:
                shared.board.ended(node, call.ask)

    async def _until_routed(self, routed: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(routed.wait(), self.wait_s)
        except TimeoutError:
            text = f"No node could take this request in {self.config.cluster.wait_for_node}. Try again later."
            raise Failed("", Refusal(503, "no_capacity", text, retry_after_s=10)) from None

    async def _copy(self, response: Any, node: str, call: Call, answer: Answer) -> None:
        refusing: list[bytes] | None = None  # the body of a refusal, after the head of a stream
        head: Head | None = None
        began = time.monotonic()
        kept = self._keeps(node, call)
        async for message in response:
            if isinstance(message, Head):
                head = message
                if not await answer.begin(head):
                    refusing = []
            elif isinstance(message, Broken) or (not answer.has_begun and b'"code":"draining"' in message):
                if not isinstance(message, Broken):
                    message = Broken("it is being shut down")
                text = f"The daemon of this request's node broke off: {message.reason}. Send the request again."
                raise Failed(node, Refusal(502, "unreachable", text))
            elif refusing is not None:
                refusing.append(message)
            else:
                await answer.piece(message)
                if kept is not None and answer.has_begun:
                    shared.board.has_read(call.ask, kept, (time.monotonic() - began) * 1000)
                    kept = None
        if head is None:
            raise Failed(node, Refusal(502, "unreachable", "The request's node answered nothing. Send it again."))
        if refusing is not None:
            return await answer.error_event(b"".join(refusing)[:MOST_HEADERS])
        await answer.end()

    def _keeps(self, node: str, call: Call) -> int | None:
        """The characters that the node has to read; None where the time of that teaches nothing."""
        view = shared.board.views(node).get(shared.board.model(call.ask.model))
        if view is None or view.state != "hot" or view.in_flight >= view.slots or len(call.ask.prefixes) > 1:
            return None
        return call.ask.characters

    # ---- requests to several nodes ----

    async def _whole(self, call: Call) -> tuple[Head, bytes]:
        """Raises Failed."""
        taken: list[MutableMapping[str, Any]] = []

        async def take(message: MutableMapping[str, Any]) -> None:
            taken.append(message)

        answer = Answer(take, call.path)
        await self._try(call, answer)
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in taken[0]["headers"]]
        return Head(taken[0]["status"], pairs), b"".join(message["body"] for message in taken[1:])

    async def _pass(self, head: Head, body: bytes, answer: Answer) -> None:
        await answer.begin(Head(head.status, [(n, v) for n, v in head.headers if n.lower() not in HOP_BY_HOP]))
        await answer.piece(body)
        await answer.end()

    async def _leave(self, call: Call, answer: Answer) -> None:
        model = shared.board.model(call.ask.model)
        nodes = [node for node in shared.board.nodes_of(model) if shared.board.views(node)[model].state != "cold"]
        if not nodes:
            return await self._relay(call, answer)
        last: tuple[Head, bytes] | None = None
        for node in nodes:
            call.only = node
            try:
                last = await self._whole(call)
            except Failed as failure:
                return await answer.refuse(failure.refusal)
            if last[0].status != 200:
                break
        assert last is not None
        await self._pass(*last, answer)

    async def _list(self, route: Route, call: Call, answer: Answer) -> None:
        if route.kind is Kind.OLLAMA_MODELS:
            return await self._list_for_ollama(call, answer)
        call.path = "/v1/models"
        try:
            # One node says whether this caller may see the list. Its own part of it is newer than what it has published.
            head, body = await anext(self._answers_of_all(call))
        except Failed as failure:
            return await answer.refuse(failure.refusal)
        if head.status != 200 or call.method == "HEAD":
            return await self._pass(head, body, answer)
        if route.kind is Kind.CLUSTER:
            return await self._json(answer, {"object": "cluster", "nodes": self.watching.nodes()}, head.headers)
        document = json.loads(body)
        await self._json(answer, {**document, "data": self.watching.union(document["data"])}, head.headers)

    async def _answers_of_all(self, call: Call) -> AsyncIterator[tuple[Head, bytes]]:
        """Of all nodes that answer soon: one that hangs keeps nobody waiting. Raises Failed if there is none.

        One node after the other: Serve takes calls that are made at once for one request for the same call."""
        has_answered = False
        last = Failed("", NO_ANSWER)
        asked: set[str] = set()
        # Also the nodes that come back meanwhile.
        while waiting := [node for node in shared.board.nodes() or [""] if node not in asked]:
            call.only = node = waiting[0]
            asked.add(node)
            try:
                found = await asyncio.wait_for(self._whole(call), SOON_S if node else None)
            except TimeoutError:
                log.warning("node %s does not answer within %.0f s", node, SOON_S)
            except Failed as failure:
                log.warning("node %s is left out: %s", node, failure)
                last = failure
            else:
                has_answered = True
                yield found
        if not has_answered:
            raise last

    async def _list_for_ollama(self, call: Call, answer: Answer) -> None:
        """The models of all nodes, each once."""
        models: dict[str, Any] = {}
        try:
            async for head, body in self._answers_of_all(call):
                if head.status != 200 or call.method == "HEAD":
                    return await self._pass(head, body, answer)
                for model in json.loads(body)["models"]:
                    models.setdefault(model["name"], model)
        except Failed:
            return await answer.refuse(NO_ANSWER)
        await self._json(answer, {"models": [models[name] for name in sorted(models)]}, head.headers)

    async def _json(self, answer: Answer, document: dict[str, Any], headers: Iterable[tuple[str, str]] = ()) -> None:
        """`headers`: of the node's answer that this one is made from."""
        await self._whole_answer(answer, json.dumps(document, separators=(",", ":")).encode(), "application/json", headers)

    async def _whole_answer(self, answer: Answer, body: bytes, kind: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        own = [("content-type", kind), ("content-length", str(len(body)))]
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-type", "content-length", "etag")]
        await answer.begin(Head(200, own + kept))
        await answer.piece(body)
        await answer.end()
