#!/usr/bin/env python3
"""What `minerva-engine-vulkan inspect` predicts for each pool of memory, beside what the engine takes of it.

"device" is what the process has allocated on the device, by its own account (engine/src/vulkan_memory.h), after a prompt
that fills a batch, and after answers of several tokens. "host" is its footprint otherwise. If the device is this processor
(Mesa's lavapipe, as by default), it takes its memory from the host, and this is subtracted. How well the host is predicted
without devices says bench/prediction.py.

usage: bench/device_prediction.py [--only PART_OF_A_NAME ...]      exits 1 when the errors are larger than promised
It needs `make engine engine-vulkan`; MINERVA_DEVICE_ENV as of tests/e2e/devices/environment.sh, which runs it:
tests/e2e/devices/environment.sh bench/device_prediction.py
"""
import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

import architectures  # noqa: E402
import harness  # noqa: E402
import tiny_models  # noqa: E402
from prediction_errors import keeps_promise, percent, print_errors  # noqa: E402
from bare_engine import FLAGS, BareEngine  # noqa: E402

PROGRAM = harness.BIN_DIR / "minerva-engine-vulkan"
ENV = dict(item.split("=", 1) for item in os.environ["MINERVA_DEVICE_ENV"].split())
BATCH = 256  # tokens; as of FLAGS
MIB = 1 << 20
WHOLE = ("--device", "Vulkan0", "-ngl", "all")
TWO = ("--device", "Vulkan0,Vulkan1", "-ngl", "all", "--tensor-split", "3,2")


def partly(layers):
    return ("--device", "Vulkan0", "-ngl", str(layers))


@dataclasses.dataclass
class Case:
    model: str
    file: pathlib.Path
    context: int = 512  # tokens of a slot
    slots: int = 2
    kv: str = "f16"
    place: tuple = WHOLE
    flags: tuple = ()
    few_tokens: bool = False  # a vocabulary of 128
    embeds: bool = False
    more_files: tuple = ()

    @property
    def name(self):
        place = {WHOLE: "whole", TWO: "two devices"}.get(self.place, f"{self.place[-1]} layers")
        return f"{self.model}, {self.context} x {self.slots}, {self.kv}, {place}"

    def arguments(self):
        kv = [] if self.kv == "f16" else ["-ctk", self.kv, "-ctv", self.kv, "-fa", "on"]
        return [*FLAGS, *self.place, "-np", str(self.slots), "--cache-ram", "0", *kv, *map(str, self.flags)]

    def tokens(self, count):
        first, kinds = (3, 97) if self.few_tokens else (1000, 20_000)
        return [first + (i * i * 31 + i * 7) % kinds for i in range(count)]


def generated(name, *options):
    return tiny_models.generate(f"prediction-{name}", list(options))


def cases():
    of = {file.stem.rsplit("-", 1)[0]: file for file in architectures.models(architectures.DOZEN).values()}
    # lavapipe of Debian 12 (Mesa 22.3) crashes in some shaders of ggml's flash attention.
    plain = {"flags": ("-fa", "off")}
    for architecture, options in [("llama", {}), ("qwen3", {"kv": "q8_0"}), ("qwen3moe", {"slots": 4}),
                                  ("gemma3", {"context": 1024}), ("gpt-oss", plain), ("deepseek2", {"slots": 1}),
                                  ("falcon-h1", plain), ("phi3", {"context": 2048})]:
        yield Case(f"{architecture} (tiny)", of[architecture], **{"few_tokens": True, **options})
    small = generated("small", "--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0")
    yield Case("54 MB, q4_0", small)
    yield Case("54 MB, q4_0", small, context=4096, slots=1)
    yield Case("54 MB, q4_0", small, context=2048, kv="q8_0")
    yield Case("54 MB, q4_0", small, context=1024, place=partly(4))
    yield Case("54 MB, q4_0", small, context=1024, place=partly(1))
    yield Case("54 MB, q4_0", small, context=1024, place=TWO)
    narrow = ("--embd", "512", "--layers", "6", "--ffn", "2048")
    for quant in ("q8_0", "f16"):
        yield Case(f"6 layers, {quant}", generated(f"narrow-{quant}", *narrow, "--quant", quant), context=1024)
    deep = generated("deep", "--embd", "512", "--layers", "32", "--ffn", "2048", "--quant", "f16")
    yield Case("32 layers, f16", deep, context=1024, slots=4)
    yield Case("32 layers, f16", deep, context=1024, place=TWO)
    embeds = generated("bert", "--arch", "bert", "--embd", "384", "--layers", "6", "--ffn", "1536")
    yield Case("bert", embeds, slots=1, flags=("--embeddings",), embeds=True)
    drafts = generated("draft", "--embd", "256", "--layers", "2", "--ffn", "768", "--quant", "q8_0")
    yield Case("54 MB, q4_0, with a draft model", small, context=1024, more_files=(drafts,),
               flags=("-md", drafts, "--spec-type", "draft-simple", "--spec-draft-ngl", "all"))


def predicted(case):
    """What inspection says: bytes of the host, and bytes by device."""
    told = subprocess.run([PROGRAM, "inspect", case.file, "-c", str(case.context * case.slots), *case.arguments()],
                          env={"PATH": os.environ["PATH"], **environment(case)}, capture_output=True, check=True)
    memory = json.loads(told.stdout)["memory"]
    devices = {each["name"]: each["weights"] + each["context"] + each["compute"] for each in memory["devices"]}
    return memory["total_bytes"], devices


def environment(case):
    return {**ENV, "GGML_VK_VISIBLE_DEVICES": "0,0"} if case.place == TWO else ENV


def measured(case):
    """What the engine says that it holds, after it has worked."""
    with BareEngine(case.file, *case.arguments()[len(FLAGS):], context=case.context * case.slots, program=PROGRAM,
                    env=environment(case), reads=case.more_files) as engine:
        longest = min(case.context, 256 if case.few_tokens else case.context) - 8
        text = case.tokens(min(longest, BATCH if case.embeds else BATCH + 20))
        if case.embeds:
            engine.post("/v1/embeddings", {"model": "e", "input": [text]})
        else:
            engine.complete(text, count=4, slot=0)
        told = engine.measure()
    devices = told["devices"]
    return told["footprint_bytes"] - (sum(devices.values()) if "lvp" in ENV["VK_DRIVER_FILES"] else 0), devices


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""])
    options = parser.parse_args()
    errors, on_host = [], []
    print(f"{'':56} {'device: predicted':>18} {'measured':>9} {'error':>8}   host (MiB, %)")
    for case in [case for case in cases() if any(part in case.name for part in options.only)]:
        host, devices = predicted(case)
        real_host, real_devices = measured(case)
        on_host.append(percent(host, real_host))
        for name in sorted(real_devices):
            errors.append(percent(devices.get(name, 0), real_devices[name]))
            print(f"{case.name:56} {devices.get(name, 0) / MIB:18.2f} {real_devices[name] / MIB:9.2f} {errors[-1]:+7.1f} %"
                  f"   {host / MIB:.0f}, {real_host / MIB:.0f} ({on_host[-1]:+.1f})", flush=True)
    kept = keeps_promise(f"{len(on_host)} configurations, devices", errors)
    print_errors("host", on_host)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
