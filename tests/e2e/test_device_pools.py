"""A device that other programs use as well (fake_variant.py): models make way for them and come back, and a model that
cannot be woken there is served all the same. No GPU and no driver is needed."""
import pathlib
import shutil
import subprocess

import pytest

import harness
from fake_variant import DEVICE, TOTAL
from harness import wait_until


class FakeDevice:
    def __init__(self, folder):
        self.folder = folder
        (folder / "engines").mkdir()
        self.others(0)
        for name in ("minerva-engine", "minerva-engine-vulkan"):
            shutil.copy(pathlib.Path(__file__).parent / "fake_variant.py", folder / name)
        self.engine = folder / "minerva-engine"
        self.env = {"VK_DRIVER_FILES": str(folder / "driver.json"), "MINERVA_QUEUE_MIN_RESIDENCY": "0s"}

    def others(self, mib):
        aside = self.folder / "others.new"
        aside.write_text(str(mib))
        aside.rename(self.folder / "others")

    def say_nothing(self):
        (self.folder / "silent").touch()


@pytest.fixture
def device(tmp_path):
    return FakeDevice(tmp_path)


@pytest.fixture
def start(serve, device, tmp_path):
    def begin(config="", **sizes):
        files = {}
        for name, mib in sizes.items():
            files[name] = tmp_path / name
            files[name].write_text(str(mib))
        return serve("--engine", device.engine, models=files, env=device.env,
                     config=f'sandbox = "off"\n[device."{DEVICE}"]\nmemory_budget = "{TOTAL - 400}MiB"\n' + config)
    return begin


def ask(m, model):
    return m.post("/v1/completions", {"model": model, "prompt": "x"})


def where(m, model):
    """Where the model's engine answers from."""
    answer = ask(m, model)
    assert answer.status == 200, answer
    return answer.json["device"]


def pool(m):
    return m.stats()["pools"][1]


def state(m, model):
    return next((each["state"] for each in m.stats()["models"] if each["id"] == model), "cold")


def test_models_make_way_for_another_program_and_come_back(start, device):
    m = start(a=1200, b=1200)
    assert (where(m, "a"), where(m, "b")) == (DEVICE, DEVICE)
    assert m.stats()["loaded_models"] == ["a", "b"]
    device.others(TOTAL - 2400 - 20)
    wait_until(lambda: state(m, "a") == "parked", "the one that was used longest ago makes way")
    assert state(m, "b") == "hot"
    wait_until(lambda: m.get("/v1/devices").json["data"][0]["free_bytes"] == 1220 << 20, "it is seen")
    listed = m.get("/v1/devices").json["data"][0]
    assert listed["available_bytes"] < listed["memory_budget_bytes"], listed
    assert pool(m)["available_mb"] < pool(m)["memory_budget_mb"]
    assert "other programs take memory of its device" in m.get("/v1/decisions").body.decode()
    text = m.get("/metrics").body.decode()
    assert f'minerva_pool_available_bytes{{pool="{DEVICE}"}}' in text
    shown = subprocess.run([harness.MINERVA, "stats", "--url", m.url], capture_output=True, text=True, env=m.env,
                           timeout=harness.PATIENCE)
    assert "other programs have" in shown.stdout, shown
    engine = m.engine("a")
    device.others(0)
    wait_until(lambda: pool(m)["available_mb"] == pool(m)["memory_budget_mb"], "the memory is for models again")
    assert where(m, "a") == DEVICE and m.engine("a") == engine, "it was woken"
    assert state(m, "b") == "hot"


def test_a_model_is_placed_where_other_programs_leave_room(start, device):
    m = start(a=1200, b=1200)
    device.others(TOTAL - 600)
    assert where(m, "a") is None, "in the host's memory"
    device.others(0)

    def is_placed_there():
        assert m.delete("/v1/models/b").status == 200
        return where(m, "b") == DEVICE

    wait_until(is_placed_there, "the device has been left alone for some seconds, and is asked again for a load")


def test_a_refused_wake_parks_another_model_or_moves_this_one(start, device):
    device.say_nothing()
    m = start(a=1200, b=1200)
    assert where(m, "a") == DEVICE
    assert m.post("/v1/models/a/park").status == 200
    assert where(m, "b") == DEVICE
    engine = m.engine("a")
    device.others(TOTAL - 2400 + 100)
    assert where(m, "a") == DEVICE and m.engine("a") == engine
    assert state(m, "b") == "parked", "it made way, though by the budget both have room"
    assert "stays parked: the device Fake0 has no room" in m.log()

    assert m.post("/v1/models/a/park").status == 200
    device.others(TOTAL)
    assert where(m, "a") is None, "nobody could make way, so it was loaded elsewhere"
    assert m.stats()["cache"]["hits"] >= 2


def test_what_may_only_run_on_a_full_device_is_refused_for_now(start, device):
    device.say_nothing()
    m = start(config=f'[model."a"]\ndevice = "{DEVICE}"\n', a=1200)
    device.others(TOTAL)
    answer = ask(m, "a")
    assert answer.status == 503 and f'the device \\"{DEVICE}\\" has no room for it' in answer.body.decode(), answer
    assert int(answer.headers["retry-after"]) >= 1
    # It is not tried before the device has been left alone for a while: no engine is started.
    again = ask(m, "a")
    assert again.status == 503 and m.engines() == [], again


def test_a_load_without_room_goes_elsewhere(start, device):
    device.say_nothing()
    m = start(a=1200)
    device.others(TOTAL - 100)
    assert where(m, "a") is None
    assert f"the device {DEVICE} has no room for it" in m.log()
