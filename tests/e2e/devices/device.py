"""The device that the tests use, and what the kernel says about an engine's memory there."""
import json
import os
import pathlib
import re
import shutil

import harness
from bare_engine import BareEngine

ENGINE = harness.BIN_DIR / "minerva-engine-vulkan"
ENV = dict(item.split("=", 1) for item in os.environ.get("MINERVA_DEVICE_ENV", "").split())
NAME = "Vulkan0"
WHOLE = ("--device", NAME, "-ngl", "all")


def start(file, *flags, env=(), **kwargs):
    """An engine of the variant, by itself."""
    return BareEngine(file, *flags, program=ENGINE, env={**ENV, **dict(env)}, **kwargs)


def pool(mib, name=NAME):
    """The daemon's config of a device with so much memory for models."""
    return f'[device."{name}"]\nmemory_budget = "{mib}MiB"\n'


def anonymous(engine):
    """The engine's own memory in bytes. A device that is this processor takes its memory there."""
    return engine.memory()["Anonymous"]


def writable(engine):
    """The engine's writable private mappings in bytes, touched or not."""
    status = pathlib.Path(f"/proc/{engine.pid}/status").read_text()
    return int(re.search(r"^VmData:\s+(\d+) kB$", status, re.M)[1]) << 10


class Driver:
    """Mesa's lavapipe behind a driver with faults (tests/fakes/vulkan_driver.cc), in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        library = harness.FAKES / "vulkan_driver.so"
        assert library.exists(), "vulkan_driver.so is missing: build the tests"
        shutil.copy2(library, self.folder)
        manifest = json.loads(pathlib.Path(ENV["VK_DRIVER_FILES"]).read_text())
        manifest["ICD"]["library_path"] = str(self.folder / library.name)
        (self.folder / "driver.json").write_text(json.dumps(manifest))
        self.env = {**ENV, **{name: str(self.folder / "driver.json") for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")}}
        self.has()

    def has(self, *faults):
        """From now on it has these faults, and no other."""
        aside = self.folder / "faults.new"
        aside.write_text("".join(f"{fault}\n" for fault in faults))
        aside.rename(self.folder / "faults")
