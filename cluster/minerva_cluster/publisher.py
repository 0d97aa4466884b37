"""Follows a daemon's events, and publishes what has changed on its node.

The daemon is asked again after each event that matters and after each request of the cluster, at most every PAUSE_S. It
does not know Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from minerva_cluster.board import COMING, ModelView, averaged
from minerva_cluster.config import seconds
from minerva_cluster.daemon import Daemon
from minerva_cluster.published import Plan, Uses, catalog_of, names_of, plan_of, to_plan, uses_of, views_of
from minerva_cluster.wire import Change

log = logging.getLogger("minerva_cluster")

PAUSE_S = 0.1
RETRY_S = 0.5
# Also without an event: times since the last use grow, and what others ask the daemon for makes no event.
LONGEST_SILENCE_S = 1.0
PLANS_SHARE = 0.05  # of the time, at most, for dry runs that are made since models were used
HEARTBEAT_S = 60.0  # the daemon's comments come more often
# A watch of an ingress that died without a word ends by itself: a node that drains waits for its calls.
WATCH_S = 120.0
MOST_ASKED = 256


class Publisher:
    def __init__(self, daemon: Daemon, name: str, admin_key: str = "") -> None:
        self.name = name
        self.daemon = daemon
        self.views: dict[str, ModelView] = {}
        self.catalog: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        self.memory: dict[str, Any] = {}
        self.in_flight: dict[str, int] = {}  # requests of the cluster, by model
        self.service_ms: dict[str, float] = {}
        self._asked: dict[str, None] = {}  # models, the one that was asked for last in the end
        self._plans: dict[str, Plan] = {}
        self._headers = {"Authorization": f"Bearer {admin_key}"} if admin_key else {}
        self._timeout = aiohttp.ClientTimeout(total=seconds(daemon.config.answer_timeout))
        self._answers = True
        self._stale = asyncio.Event()
        self._stale_catalog = True
        self._stale_plans = True
        self._planned_uses: Uses = ()
        self._next_plans = 0.0  # the moment
        self._version = 0
        self._changed = asyncio.Condition()

    # ---- what the node tells ----

    def begins(self, model: str) -> None:
        """A request of the cluster for a model (by any name) goes to the daemon."""
        model = self.names.get(model, model)
        self.in_flight[model] = self.in_flight.get(model, 0) + 1
        self._asked.pop(model, None)
        self._asked[model] = None
        while len(self._asked) > MOST_ASKED:
            self._asked.pop(next(iter(self._asked)))
        self._stale.set()

    def ends(self, model: str, service_ms: float | None) -> None:
        """`service_ms`: how long it had its slot; None where that is not known."""
        model = self.names.get(model, model)
        left = self.in_flight.get(model, 0) - 1
        if left > 0:
            self.in_flight[model] = left
        else:
            self.in_flight.pop(model, None)
        if service_ms is not None:
            self.service_ms[model] = averaged(self.service_ms.get(model), service_ms)
        self._stale.set()

    async def serves(self, model: str) -> None:
        """The daemon answers with this model (an id), so the model is hot. Ingresses learn that before the daemon is asked
        again: the client's next request may come sooner."""
        view = self.views.get(model)
        if view is not None and view.state != "hot":
            self._stale_plans = True
            hot = dataclasses.replace(view, state="hot")
            await self._publish({**self.views, model: hot}, self.memory, self._answers)

    def forget_all(self) -> None:
        """Another daemon has taken the place of the one before."""
        self._stale_catalog = self._stale_plans = True
        self._stale.set()

    # ---- what is published ----

    async def changes(self) -> AsyncIterator[Change]:
        """All there is, and then each change, for WATCH_S."""
        seen: dict[str, ModelView] = {}
        catalog: dict[str, dict[str, Any]] | None = None
        memory: dict[str, Any] | None = None
        version = 0  # before anything is known
        end = time.monotonic() + WATCH_S
        while (left := end - time.monotonic()) > 0:
            async with self._changed:
                try:
                    await asyncio.wait_for(self._changed.wait_for(lambda: self._version != version), left)  # noqa: B023
                except TimeoutError:
                    return
                version = self._version
            models = {model: view for model, view in self.views.items() if seen.get(model) != view}
            removed = tuple(model for model in seen if model not in self.views)
            change = Change(
                name=self.name,
                answers=self._answers,
                models=models,
                removed=removed,
                names=self.names if catalog is not self.catalog else None,
                catalog=self.catalog if catalog is not self.catalog else None,
                memory=self.memory if memory != self.memory else None,
            )
            seen, catalog, memory = dict(self.views), self.catalog, self.memory
            yield change

    async def run(self) -> None:
        """Until it is cancelled."""
        following = asyncio.create_task(self._follow())
        try:
            while True:
                try:
                    await self._refresh()
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
                    log.warning("the daemon of %s tells nothing: %r", self.name, error)
                    await self._publish({}, self.memory, answers=False)
                    if isinstance(error, TimeoutError):
                        log.error("the daemon of %s hangs: it is given up", self.name)
                        await self.daemon.give_up()
                    await asyncio.sleep(RETRY_S)
                    self.forget_all()
                    continue
                await asyncio.sleep(PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stale.wait(), LONGEST_SILENCE_S)
        finally:
            following.cancel()

    async def _refresh(self) -> None:
        self._stale.clear()
        if self._stale_catalog:
            self._stale_catalog = False
            self.catalog = catalog_of(await self._get("/v1/models"))
            self.names = names_of(self.catalog)
        stats = await self._get("/v1/models/stats")
        views = views_of(self.catalog, stats, self._plans, self.service_ms, self.in_flight)
        states = {model: view.state for model, view in views.items()}
        uses = uses_of(stats)
        have_aged = uses != self._planned_uses and time.monotonic() >= self._next_plans
        if self._stale_plans or have_aged or states != {model: view.state for model, view in self.views.items()}:
            self._stale_plans = False
            self._planned_uses = uses
            began = time.monotonic()
            kept = {model: plan for model, plan in self._plans.items() if states.get(model) in COMING}
            self._plans = kept | await self._dry_runs(to_plan(views, list(self._asked)))
            now = time.monotonic()
            self._next_plans = now + (now - began) / PLANS_SHARE
            views = views_of(self.catalog, stats, self._plans, self.service_ms, self.in_flight)
        memory = {name: stats[name] for name in ("estimated_memory_mb", "memory_budget_mb", "memory_pressure", "cache")}
        await self._publish(views, memory)

    async def _publish(self, views: dict[str, ModelView], memory: dict[str, Any], answers: bool = True) -> None:
        async with self._changed:
            if views != self.views or memory != self.memory or answers != self._answers or self._version == 0:
                self.views, self.memory, self._answers = views, memory, answers
                self._version += 1
                self._changed.notify_all()

    async def _dry_runs(self, models: list[str]) -> dict[str, Plan]:
        plans: dict[str, Plan] = {}
        for model in models:
            document = await self._call("POST", f"/v1/models/{model}/load?dry_run=true")
            if "possible" in document:
                plans[model] = plan_of(document)
        return plans

    async def _get(self, path: str) -> dict[str, Any]:
        document = await self._call("GET", path)
        if "error" in document:
            raise ValueError(document["error"]["message"])
        return document

    async def _call(self, method: str, path: str) -> dict[str, Any]:
        assert self.daemon.session is not None
        url = self.daemon.url + path
        async with self.daemon.session.request(method, url, headers=self._headers, timeout=self._timeout) as answer:
            document = json.loads(await answer.read())
            if not isinstance(document, dict):
                raise ValueError(f"{path} answers with no object")
            return document

    async def _follow(self) -> None:
        """Reads GET /v1/events. A gap without a connection counts as a change of everything."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=HEARTBEAT_S)
        while True:
            try:
                assert self.daemon.session is not None  # another one after the daemon was given up
                url = f"{self.daemon.url}/v1/events"
                async with self.daemon.session.get(url, headers=self._headers, timeout=timeout) as answer:
                    self.forget_all()
                    async for line in answer.content:
                        if line.startswith(b"event: "):
                            self._take(line[len(b"event: ") :].strip().decode())
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                log.info("the events of %s broke off: %r", self.name, error)
            await asyncio.sleep(RETRY_S)

    def _take(self, event: str) -> None:
        if event in ("catalog", "config", "gap"):
            self._stale_catalog = self._stale_plans = True
        if event in ("eviction", "pressure"):
            self._stale_plans = True
        if event not in ("progress", "download", "decision"):
            self._stale.set()
