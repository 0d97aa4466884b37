"""Models on devices, as users meet them: placement, pools, parking, and machines where something is missing."""
import json
import os
import subprocess

import harness
from device import ENGINE, ENV, NAME, pool
from harness import wait_until
from tiny_models import generate


def on_device(minerva, model, device=NAME):
    """MiB that the model holds of the device."""
    models = minerva.get("/v1/models/stats").json["models"]
    return next((m["pools_mb"][device] for m in models if m["id"] == model), 0)


def say(minerva, model, text="hello"):
    answer = minerva.post("/v1/completions", {"model": model, "prompt": text, "max_tokens": 6, "temperature": 0})
    assert answer.status == 200, answer
    return answer.json["choices"][0]["text"]


def test_devices_are_listed(serve):
    minerva = serve(env=ENV, config=pool(512))
    listed = minerva.get("/v1/devices").json
    assert [device["id"] for device in listed["data"]] == [NAME] and listed["problems"] == [], listed
    assert listed["data"][0]["memory_budget_bytes"] == 512 << 20
    assert listed["data"][0]["backend"] == "Vulkan" and listed["data"][0]["models"] == []
    shown = subprocess.run([harness.MINERVA, "devices", "--url", minerva.url], capture_output=True, text=True,
                           env=minerva.env, timeout=harness.PATIENCE)
    assert NAME in shown.stdout and "512 MiB" in shown.stdout, shown


def test_a_model_is_placed_on_the_device_and_parked_and_woken_there(serve):
    minerva = serve(env=ENV, config=pool(512))
    expected = say(minerva, "a")
    assert on_device(minerva, "a") > 0
    assert os.readlink(f"/proc/{minerva.engine('a')}/exe") == os.path.realpath(ENGINE)
    assert minerva.get("/v1/devices").json["data"][0]["models"] == ["a"]
    assert minerva.post("/v1/models/a/park").status == 200
    assert on_device(minerva, "a") <= LEFT, "parked, it has nothing of the device but what copies go through"
    assert say(minerva, "a") == expected
    assert minerva.get("/v1/models/stats").json["cache"]["evictions"] == 0


def test_models_that_do_not_fit_the_device_together_take_turns(serve):
    """Room for one and a half: each answer parks the other model, and none is loaded twice."""
    files = {name: generate(name, ["--seed", seed, *MIDDLE]) for name, seed in (("one", "11"), ("two", "12"))}
    minerva = serve(models=files, env={**ENV, "MINERVA_QUEUE_MIN_RESIDENCY": "0s"},
                    config=pool(64) + entries(files))
    first = {name: say(minerva, name) for name in files}
    sizes = {name: on_device(minerva, name) for name in files}
    assert sizes["two"] > 30 and sizes["one"] <= LEFT, sizes
    engines = {name: minerva.engine(name) for name in files}
    for _ in range(2):
        for name in files:
            assert say(minerva, name) == first[name]
    assert {name: minerva.engine(name) for name in files} == engines, "they were parked, and not loaded anew"


LEFT = 5  # MiB of a device that a parked engine keeps at most
# 49 MiB on a device.
MIDDLE = ["--embd", "512", "--layers", "4", "--ffn", "2048", "--quant", "q8_0"]


def entries(names):
    return "\n".join(f'[model."{name}"]\ncontext = 1024\nparallel = 1\n' for name in names)


def test_three_models_on_two_devices(serve):
    """Each device has room for one of them: the third parks one, and nobody leaves the other device for it."""
    names = ("one", "two", "three")
    files = {name: generate(name, ["--seed", str(seed), *MIDDLE]) for seed, name in enumerate(names)}
    config = pool(64, "Vulkan0") + pool(64, "Vulkan1") + entries(names)
    minerva = serve(models=files, config=config,
                    env={**ENV, "GGML_VK_VISIBLE_DEVICES": "0,0", "MINERVA_QUEUE_MIN_RESIDENCY": "0s"})

    def places():
        return {name: [on_device(minerva, name, device) > LEFT for device in ("Vulkan0", "Vulkan1")] for name in names}

    first = {name: say(minerva, name) for name in ("one", "two")}
    hot = places()
    assert sorted([hot["one"], hot["two"]]) == [[False, True], [True, False]], hot
    first["three"] = say(minerva, "three")
    assert sum(map(any, places().values())) == 2, "one of the first two is parked"
    for name in names:
        assert say(minerva, name) == first[name]
    for device in minerva.get("/v1/devices").json["data"]:
        assert device["reserved_bytes"] <= device["memory_budget_bytes"] == 64 << 20, device


def test_what_fits_no_device_is_on_the_host(serve):
    minerva = serve(env=ENV, config=pool(64) + '[model."a"]\ndevice = "host"\n')
    say(minerva, "a")
    assert on_device(minerva, "a") == 0
    assert os.readlink(f"/proc/{minerva.engine('a')}/exe") == os.path.realpath(harness.ENGINE)


def test_arguments_of_the_models_own_are_kept(serve):
    minerva = serve(env=ENV, config=pool(512) + f'[model."a"]\nargs = ["--device", "{NAME}", "-ngl", "1"]\n')
    say(minerva, "a")
    assert on_device(minerva, "a") > 0
    arguments = harness.proc_cmdline(minerva.engine("a"))
    assert arguments.count("-ngl") == 1 and arguments[arguments.index("-ngl") + 1] == "1", arguments


def test_a_device_that_there_is_not_is_named(serve):
    minerva = serve(env=ENV, config=pool(512) + '[model."a"]\ndevice = "Vulkan7"\n')
    answer = minerva.post("/v1/completions", {"model": "a", "prompt": "x", "max_tokens": 1})
    assert answer.status == 400 and "Vulkan7" in answer.error["message"], answer
    assert say(minerva, "b") is not None


def test_the_sandbox_holds_for_the_variant(models):
    """Nothing that is no device opens up for a variant."""
    def attempts(program):
        paths = f"read {models['a']}\n"
        done = subprocess.run([program, "sandbox-check", "serve", models["a"]], capture_output=True, text=True, check=True,
                              timeout=harness.PATIENCE,
                              env={"PATH": os.environ["PATH"], "MINERVA_SANDBOX": "required", "MINERVA_SANDBOX_PATHS": paths})
        return json.loads(done.stdout)["attempts"]

    assert attempts(ENGINE) == attempts(harness.ENGINE) != {}


def test_doctor_names_the_device(serve):
    minerva = serve(env=ENV, config=pool(512))
    told = subprocess.run([harness.MINERVA, "doctor", "--json", "--url", minerva.url], capture_output=True, text=True,
                          timeout=harness.PATIENCE, env={**minerva.env, "MINERVA_URL": minerva.url})
    assert f"Models can run on {NAME}" in told.stdout, told
    wait_until(lambda: minerva.get("/v1/devices").status == 200, "it still serves")
