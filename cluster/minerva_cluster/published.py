"""Makes the views of a node's models from what its daemon publishes: GET /v1/models, GET /v1/models/stats, and dry runs
of POST /v1/models/{id}/load. docs/openapi.yaml has their fields.

Pure: documents in, views out.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from minerva_cluster.board import COMING, USUAL_SLOTS, ModelView

# For a model that nobody has loaded here yet, on a machine that has loaded none.
USUAL_LOAD_MS = 1_000.0
USUAL_BYTES_PER_MS = 500e3
MiB = 1 << 20
# A model that cannot be loaded now, since others have requests or pins, waits about so long more.
NOT_NOW_MS = 5_000.0
NEVER_MS = 1e9
MOST_DRY_RUNS = 64
SETTLED = COMING | {"hot"}  # of these models a dry run would say nothing new

# The models in memory, the one that was used last at the front, and whether each has requests. The daemon decides by
# this which model leaves for another.
Uses = tuple[tuple[str, bool], ...]


@dataclasses.dataclass(slots=True)
class Plan:
    """The answer to a dry run."""

    possible: bool
    load_ms: float | None
    cost_ms: float
    evicts: tuple[str, ...]


def plan_of(document: dict[str, Any]) -> Plan:
    expected = document.get("expected_load_ms")
    return Plan(
        possible=bool(document.get("possible")),
        load_ms=None if expected is None else float(expected),
        cost_ms=float(document.get("cost_ms") or 0),
        evicts=tuple(document.get("would_evict") or ()),
    )


def catalog_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of GET /v1/models by id, presets among them."""
    return {model["id"]: model for model in document["data"]}


def names_of(catalog: dict[str, dict[str, Any]]) -> dict[str, str]:
    """All names that are no ids: aliases, and presets, which are answered by another model."""
    names: dict[str, str] = {}
    for model_id, model in catalog.items():
        model_behind = model.get("preset_of", model_id)
        if model_behind != model_id:
            names[model_id] = model_behind
        for alias in model.get("aliases") or ():
            names[alias] = model_behind
    return names


def uses_of(stats: dict[str, Any]) -> Uses:
    models = sorted(stats["models"], key=_idle_s)
    return tuple((str(model["id"]), bool(model.get("leases"))) for model in models)


def usual_load_ms(size: int) -> float:
    return USUAL_LOAD_MS + size / USUAL_BYTES_PER_MS


def views_of(
    catalog: dict[str, dict[str, Any]],
    stats: dict[str, Any],
    plans: dict[str, Plan],
    service_ms: dict[str, float],
    own_in_flight: dict[str, int],
) -> dict[str, ModelView]:
    """`service_ms`: how long a request of a model has its slot. `own_in_flight`: requests of this cluster."""
    resident = {model["id"]: model for model in stats["models"]}
    free = (stats["memory_budget_mb"] - stats["estimated_memory_mb"]) * MiB
    views: dict[str, ModelView] = {}
    for model_id, model in catalog.items():
        if "preset_of" in model:
            continue
        here = resident.get(model_id, {})
        state = here.get("state", "cold")
        plan = plans.get(model_id)
        size = int(model.get("size_bytes") or 0)
        ready, cost, idle = 0.0, 0.0, 0.0
        is_guess = False
        if model.get("runs_here") is False or state == "quarantined":
            ready = NEVER_MS
        elif state != "hot" and plan is not None:
            is_guess = plan.possible and plan.load_ms is None
            ready = usual_load_ms(size) if plan.load_ms is None else plan.load_ms
            ready += 0.0 if plan.possible else NOT_NOW_MS
            cost = plan.cost_ms
            idle = _coarse(min((_idle_s(resident.get(victim, {})) for victim in plan.evicts), default=0.0))
        elif state != "hot":
            is_guess = True
            ready = usual_load_ms(size)
            cost = 0.0 if size <= free else ready
        slots = here.get("slots") or USUAL_SLOTS
        taken = max(int(here.get("leases") or 0), int(here.get("slots_taken") or 0)) + int(here.get("waiting") or 0)
        views[model_id] = ModelView(
            state=state,
            ready_ms=ready,
            is_guess=is_guess,
            cost_ms=cost,
            victim_idle_s=idle,
            slots=slots,
            in_flight=max(taken, own_in_flight.get(model_id, 0)),
            service_ms=service_ms.get(model_id),
        )
    return views


def _coarse(idle_s: float) -> float:
    """Doubles from step to step: a time that grows is no news by itself."""
    return 0.0 if idle_s < 1 else 2.0 ** math.floor(math.log2(idle_s))


def _idle_s(model: dict[str, Any]) -> float:
    last_used = model.get("last_used_s")
    return 1e6 if last_used is None else float(last_used)


def to_plan(views: dict[str, ModelView], asked: list[str]) -> list[str]:
    """The models that are worth a dry run: those that were asked for last, then the others. A hot model and a model that is
    being loaded are not worth one."""
    order = [model for model in reversed(asked) if model in views]
    known = set(order)
    order += [model for model in views if model not in known]
    return [model for model in order if views[model].state not in SETTLED and views[model].ready_ms < NEVER_MS][:MOST_DRY_RUNS]
