"""Drivers and devices that fail: each fault is a sentence, and the host's models are served as before."""
import os
import subprocess

import pytest

import harness
from bare_engine import Died, prompt, talk
from device import ENGINE, ENV, NAME, WHOLE, Driver, pool, start
from tiny_models import generate

MIB = 1 << 20
# The sandbox lets an engine read drivers where systems have them, and this one is elsewhere.
OPEN = 'sandbox = "off"\n'


@pytest.fixture
def driver(tmp_path):
    return Driver(tmp_path)


@pytest.fixture(scope="module")
def model():
    return generate("device-faults", ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"])


def short(slot):
    return prompt(slot, 20)


def by_itself(model, driver):
    return start(model, *WHOLE, env=driver.env, reads=[driver.folder], context=1024)


def say(minerva, model, **more):
    return minerva.post("/v1/completions", {"model": model, "prompt": "hello", "max_tokens": 4, "temperature": 0, **more})


def problems(minerva):
    return minerva.get("/v1/devices").json["problems"]


# ---- while models run ----

def test_a_wake_without_room_leaves_the_engine_parked(model, driver):
    with by_itself(model, driver) as engine:
        expected = talk(engine, 2, first=short, count=4)
    with by_itself(model, driver) as engine:
        def park_and_wake(_turn):
            parked = engine.park()
            assert parked["parked"], parked
            for room in (0, MIB):
                driver.has(f"room {room}")
                refused = engine.wake()
                assert refused["parked"] and f"{NAME} has no room for" in refused["refused"], refused
                assert refused["image_bytes"] == parked["image_bytes"]
            driver.has()
            woken = engine.wake()
            assert not woken["parked"] and "refused" not in woken, woken

        assert talk(engine, 2, between=park_and_wake, first=short, count=4) == expected


def test_a_model_that_cannot_wake_is_served_all_the_same(serve, model, driver):
    driver.has(f"room {512 * MIB}")
    minerva = serve(models={"m": model}, env=driver.env, config=OPEN + pool(512))
    answer = say(minerva, "m").json["choices"][0]["text"]
    assert minerva.post("/v1/models/m/park").status == 200
    engine = minerva.engine("m")
    driver.has(f"room {MIB}")
    refused = say(minerva, "m")
    assert refused.status in (502, 503) or refused.json["choices"][0]["text"] == answer, refused
    assert f"{NAME} has no room for" in minerva.log()
    driver.has()
    harness.wait_until(lambda: say(minerva, "m").status == 200, "it is served when there is room")
    assert minerva.engine("m") != engine


def test_a_load_without_room_is_a_sentence(serve, models, model, driver):
    driver.has(f"room {MIB}")
    minerva = serve(models={"m": model, "h": models["a"]}, env=driver.env,
                    config=OPEN + pool(512) + f'[model."h"]\ndevice = "host"\n[model."m"]\ndevice = "{NAME}"\n')
    assert say(minerva, "h").status == 200
    host = minerva.engine("h")
    failed = say(minerva, "m")
    assert failed.status in (500, 502, 503), failed
    assert NAME in failed.error["message"], failed
    assert say(minerva, "h").status == 200 and minerva.engine("h") == host, "the host's model is as before"


def test_a_lost_device_ends_only_the_engine_there(serve, models, model, driver):
    minerva = serve(models={"m": model, "h": models["a"]}, env=driver.env,
                    config=OPEN + pool(512) + '[model."h"]\ndevice = "host"\n')
    answer = say(minerva, "m").json["choices"][0]["text"]
    assert say(minerva, "h").status == 200
    host, lost = minerva.engine("h"), minerva.engine("m")
    driver.has("lost")
    failed = say(minerva, "m", prompt="and now")
    assert failed.status in (500, 502, 503), failed
    assert "ErrorDeviceLost" in failed.error["message"] or "lost" in failed.error["message"], failed
    assert say(minerva, "h").status == 200 and minerva.engine("h") == host
    driver.has()
    harness.wait_until(lambda: say(minerva, "m").status == 200, "it is loaded again")
    assert say(minerva, "m").json["choices"][0]["text"] == answer
    assert minerva.engine("m") != lost


def test_a_device_that_is_lost_while_parked_ends_the_engine(model, driver):
    with by_itself(model, driver) as engine:
        engine.complete(short(0), count=2)
        assert engine.park()["parked"]
        driver.has("lost")
        with pytest.raises(Died, match="a device fails: .*ErrorDeviceLost"):
            engine.wake()


# ---- while devices are looked for ----

@pytest.mark.parametrize("fault, words", [("hang", "does not answer"), ("no-16-bit", "cannot be used")])
def test_a_driver_that_is_no_use_is_told(serve, driver, fault, words):
    driver.has(fault)
    minerva = serve(env=driver.env, config=OPEN)
    assert say(minerva, "a").status == 200
    said = problems(minerva)
    assert len(said) == 1 and words in said[0] and "Models run in the host's memory" in said[0], said
    assert minerva.get("/v1/devices").json["data"] == []
    told = subprocess.run([harness.MINERVA, "doctor", "--url", minerva.url], capture_output=True, text=True,
                          timeout=harness.PATIENCE, env={**minerva.env, "MINERVA_URL": minerva.url})
    assert words in told.stdout, told


@pytest.mark.parametrize("env, words", [
    ({}, "sees no device"),
    ({"VK_DRIVER_FILES": "/no/such.json", "VK_ICD_FILENAMES": "/no/such.json", "GGML_VK_VISIBLE_DEVICES": "0"},
     "minerva-engine-vulkan")], ids=["none named", "no driver"])
def test_without_a_driver_the_hosts_models_run(serve, env, words):
    minerva = serve(env=env)
    assert say(minerva, "a").status == 200
    said = problems(minerva)
    assert minerva.get("/v1/devices").json["data"] == [] and len(said) == 1 and words in said[0], said
    assert "pools" not in minerva.get("/v1/models/stats").json


def test_the_listing_itself_says_what_a_device_lacks(driver):
    driver.has("no-16-bit")
    listed = subprocess.run([ENGINE, "list-devices"], capture_output=True, text=True, timeout=harness.PATIENCE,
                            env={"PATH": os.environ["PATH"], **driver.env}, check=True)
    assert '"devices":[]' in listed.stdout and "cannot be used: Unsupported device" in listed.stderr, listed
    fine = subprocess.run([ENGINE, "list-devices"], capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={"PATH": os.environ["PATH"], **ENV}, check=True)
    assert f'"name":"{NAME}"' in fine.stdout and fine.stderr == "", fine
