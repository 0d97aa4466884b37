"""Fixtures: clusters of emulated nodes with real daemons and tiny models, checked for orphans after each."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import harness
import pytest
from tiny_models import SLOW, TINY, generate

from minerva_cluster.emulated import Emulated

Start = Callable[..., Emulated]


@pytest.fixture(scope="session")
def models() -> dict[str, pathlib.Path]:
    """a, b, c, d are chat models of 3 MB, e is an embedding model, slow is slow."""
    return {**{name: generate(name, options) for name, options in TINY.items()}, "slow": generate("slow", SLOW)}


@pytest.fixture(scope="module")
def start(models: dict[str, pathlib.Path]) -> Iterator[Start]:
    """start(nodes=..., arguments=..., ...) starts a cluster; only one runs at a time. deploy=False: Ray alone."""
    running: list[Emulated] = []

    def begin(deploy: bool = True, **options: Any) -> Emulated:
        while running:
            running.pop().stop()
        running.append(Emulated(harness.MINERVA, harness.ENGINE, models, **options))
        return running[-1].start(deploy)

    yield begin
    while running:
        running.pop().stop()
