"""The real huggingface_hub and a pull share a cache: each finds what the other fetched, and does not fetch it again. This
also proves the fake hub, by what the library accepts."""
import os
import pathlib
import subprocess
import sys

import pytest

import fake_hub
import harness
from test_pull import FILE, REPO, folder, ids, pull


@pytest.fixture
def hub(models):
    with fake_hub.running({REPO: {FILE: models["a"].read_bytes(), "README.md": b"# tiny\n"}}) as hub:
        yield hub


def with_library(hub, cache, code, **env):
    """Runs `code` with the library, which asks this hub and keeps this cache. Returns what the code prints."""
    done = subprocess.run([sys.executable, "-c", f"from huggingface_hub import *\nrepo, file = {REPO!r}, {FILE!r}\n{code}"],
                          env={"PATH": os.environ["PATH"], "HOME": str(cache), "HF_ENDPOINT": hub.url,
                               "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", **env},
                          capture_output=True, text=True, timeout=harness.PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("no_xet", ["1", "0"])
def test_the_library_finds_what_was_pulled(serve, hub, no_xet):
    m = serve(models={}, env={"HF_ENDPOINT": hub.url})
    assert pull(m)["state"] == "done"
    fetched = hub.count("cdn", "GET")
    path = with_library(hub, m.models_dir, "print(hf_hub_download(repo, file))", HF_HUB_DISABLE_XET=no_xet)
    assert pathlib.Path(path).read_bytes() == hub.repos[REPO][FILE]
    assert pathlib.Path(path) == folder(m) / "snapshots" / hub.commit / FILE
    assert hub.count("cdn", "GET") == fetched, "nothing is fetched again"
    found = with_library(hub, m.models_dir, "print(try_to_load_from_cache(repo, file))", HF_HUB_OFFLINE="1")
    assert found == path
    # The library finds no fault in the cache.
    assert with_library(hub, m.models_dir, "info = scan_cache_dir()\nprint(len(info.warnings), [r.repo_id for r in info.repos])"
                        ) == f"0 ['{REPO}']"


@pytest.mark.parametrize("no_xet", ["1", "0"])
def test_a_pull_finds_what_the_library_fetched(serve, hub, no_xet):
    m = serve(models={}, env={"HF_ENDPOINT": hub.url})
    with_library(hub, m.models_dir, "print(snapshot_download(repo))", HF_HUB_DISABLE_XET=no_xet)
    assert hub.count("cdn", "GET") == 1
    harness.wait_until(lambda: ids(m) == [f"{REPO}:Q8_0"], "it is listed")
    job = pull(m)
    assert job["state"] == "done" and job["model_id"] == f"{REPO}:Q8_0", job
    assert hub.count("cdn", "GET") == 1, "nothing is fetched again"


def test_the_one_waits_for_the_others_lock(serve, hub, models):
    m = serve(models={}, env={"HF_ENDPOINT": hub.url})
    hub.fault(FILE, ("stall", 1000))
    first = harness.in_background(pull, m)
    assert hub.stalled.wait(harness.PATIENCE)
    second = harness.in_background(with_library, hub, m.models_dir, "print(hf_hub_download(repo, file))")
    harness.wait_until(lambda: hub.count("hub", "HEAD", FILE) >= 2, "the library has asked")
    hub.release.set()
    assert first.result()["state"] == "done"
    assert pathlib.Path(second.result()).read_bytes() == models["a"].read_bytes()
    assert hub.count("cdn", "GET") == 2, "a cut one and its rest: the library fetched nothing"
