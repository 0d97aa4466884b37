"""Parking on a device, by one engine alone: its answers afterwards are what they would have been without."""
import pytest

import architectures
from bare_engine import Died, prompt, talk
from device import NAME, WHOLE, anonymous, start, writable
from tiny_models import generate

MODEL = ["--seed", "1"]
TURNS = 2
COUNT = 6  # tokens of an answer: a device that is this processor is slow


@pytest.fixture(scope="session")
def model():
    return generate("device", MODEL)


def short(slot):
    return prompt(slot, 20)


def answer(engine):
    """One answer, with all of the prompt computed: in another batch a device computes a little differently."""
    return engine.complete(short(0), count=COUNT, slot=0, cache_prompt=False)[:2]


def compare(file, *flags, slots=(0,), first=short, **kwargs):
    """Holds the same conversations with and without parking. Returns (before, parked, woken) of each turn."""
    seen = []
    flags = ("-np", str(len(slots)), *flags)
    with start(file, *flags, **kwargs) as engine:
        expected = talk(engine, TURNS, slots, first=first, count=COUNT)
    with start(file, *flags, **kwargs) as engine:
        def park_and_wake(turn):
            before = engine.measure()
            parked = engine.park(drop=turn % 2 == 1)
            assert parked["parked"] and "refused" not in parked, parked
            woken = engine.wake()
            assert not woken["parked"], woken
            seen.append((before, parked, woken))

        assert talk(engine, TURNS, slots, park_and_wake, first=first, count=COUNT) == expected
        assert engine.process.poll() is None
    return seen


# ---- the same answers ----

@pytest.mark.parametrize("cache", [[], ["-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"]], ids=["f16", "q8_0"])
@pytest.mark.parametrize("place", [WHOLE, ("--device", NAME, "-ngl", "2")], ids=["whole", "split"])
def test_the_same_answers(model, cache, place):
    seen = compare(model, *place, *cache, slots=(0, 1), context=1024)
    before, parked, _ = seen[0]
    assert before["devices"][NAME] > 1 << 20, "something is on the device"
    assert parked["image_bytes"] > 0


def test_weights_are_not_in_the_image(model):
    seen = compare(model, *WHOLE, context=1024)
    on_device = seen[0][0]["devices"][NAME]
    assert max(parked["image_bytes"] for _, parked, _ in seen) < on_device / 2, seen


def test_weights_that_come_from_no_mapped_file_are_in_the_image(model):
    seen = compare(model, *WHOLE, "--load-mode", "none", context=1024)
    mapped = compare(model, *WHOLE, context=1024)
    assert seen[0][1]["image_bytes"] > mapped[0][1]["image_bytes"] + (1 << 20), (seen[0], mapped[0])


def test_buffers_of_buffers(model):
    """A device whose buffers may have no more than a megabyte."""
    compare(model, *WHOLE, context=1024, env={"GGML_VK_SUBALLOCATION_BLOCK_SIZE": str(1 << 20)})


def test_a_model_of_several_files():
    file = generate("device-parts", [*MODEL, "--parts", "3"], parts=3)
    parts = [file.with_name(file.name.replace("-00001-", f"-{part:05}-")) for part in (2, 3)]
    seen = compare(file, *WHOLE, context=1024, reads=parts)
    on_device = seen[0][0]["devices"][NAME]
    assert max(parked["image_bytes"] for _, parked, _ in seen) < on_device / 2, "weights are not in the image"


def test_two_devices(model):
    """Both are this processor."""
    devices = {"GGML_VK_VISIBLE_DEVICES": "0,0"}
    seen = compare(model, "--device", "Vulkan0,Vulkan1", "-ngl", "all", "--tensor-split", "1,1", context=1024, env=devices)
    before, parked, _ = seen[-1]
    assert set(before["devices"]) == {"Vulkan0", "Vulkan1"} == set(parked["devices"]), seen
    assert sum(parked["devices"].values()) < sum(before["devices"].values()) / 2, seen


def test_embeddings():
    file = generate("e", ["--arch", "bert", "--embd", "256", "--layers", "4", "--ffn", "512"])

    def run(parks):
        with start(file, *WHOLE, "--embeddings", context=512) as engine:
            found = []
            for number in range(3):
                found.append(engine.post("/v1/embeddings", {"model": "e", "input": [prompt(number, 40)]})["data"])
                if parks:
                    assert engine.park()["parked"]
                    assert not engine.wake()["parked"]
            return found

    assert run(parks=True) == run(parks=False)


# lavapipe of Debian 12 (Mesa 22.3) crashes where ggml's flash attention has sinks.
FLAGS = {"gpt-oss": ["-fa", "off"]}


@pytest.mark.parametrize("name", architectures.DOZEN)
def test_a_dozen_architectures(name):
    files = {file.stem.rsplit("-", 1)[0]: file for file in architectures.models(architectures.DOZEN).values()}
    compare(files[name], *WHOLE, *FLAGS.get(name, []), slots=(0, 1), context=1024, first=lambda slot: prompt(slot, 64, first=3, kinds=97))


# ---- what is left of it ----

def test_the_memory_is_given_back():
    file = generate("device-large", ["--embd", "768", "--layers", "8", "--ffn", "3072", "--quant", "q4_0"])
    with start(file, *WHOLE, context=512) as engine:
        # All of the memory is used once: what was never touched would not be in memory.
        engine.complete(prompt(0, 500), count=4, slot=0)
        said = answer(engine)
        managed = engine.measure()["devices"][NAME]
        hot, touched = writable(engine), anonymous(engine)
        parked = engine.park()
        assert parked["parked"], parked
        # What is left is what copies go through. It is a figure of its own.
        left = parked["devices"][NAME]
        assert left <= 5 << 20, parked
        assert touched - anonymous(engine) + left >= 0.98 * managed, (touched, anonymous(engine), left, managed)
        assert hot - writable(engine) + left >= 0.98 * managed, (hot, writable(engine), left, managed)
        engine.wake()
        assert answer(engine) == said
        assert engine.measure()["devices"][NAME] == pytest.approx(managed + left, rel=0.02)


def test_many_times_in_a_row(model):
    with start(model, *WHOLE, context=1024) as engine:
        said = answer(engine)
        first = None
        for cycle in range(200):
            parked = engine.park()
            assert parked["parked"], parked
            if cycle == 10:
                first = parked
            engine.wake()
        parked = engine.park()
        assert parked["residue_bytes"] < first["residue_bytes"] + (4 << 20), (first, parked)
        assert parked["image_bytes"] <= first["image_bytes"], (first, parked)
        engine.wake()
        assert answer(engine) == said


# ---- refusals and faults ----

def test_an_image_over_its_limit_is_refused(model):
    with start(model, *WHOLE, context=1024) as engine:
        said = answer(engine)
        refused = engine.park(4096)
        assert not refused["parked"] and "are allowed" in refused["refused"], refused
        wanted = refused["image_wanted_bytes"]
        assert wanted > 4096
        assert answer(engine) == said
        assert engine.park(2 * wanted)["parked"]


def test_a_model_file_that_has_changed_ends_the_engine(model, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(model.read_bytes())
    with start(file, *WHOLE, context=1024) as engine:
        engine.complete(short(0))
        assert engine.park()["parked"]
        with open(file, "r+b") as written:
            written.seek(-1, 2)
            written.write(b"x")
        with pytest.raises(Died, match="has changed since the model was loaded"):
            engine.wake()


def test_a_model_file_that_was_replaced_by_another_is_still_there(model, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(model.read_bytes())
    with start(file, *WHOLE, context=1024) as engine:
        said = answer(engine)
        assert engine.park()["parked"]
        other = tmp_path / "other"
        other.write_bytes(b"x" * (1 << 20))
        other.rename(file)
        engine.wake()
        assert answer(engine) == said
