"""The device that the tests use, and what the kernel says about an engine's memory there."""
import os

import harness

ENGINE = harness.BIN_DIR / "minerva-engine-vulkan"
ENV = dict(item.split("=", 1) for item in os.environ.get("MINERVA_DEVICE_ENV", "").split())
NAME = "Vulkan0"
WHOLE = ("--device", NAME, "-ngl", "all")


def anonymous(engine):
    """The engine's own memory in bytes. A device that is this processor takes its memory there."""
    return engine.memory()["Anonymous"]
