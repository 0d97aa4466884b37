"""Pulls of models, from a hub on loopback that does what hubs do and fails as hubs do."""
import contextlib
import json
import os
import pty
import resource
import select
import signal
import struct
import subprocess

import pytest

import fake_hub
import harness

REPO = "org/tiny-GGUF"
FILE = "tiny-Q8_0.gguf"


@pytest.fixture(scope="module")
def data(models):
    return models["a"].read_bytes()


@pytest.fixture
def hub(data):
    with fake_hub.running({REPO: {FILE: data, "README.md": b"# tiny\n"}, "files": {"x.gguf": data, "page.gguf": b"<html>"}}) as hub:
        yield hub


@pytest.fixture
def puller(serve, hub):
    """puller(config=..., env=...) starts a server without models that asks this hub."""
    def start(*args, config="", env=None):
        return serve(*args, models={}, env={"HF_ENDPOINT": hub.url, **(env or {})}, config=f"[pull]\n{config}")
    return start


def pull(m, name=REPO):
    """The job at its end."""
    job = follow(m, name)
    assert job["state"] in ("done", "failed", "cancelled"), job
    return job


def follow(m, name=REPO):
    """The job in the last event of its stream."""
    answer = m.post("/v1/pull", {"model": name}, headers={"Accept": "text/event-stream"})
    assert answer.status == 200, answer
    return json.loads([line for line in answer.body.decode().splitlines() if line.startswith("data: ")][-1][len("data: "):])


def failure(m, name=REPO):
    job = pull(m, name)
    assert job["state"] == "failed", job
    return job["error"]


def folder(m, repo=REPO):
    return m.models_dir / f"models--{repo.replace('/', '--')}"


def ids(m):
    return [model["id"] for model in m.get("/v1/models").json["data"]]


def parts(m):
    return list(m.models_dir.glob("**/*.incomplete"))


def arrived(m, hub, data, job):
    assert job["state"] == "done", job
    assert job["model_id"] == f"{REPO}:Q8_0"
    assert ids(m) == [job["model_id"]]
    assert (folder(m) / "snapshots" / hub.commit / FILE).read_bytes() == data
    assert not parts(m)


def test_a_pulled_model_answers_at_once(puller, hub, data):
    m = puller()
    job = pull(m)
    arrived(m, hub, data, job)
    assert job["size_bytes"] == job["done_bytes"] == len(data)
    assert "largest" in job["why"] and job["license"] == "apache-2.0" and job["commit"] == hub.commit
    assert m.chat(job["model_id"]).status == 200
    # The layout of the hub's own library and of llama.cpp.
    link = folder(m) / "snapshots" / hub.commit / FILE
    assert os.readlink(link) == f"../../blobs/{fake_hub.sha256(data)}"
    assert (folder(m) / "refs/main").read_text() == hub.commit
    assert (m.models_dir / ".locks" / folder(m).name / f"{fake_hub.sha256(data)}.lock").exists()
    # A file that is here is not fetched again, by whatever name.
    fetched = hub.count("cdn", "GET")
    for name in (REPO, f"hf.co/{REPO}:Q8_0", f"{REPO}/{FILE}", f"{hub.url}/{REPO}/resolve/main/{FILE}"):
        arrived(m, hub, data, pull(m, name))
    assert hub.count("cdn", "GET") == fetched == 1
    downloads = m.get("/v1/downloads").json["data"]
    assert [job["state"] for job in downloads] == ["done"] * 5


def test_what_fits_is_chosen_with_its_companions(puller, hub):
    hub.repos["org/many"] = {
        "m-F16.gguf": bytes(3 << 20), "m-Q4_K_M.gguf": bytes(1 << 20), "m-Q2_K.gguf": bytes(1 << 19),
        "big/m-Q8_0-00001-of-00002.gguf": bytes(1 << 20), "big/m-Q8_0-00002-of-00002.gguf": b"\1" * (1 << 20),
        "mmproj-m-F16.gguf": bytes(1 << 18), "README.md": b"hello"}
    hub.page = 3  # the list has several pages
    m = puller("--memory-budget", "264MiB")
    listing = m.post("/v1/pull?dry_run=true", {"model": "org/many"}).json
    fits = {choice["model"]: choice["fit"] for choice in listing["data"]}
    assert fits == {"org/many:F16": "fits", "org/many:Q8_0": "fits", "org/many:Q4_K_M": "fits", "org/many:Q2_K": "fits"}
    assert listing["chosen"] == "org/many:F16" and listing["license"] == "apache-2.0"
    assert hub.count("cdn", "GET") == 0 and not list(m.models_dir.iterdir()), "a look fetches nothing"
    # All parts of the model, and the projector.
    job = pull(m, "org/many:Q8_0")
    assert job["error"]["code"] == "invalid_model" and job["done_bytes"] == job["size_bytes"], job
    snapshot = folder(m, "org/many") / "snapshots" / hub.commit
    assert sorted(str(path.relative_to(snapshot)) for path in snapshot.rglob("*.gguf")) == [
        "big/m-Q8_0-00001-of-00002.gguf", "big/m-Q8_0-00002-of-00002.gguf", "mmproj-m-F16.gguf"]
    error = failure(m, "org/many:Q5_K_M")
    assert error["code"] == "model_not_found" and "Q4_K_M" in error["message"]
    m.stop()
    small = puller("--memory-budget", "2MiB")
    listing = small.post("/v1/pull?dry_run=true", {"model": "org/many"}).json
    assert [choice["fit"] for choice in listing["data"]] == ["does not fit", "does not fit", "fits smaller", "fits smaller"]


def test_drafts_come_along_on_request(puller, hub, data, models):
    draft, head = models["b"].read_bytes(), models["c"].read_bytes()
    hub.repos["org/fast"] = {"fast-Q8_0.gguf": data, "eagle3-fast-Q8_0.gguf": draft, "mtp-fast-Q8_0.gguf": head}
    m = puller()
    [choice] = m.post("/v1/pull?dry_run=true", {"model": "org/fast"}).json["data"]
    assert choice["files"] == ["fast-Q8_0.gguf"]
    assert [(each["kind"], each["file"], each["size_bytes"]) for each in choice["companions"]] == [
        ("draft", "eagle3-fast-Q8_0.gguf", len(draft)), ("mtp", "mtp-fast-Q8_0.gguf", len(head))]
    [choice] = m.post("/v1/pull?dry_run=true", {"model": "org/fast", "with": ["mtp"]}).json["data"]
    assert choice["files"] == ["fast-Q8_0.gguf", "mtp-fast-Q8_0.gguf"] and choice["size_bytes"] == len(data) + len(head)
    assert pull(m, "org/fast")["with"] == []
    snapshot = folder(m, "org/fast") / "snapshots" / hub.commit
    assert [path.name for path in snapshot.iterdir()] == ["fast-Q8_0.gguf"]
    code, out, err = cli(m, "pull", "--with", "mtp", "--with", "draft", "org/fast")
    assert code == 0 and "org/fast:Q8_0 is here" in out, (out, err)
    assert m.get("/v1/downloads").json["data"][0]["with"] == ["draft", "mtp"]
    assert (snapshot / "mtp-fast-Q8_0.gguf").read_bytes() == head and (snapshot / "eagle3-fast-Q8_0.gguf").read_bytes() == draft
    assert hub.count("cdn", "GET") == 3, "what was here is not fetched again"
    code, out, err = cli(m, "pull", "--list", "org/fast")
    assert code == 0 and "mtp (" in out and "draft (" in out, (out, err)
    code, _, err = cli(m, "pull", "--with", "mtp", REPO)
    assert code != 0 and "has no mtp file for Q8_0" in err, err
    assert cli(m, "pull", "--with", "x", REPO)[0] == 2
    for body in ({"model": REPO, "with": "mtp"}, {"model": REPO, "with": ["x"]}, {"model": f"{hub.cdn}/files/x.gguf", "with": ["mtp"]}):
        refused = m.post("/v1/pull", body)
        assert refused.status == 400 and refused.error["param"] == "with", refused


def test_lost_lines_are_gone_on_with(puller, hub, data):
    m = puller()
    hub.fault(FILE, *(("cut", len(data) * percent // 100) for percent in (1, 50, 99)))
    arrived(m, hub, data, pull(m))
    ranges = [headers["range"] for s, method, _, headers in hub.requests if s == "cdn" and method == "GET" and "range" in headers]
    # Each request goes on where the line was cut: that many bytes of the last request had come.
    at, expected = 0, []
    for percent in (1, 50, 99):
        at = min(at + len(data) * percent // 100, len(data))
        expected.append(f"bytes={at}-")
    assert ranges == [wanted for wanted in expected if wanted != f"bytes={len(data)}-"], ranges


@pytest.mark.parametrize("faults", [
    [("status", 500, {})], [("status", 429, {"Retry-After": "1"})], [("answer", 503, {})], [("answer", 403, {})],
    [("cut", 1000), ("no ranges",)], [("cut", 1000), ("answer", 416, {})],
], ids=str)
def test_what_passes_is_tried_again(puller, hub, data, faults):
    m = puller()
    hub.fault(FILE, *faults)
    arrived(m, hub, data, pull(m))
    assert not hub.faults[FILE]


def test_a_busy_api_is_asked_again(puller, hub, data):
    m = puller()
    hub.api_faults += [(429, {"Retry-After": "1"}), (500, {})]
    arrived(m, hub, data, pull(m))


def test_a_line_without_bytes_is_begun_anew(puller, hub, data):
    m = puller(config='stall_timeout = "1s"')
    hub.fault(FILE, ("stall", 5000))
    arrived(m, hub, data, pull(m))
    assert hub.stalled.is_set()


def test_another_content_is_begun_anew(puller, hub, data, models):
    m = puller()
    other = models["b"].read_bytes()
    hub.fault(FILE, ("cut", len(data) // 2), ("replace", other))
    arrived(m, hub, other, pull(m))


@pytest.mark.parametrize("fault, says", [
    (("wrong",), "hash"), (("shorter", 1000), "1000 bytes"), (("longer", 5), "bytes of"),
    (("redirect", "https://evil.example/x"), "pull.hosts"), (("redirect", "http://10.0.0.1/x"), "pull.hosts"),
    (("redirect", "file:///etc/passwd"), "no address"), (("size", 1 << 49), "make room"),
    (("status", 404, {"X-Error-Code": "EntryNotFound"}), "check the name"),
], ids=str)
def test_what_is_not_right_is_not_used(puller, hub, data, fault, says):
    m = puller()
    hub.fault(FILE, fault)
    error = failure(m)
    assert says in error["message"], error
    assert ids(m) == [] and not (folder(m) / "snapshots").exists()
    assert not (folder(m) / "blobs" / fake_hub.sha256(data)).exists()
    # The fault passes: the right content is accepted then.
    arrived(m, hub, data, pull(m))


def test_redirects_are_bounded_and_judged(puller, hub):
    m = puller(config='hosts = ["*"]')
    hub.fault(FILE, ("redirect", f"{hub.cdn}/loop"))
    assert "redirects more than" in failure(m)["message"]
    for where, says in (("https://10.0.0.1/x", "private network"), ("https://169.254.169.254/x", "private network"),
                        ("http://10.0.0.1/x", "plain HTTP"), ("http://[::ffff:10.0.0.1]/x", "plain HTTP"),
                        ("http://127.0.0.2/x", "private network"), ("http://localhost/x", "private network")):
        hub.fault(FILE, ("redirect", where))
        error = failure(m)
        assert error["code"] == "forbidden" and says in error["message"], (where, error)
    assert not hub.faults[FILE]


def test_https_is_verified_and_never_left_for_plain_http(puller, hub, data, models, tmp_path):
    certificate = harness.make_certificate(tmp_path)
    with fake_hub.running({REPO: {FILE: data}}, certificate=certificate, token="hf_secret") as secure:
        env = {"HF_ENDPOINT": secure.url, "HF_TOKEN": "hf_secret"}
        error = failure(puller(env=env))
        assert error["code"] == "forbidden" and "not trusted" in error["message"] and "SSL_CERT_FILE" in error["message"]
        assert not secure.requests

        m = puller(env=env | {"SSL_CERT_FILE": str(certificate[0])})
        secure.fault(FILE, ("redirect", f"{hub.cdn}/files/x.gguf"))
        error = failure(m)
        assert error["code"] == "forbidden" and "from HTTPS to plain HTTP" in error["message"]
        assert not hub.requests  # no byte went there, the token least of all
        arrived(m, secure, data, pull(m))
        assert not secure.sent_tokens("cdn")


def test_refusals_say_what_to_do(puller, hub):
    m = puller()
    hub.gated.add(REPO)
    error = failure(m)
    assert error["code"] == "forbidden" and f"licence at {hub.url}/{REPO}" in error["message"] and "HF_TOKEN" in error["message"]
    assert failure(m, "org/nosuch")["code"] == "model_not_found"
    hub.repos["org/none"] = {"model.safetensors": b"x"}
    assert "GGUF" in failure(m, "org/none")["message"]
    hub.token = "hf_secret"
    assert "HF_TOKEN" in failure(m, "org/secret")["message"]
    for name in ("nosuch", "../x", "ftp://host/x.gguf", "o/r:"):
        answer = m.post("/v1/pull", {"model": name})
        assert answer.status == 400 and answer.error["param"] == "model", answer
    answer = m.post("/v1/pull", {"model": "https://elsewhere.example/x.gguf"})
    assert answer.status == 403 and "pull.hosts" in answer.error["message"]
    assert m.delete("/v1/downloads/nosuch").status == 404
    assert ids(m) == []


def test_the_token_is_for_the_hub_only(puller, hub, data):
    hub.token = "hf_secret"
    m = puller(env={"HF_TOKEN": "hf_secret"})
    arrived(m, hub, data, pull(m))
    assert set(hub.sent_tokens("hub")) == {"Bearer hf_secret"} and len(hub.sent_tokens("hub")) > 2
    assert hub.count("cdn", "GET") == 1 and hub.sent_tokens("cdn") == []
    assert "hf_secret" not in m.log() + (m.folder / "state/downloads.json").read_text()


def test_where_keys_are_needed_some_may_pull(puller, hub):
    m = puller("--api-key", "usual", "--admin-key", "puller")
    bearer = {key: {"Authorization": f"Bearer {key}"} for key in ("usual", "puller")}
    for method, path in (("POST", "/v1/pull"), ("POST", "/v1/pull?dry_run=true"), ("POST", "/api/pull"), ("POST", "/models"),
                         ("DELETE", "/v1/downloads/none"), ("POST", "/v1/downloads/none/pause"),
                         ("POST", "/v1/downloads/none/resume")):
        answer = m.request(method, path, {"model": REPO} if method == "POST" else None, bearer["usual"])
        assert answer.status == 403 and b"admin_keys" in answer.body, (path, answer)
    assert hub.requests == []
    assert m.get("/v1/downloads", headers=bearer["usual"]).json["data"] == []
    assert m.post("/api/pull", {"model": REPO, "stream": False}, headers=bearer["puller"]).status == 200


def test_nothing_is_asked_offline(puller, hub):
    m = puller(env={"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE" in failure(m)["message"]
    assert hub.requests == []


def test_a_pull_survives_its_server(puller, hub, data):
    m = puller()
    hub.fault(FILE, ("stall", len(data) // 2))
    begun = m.post("/v1/pull", {"model": REPO})
    assert begun.status == 202 and begun.json["state"] in ("queued", "running"), begun
    assert m.post("/v1/pull", {"model": REPO}).json["id"] == begun.json["id"], "it is under way"
    assert hub.stalled.wait(harness.PATIENCE)
    harness.wait_until(lambda: parts(m) and parts(m)[0].stat().st_size == len(data) // 2, "half of it is there")
    harness.wait_until(lambda: hub.commit in (m.folder / "state/downloads.json").read_text(), "the commit is kept")
    assert ids(m) == [], "half a file is no model"
    m.kill()
    m.start()
    harness.wait_until(lambda: m.get("/v1/downloads").json["data"][0]["state"] == "done", "it goes on by itself")
    jobs = m.get("/v1/downloads").json["data"]
    assert [job["id"] for job in jobs] == [begun.json["id"]]
    arrived(m, hub, data, jobs[0])
    ranges = [headers.get("range") for s, method, _, headers in hub.requests if s == "cdn" and method == "GET"]
    assert ranges == [None, f"bytes={len(data) // 2}-"]


MIB = 1 << 20
LARGE = "large-Q8_0.gguf"


@pytest.fixture(scope="module")
def large_data(data):
    """A model in four pieces of 16 MiB, and a little more."""
    return data + os.urandom(4 * 16 * MIB + 12345 - len(data))


@pytest.fixture
def large(hub, large_data):
    hub.repos["org/large"] = {LARGE: large_data}
    return large_data


def ranges_of(hub, since=0):
    return sorted(headers.get("range") for s, method, _, headers in hub.requests[since:]
                  if s == "cdn" and method == "GET")


def pieces_of(m):
    """How much of each piece of the one part is there, by its map."""
    maps = list(m.models_dir.glob("**/*.minerva.incomplete.map"))
    return [size for size, in struct.iter_unpack("=Q", maps[0].read_bytes()[32:])] if maps else None


def large_arrived(m, hub, large, job):
    assert job["state"] == "done" and job["done_bytes"] == len(large), job
    assert (folder(m, "org/large") / "snapshots" / hub.commit / LARGE).read_bytes() == large
    assert not list(m.models_dir.glob("**/*.minerva*")), "neither a part nor a map is left"


def test_a_large_file_comes_in_ranges(puller, hub, large):
    m = puller()
    large_arrived(m, hub, large, pull(m, "org/large"))
    assert ranges_of(hub) == sorted([*(f"bytes={at * 16 * MIB}-{(at + 1) * 16 * MIB - 1}" for at in range(4)), f"bytes={64 * MIB}-"])


def test_one_range_at_once_is_one_request(puller, hub, large):
    m = puller(config="parallel = 1")
    large_arrived(m, hub, large, pull(m, "org/large"))
    assert hub.count("cdn", "GET") == 1


def test_each_range_goes_on_after_a_kill(puller, hub, large):
    m = puller()
    hub.fault(LARGE, *[("stall", 5 * MIB)] * 4)
    job = m.post("/v1/pull", {"model": "org/large"}).json
    shown = lambda: next(j for j in m.get("/v1/downloads").json["data"] if j["id"] == job["id"])
    harness.wait_until(lambda: pieces_of(m) == [5 * MIB] * 4 + [0], "all four are under way")
    harness.wait_until(lambda: hub.commit in (m.folder / "state/downloads.json").read_text(), "the commit is kept")
    m.kill()
    hub.release.set()
    asked = len(hub.requests)
    m.start()
    harness.wait_until(lambda: shown()["state"] == "done", "it goes on by itself")
    large_arrived(m, hub, large, shown())
    assert ranges_of(hub, asked) == sorted([*(f"bytes={at * 16 * MIB + 5 * MIB}-{(at + 1) * 16 * MIB - 1}" for at in range(4)),
                                            f"bytes={64 * MIB}-"]), "nothing is fetched twice"


def test_a_lost_range_is_gone_on_with(puller, hub, large):
    m = puller()
    hub.fault(LARGE, ("cut", 1000), ("answer", 503, {}))
    large_arrived(m, hub, large, pull(m, "org/large"))


def test_a_server_without_ranges_sends_all_of_a_large_file(puller, hub, large):
    m = puller()
    hub.fault(LARGE, *[("no ranges",)] * 8)
    large_arrived(m, hub, large, pull(m, "org/large"))


def test_a_wrong_range_is_not_used(puller, hub, large):
    m = puller()
    hub.fault(LARGE, ("wrong",))
    assert "hash" in failure(m, "org/large")["message"]
    assert ids(m) == [] and not parts(m) and not list(m.models_dir.glob("**/*.map"))
    large_arrived(m, hub, large, pull(m, "org/large"))


def test_ranges_keep_the_rate_together(puller, hub, large):
    m = puller(config='max_rate = "1MiB"')
    job = m.post("/v1/pull", {"model": "org/large"}).json
    shown = lambda: next(j for j in m.get("/v1/downloads").json["data"] if j["id"] == job["id"])
    harness.wait_until(lambda: hub.count("cdn", "GET") == 4 and shown()["done_bytes"] > 0, "it is under way")
    paused = m.post(f"/v1/downloads/{job['id']}/pause").json
    assert paused["done_bytes"] < 16 * MIB, "at such a rate all of it takes a minute"
    m.delete(f"/v1/downloads/{job['id']}")
    nothing_is_kept(m)


def half_of_it(m, hub, data, begin):
    """Begins a pull in the background, and holds it when half of it has come. Yields it with the job."""
    hub.fault(FILE, ("stall", len(data) // 2))
    watching = harness.in_background(begin, m)
    assert hub.stalled.wait(harness.PATIENCE)
    harness.wait_until(lambda: parts(m) and parts(m)[0].stat().st_size == len(data) // 2, "half of it is there")
    [job] = m.get("/v1/downloads").json["data"]
    return watching, job


def test_nothing_is_kept_of_a_pull_that_is_cancelled(puller, hub, data):
    m = puller()
    watching, job = half_of_it(m, hub, data, pull)
    cancelled = m.delete(f"/v1/downloads/{job['id']}")
    assert cancelled.status == 200 and cancelled.json["state"] == "cancelled" and cancelled.json["done_bytes"] == 0
    assert watching.result()["state"] == "cancelled"
    assert m.delete(f"/v1/downloads/{job['id']}").status == 409
    nothing_is_kept(m)
    assert ids(m) == []
    arrived(m, hub, data, pull(m))
    assert [headers.get("range") for s, method, _, headers in hub.requests if s == "cdn" and method == "GET"] == [None, None]


def nothing_is_kept(m):
    harness.wait_until(lambda: not [path for path in m.models_dir.glob("**/blobs/*")] and not parts(m), "nothing is kept")


def test_a_whole_part_of_a_model_is_not_kept_either(puller, hub, data):
    whole, cut = "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"
    hub.repos["org/two"] = {whole: b"\1" * 5000, cut: data, "other-Q4_0.gguf": b"\2" * 4000}
    m = puller()
    pull(m, "org/two/other-Q4_0.gguf")
    hub.fault(cut, ("stall", 1000))
    job = m.post("/v1/pull", {"model": "org/two:Q8_0"}).json
    assert hub.stalled.wait(harness.PATIENCE)
    blobs = folder(m, "org/two") / "blobs"
    assert (blobs / fake_hub.sha256(b"\1" * 5000)).exists(), "the first is whole"
    assert m.delete(f"/v1/downloads/{job['id']}").status == 200
    kept = [fake_hub.sha256(b"\2" * 4000)]
    harness.wait_until(lambda: [path.name for path in blobs.iterdir()] == kept, "another model's file alone stays")


def test_what_is_cancelled_while_it_is_paused_is_not_kept(puller, hub, data):
    m = puller()
    watching, job = half_of_it(m, hub, data, follow)
    assert m.post(f"/v1/downloads/{job['id']}/pause").status == 200
    assert watching.result()["state"] == "paused" and parts(m)
    m.stop()
    m.start()
    assert parts(m), "a pause keeps it"
    assert m.delete(f"/v1/downloads/{job['id']}").status == 200
    nothing_is_kept(m)


def test_what_another_goes_on_with_is_kept(puller, hub, data):
    m = puller()
    watching, job = half_of_it(m, hub, data, follow)
    assert m.post(f"/v1/downloads/{job['id']}/pause").status == 200
    assert watching.result()["state"] == "paused"
    hub.stalled.clear()
    hub.fault(FILE, ("stall", 1000))
    same = m.post("/v1/pull", {"model": f"{REPO}:Q8_0"}).json
    assert same["id"] != job["id"] and hub.stalled.wait(harness.PATIENCE)
    assert m.delete(f"/v1/downloads/{same['id']}").status == 200
    # Another pull gets its turn after the first was settled.
    hub.repos["org/second"] = {FILE: data}
    assert pull(m, "org/second")["state"] == "done"
    assert parts(m), "it is the paused one's too"
    assert m.delete(f"/v1/downloads/{job['id']}").status == 200
    harness.wait_until(lambda: not parts(m), "nobody wants it any more")


def test_what_a_failed_pull_left_goes_when_it_is_cancelled(puller, hub, data):
    m = puller()
    hub.fault(FILE, ("cut", 1000), ("redirect", "file:///etc/passwd"))
    assert "no address" in failure(m)["message"] and parts(m)
    [job] = m.get("/v1/downloads").json["data"]
    assert m.delete(f"/v1/downloads/{job['id']}").json["state"] == "cancelled"
    nothing_is_kept(m)
    assert m.delete(f"/v1/downloads/{job['id']}").status == 409


def test_a_part_of_another_host_is_not_kept(puller, hub):
    m = puller()
    hub.fault("x.gguf", ("stall", 1000))
    job = m.post("/v1/pull", {"model": f"{hub.cdn}/files/x.gguf"}).json
    assert hub.stalled.wait(harness.PATIENCE)
    harness.wait_until(lambda: parts(m), "some of it is there")
    assert m.delete(f"/v1/downloads/{job['id']}").status == 200
    nothing_is_kept(m)


def test_what_came_and_is_no_model_is_said_to_be_none(puller, hub):
    hub.repos["org/odd"] = {"odd-Q4_0.gguf": b"GGUF" + bytes(5000)}
    m = puller()
    code, out, err = cli(m, "pull", "org/odd")
    assert code != 0 and out == "" and "was pulled, but cannot be served" in err and "minerva rm org/odd:Q4_0" in err, (code, out, err)
    [job] = m.get("/v1/downloads").json["data"]
    assert job["state"] == "failed" and job["error"]["code"] == "invalid_model" and job["model_id"] == "org/odd:Q4_0", job
    assert m.chat("org/odd:Q4_0").status == 422
    code, out, err = cli(m, "rm", "org/odd:Q4_0", "--yes")
    assert code == 0 and ids(m) == [], (out, err)


def test_a_rate_is_kept_and_a_pause_shows_what_came(puller, hub, data):
    m = puller(config='max_rate = "256KiB"')
    job = m.post("/v1/pull", {"model": REPO}).json
    shown = lambda: next(j for j in m.get("/v1/downloads").json["data"] if j["id"] == job["id"])
    harness.wait_until(lambda: shown()["done_bytes"] > 0, "some of it came")
    paused = m.post(f"/v1/downloads/{job['id']}/pause").json
    assert paused["state"] == "paused" and 0 < paused["done_bytes"] < len(data), paused
    part, = parts(m)
    assert part.stat().st_size < len(data) // 2, "at such a rate all of it takes 12 s"


def test_a_pull_is_paused_over_a_restart(puller, hub, data):
    m = puller()
    watching, job = half_of_it(m, hub, data, follow)
    paused = m.post(f"/v1/downloads/{job['id']}/pause")
    assert paused.status == 200 and paused.json["state"] == "paused", paused
    assert m.post(f"/v1/downloads/{job['id']}/pause").status == 200, "twice is once"
    assert watching.result()["state"] == "paused", "who watches is told"
    assert 'minerva_pulls_open{state="paused"} 1' in m.get("/metrics").body.decode()
    # Other pulls go on meanwhile.
    hub.repos["org/second"] = {FILE: data}
    assert pull(m, "org/second")["state"] == "done"
    m.stop()
    asked = len(hub.requests)
    m.start()
    [_, kept] = m.get("/v1/downloads").json["data"]
    assert kept["id"] == job["id"] and kept["state"] == "paused", kept
    assert pull(m, "org/second")["state"] == "done", "one that is not paused is not held up"
    assert not [r for r in hub.requests[asked:] if REPO in r[2]], "nothing is asked for it"
    resumed = m.post(f"/v1/downloads/{job['id']}/resume")
    assert resumed.status == 200 and resumed.json["state"] in ("queued", "running"), resumed
    ended = pull(m)
    assert ended["id"] == job["id"] and ended["state"] == "done", ended
    assert (folder(m) / "snapshots" / hub.commit / FILE).read_bytes() == data and not parts(m)
    ranges = [headers.get("range") for s, method, path, headers in hub.requests if s == "cdn" and method == "GET" and REPO in path]
    assert ranges == [None, f"bytes={len(data) // 2}-"], "what was there is not fetched again"
    assert m.post(f"/v1/downloads/{job['id']}/pause").status == 409
    metrics = m.get("/metrics").body.decode()
    assert 'minerva_pulls_ended_total{outcome="done"} 2' in metrics
    assert f"minerva_pull_bytes_total {len(data) - len(data) // 2}" in metrics


@contextlib.contextmanager
def small_disk(folder):
    """A folder on a small disk of its own that has room for the model and little more. Yields a function that fills
    it."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", folder], check=True)

    def fill():
        with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def may_mount():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def test_a_disk_that_gets_full(puller, hub, data):
    m = puller()
    if not may_mount():  # a stand-in without mounting: each write fails in the same way
        resource.prlimit(m.process.pid, resource.RLIMIT_FSIZE, (len(data) // 2, len(data) // 2))
        assert "cannot write" in failure(m)["message"]
        assert ids(m) == []
        return
    with small_disk(folder(m)) as fill:
        hub.fault(FILE, ("hold", 300_000))
        watching = harness.in_background(failure, m)
        assert hub.stalled.wait(harness.PATIENCE)
        harness.wait_until(lambda: parts(m) and parts(m)[0].stat().st_size >= 256 << 10, "its begin is there")
        fill()
        hub.release.set()
        error = watching.result()
        assert "disk is full" in error["message"] and "Make room" in error["message"], error
        assert ids(m) == []
        error = failure(m)
        assert "make room" in error["message"], "it does not begin where there is none"
        (folder(m) / "ballast").unlink()
        arrived(m, hub, data, pull(m))
        assert len([r for r in hub.requests if r[0] == "cdn" and r[3].get("range")]) == 1, "what was there was kept"
        m.stop()


def test_pulling_it_again_ends_a_pause(puller, hub, data):
    m = puller()
    hub.fault(FILE, ("stall", 1000))
    job = m.post("/v1/pull", {"model": REPO}).json
    assert hub.stalled.wait(harness.PATIENCE)
    assert m.post(f"/v1/downloads/{job['id']}/pause").json["state"] == "paused"
    ended = pull(m)
    assert ended["id"] == job["id"]
    arrived(m, hub, data, ended)


def test_a_file_of_another_host(puller, hub, data):
    m = puller()
    hub.fault("x.gguf", ("cut", 1000))
    job = pull(m, f"{hub.cdn}/files/x.gguf")
    assert job["state"] == "done" and job["model_id"] == "x", job
    assert (m.models_dir / "x.gguf").read_bytes() == data and ids(m) == ["x"]
    assert "already" in failure(m, f"{hub.cdn}/files/x.gguf")["message"]
    assert "no GGUF file" in failure(m, f"{hub.cdn}/files/page.gguf")["message"]
    assert "404" in failure(m, f"{hub.cdn}/files/nosuch.gguf")["message"]
    assert ids(m) == ["x"] and not parts(m)


def test_events_tell_of_it(puller, hub):
    m = puller()
    connection = m.connect()
    connection.request("GET", "/v1/events")
    events = harness.Stream(connection, connection.getresponse())
    assert events.line() is not None
    pull(m)
    states = []
    while not states or states[-1] != "done":
        line = events.line()
        if line.startswith("data: ") and '"download"' in line:
            states.append(json.loads(line[len("data: "):])["download"]["state"])
    assert states[0] == "queued" and "running" in states
    events.drop()


def test_ollama_pulls_too(puller, hub, data):
    m = puller()
    answer = m.post("/api/pull", {"model": f"hf.co/{REPO}:Q8_0"})
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson", answer
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert lines[0] == {"status": "pulling manifest"} and lines[-1] == {"status": "success"}
    assert ids(m) == [f"{REPO}:Q8_0"]
    refused = m.post("/api/pull", {"model": "org/nosuch", "stream": False})
    assert refused.status == 404 and isinstance(refused.json["error"], str)
    streamed = m.post("/api/pull", {"model": "org/nosuch"})
    assert "check the name" in json.loads(streamed.body.decode().splitlines()[-1])["error"]
    hub.repos["org/second"] = {FILE: data}
    assert m.post("/api/pull", {"model": "org/second", "stream": False}).json == {"status": "success"}


class Feed:
    """GET /models/sse: the events about one name."""

    def __init__(self, m, model):
        connection = m.connect()
        connection.request("GET", "/models/sse")
        self.model = model
        self.stream = harness.Stream(connection, connection.getresponse())
        assert self.stream.line() is not None

    def until(self, last):
        told = []
        while not told or told[-1][0] != last:
            line = self.stream.line()
            if line.startswith("data: ") and (event := json.loads(line[len("data: "):]))["model"] == self.model:
                told.append((event["event"], event["data"]))
        return told


def test_llama_cpps_router_pulls_and_removes_too(puller, hub, data):
    m = puller()
    feed = Feed(m, f"{REPO}:Q8_0")
    assert m.post("/models", {"model": f"{REPO}:Q8_0"}).json == {"success": True}
    told = feed.until("download_finished")
    assert told[0] == ("model_status", {"status": "downloading"}), told
    assert ids(m) == [f"{REPO}:Q8_0"], "it is there when that is told"
    for event, what in told[1:-1]:
        if event == "download_progress":
            assert set(what["progress"]) == {FILE} and what["progress"][FILE]["total"] == len(data), what
    again = m.post("/models", {"model": f"{REPO}:Q8_0"})
    assert again.status == 400 and "already" in again.error["message"], again
    for name, status in (("org/nosuch", 404), (f"{REPO}:Q3_K_S", 400), ("", 400)):
        assert m.post("/models", {"model": name}).status == status, name
    assert m.delete("/models").status == 400
    assert m.delete("/models?model=a&model=b").status == 400
    assert m.delete(f"/models?model={REPO}:Q8_0").json == {"success": True}
    feed.until("model_remove")
    assert ids(m) == [] and not list((folder(m) / "blobs").iterdir())
    # /models/unload ends a download, as in llama.cpp's router.
    hub.fault(FILE, ("stall", 1000))
    assert m.post("/models", {"model": f"{REPO}:Q8_0"}).status == 200
    assert hub.stalled.wait(harness.PATIENCE)
    assert m.post("/models/unload", {"model": f"{REPO}:Q8_0"}).json == {"success": True}
    feed.until("download_failed")
    assert m.get("/v1/downloads").json["data"][0]["state"] == "cancelled"


def test_what_was_pulled_is_removed(puller, hub, data):
    hub.repos[REPO]["tiny-F16.gguf"] = data + b"\0"
    m = puller()
    for tag in ("Q8_0", "F16"):
        assert pull(m, f"{REPO}:{tag}")["state"] == "done"
    assert m.delete(f"/v1/models/{REPO.replace('/', '%2F')}/files").status == 409, "which of them?"
    path = f"/v1/models/{REPO.replace('/', '%2F')}:Q8_0/files"
    plan = m.delete(path + "?dry_run=true").json
    assert plan["removed"] is False and plan["freed_bytes"] == len(data) and len(plan["files"]) == 2, plan
    assert len(ids(m)) == 2
    assert m.chat(f"{REPO}:Q8_0").status == 200
    gone = m.delete(path).json
    assert gone["removed"] is True and gone["files"] == plan["files"], gone
    assert ids(m) == [f"{REPO}:F16"] and m.chat(f"{REPO}:Q8_0").status == 404
    assert m.get("/v1/models/stats").json["loaded_models"] == []
    assert [blob.name for blob in (folder(m) / "blobs").iterdir()] == [fake_hub.sha256(data + b"\0")]
    assert m.delete(path).status == 404
    # It can be fetched again in the same way.
    assert pull(m, f"{REPO}:Q8_0")["state"] == "done" and len(ids(m)) == 2
    assert m.request("DELETE", "/api/delete", {"model": f"hf.co/{REPO}:Q8_0"}).status == 200
    assert ids(m) == [f"{REPO}:F16"]
    assert m.request("DELETE", "/api/delete", {"model": "nosuch"}).status == 404


def test_what_is_being_fetched_is_not_removed(puller, hub, data):
    hub.repos[REPO]["tiny-F16.gguf"] = data + b"\0"
    m = puller()
    assert pull(m, f"{REPO}:Q8_0")["state"] == "done"
    hub.fault("tiny-F16.gguf", ("stall", 1000))
    m.post("/v1/pull", {"model": f"{REPO}:F16"})
    assert hub.stalled.wait(harness.PATIENCE)
    refused = m.delete(f"/v1/models/{REPO.replace('/', '%2F')}:Q8_0/files")
    assert refused.status == 409 and "being fetched" in refused.error["message"], refused
    assert ids(m) == [f"{REPO}:Q8_0"]


def cli(m, *args):
    done = subprocess.run([harness.MINERVA, *args, "--url", m.url], capture_output=True, text=True, timeout=harness.PATIENCE)
    return done.returncode, done.stdout, done.stderr


def test_the_command(puller, hub):
    m = puller()
    code, out, err = cli(m, "pull", "--list", REPO)
    assert code == 0 and f"{REPO}:Q8_0" in out and "fits" in out and "apache-2.0" in out, (out, err)
    code, out, err = cli(m, "pull", REPO)
    assert code == 0 and f"minerva run {REPO}:Q8_0" in out, (out, err)
    code, out, _ = cli(m, "pull", "--jobs")
    assert code == 0 and "done" in out
    code, _, err = cli(m, "pull", "org/nosuch")
    assert code == 4 and "check the name" in err
    code, _, err = cli(m, "pull")
    assert code == 2 and "org/repo" in err


class Terminal:
    """Runs the command on a terminal of its own."""

    def __init__(self, m, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(harness.MINERVA, [str(harness.MINERVA), *args, "--url", m.url])
        self.text = ""

    def until(self, part):
        while part not in self.text:
            readable, _, _ = select.select([self.fd], [], [], harness.PATIENCE)
            assert readable, self.text
            try:
                piece = os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the end of the terminal
                piece = ""
            assert piece, self.text
            self.text += piece

    def end(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.fd, 65536):
                self.text += piece.decode(errors="replace")
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_command_on_a_terminal(puller, hub, data):
    m = puller()
    hub.fault(FILE, ("stall", len(data) // 2))
    terminal = Terminal(m, "pull", REPO)
    terminal.until("apache-2.0")
    assert f"{REPO}:Q8_0" in terminal.text and "of the disk" in terminal.text and "are free" in terminal.text
    assert hub.stalled.wait(harness.PATIENCE)
    harness.wait_until(lambda: m.get("/v1/downloads").json["data"], "it is under way")
    [job] = m.get("/v1/downloads").json["data"]
    terminal.until("[")  # the bar
    os.kill(terminal.pid, signal.SIGINT)
    code = terminal.end()
    assert code != 0 and "goes on" in terminal.text and f"--cancel {job['id']}" in terminal.text, terminal.text
    assert m.get("/v1/downloads").json["data"][0]["state"] == "running"
    assert cli(m, "pull", "--pause", job["id"])[:2] == (0, f"{REPO}: paused\n")
    code, _, err = cli(m, "pull", "--pause", "nosuch")
    assert code == 4, err
    code, out, _ = cli(m, "pull", "--resume", job["id"])
    assert code == 0 and REPO in out
    hub.release.set()
    arrived(m, hub, data, pull(m))


def test_rm_asks_on_a_terminal(puller, hub):
    m = puller()
    pull(m)
    name = f"{REPO}:Q8_0"
    for said, left in (("n", [name]), ("y", [])):
        terminal = Terminal(m, "rm", name)
        terminal.until("[y/N]")
        assert "blobs" in terminal.text and "frees" in terminal.text
        os.write(terminal.fd, f"{said}\n".encode())
        code = terminal.end()
        assert (code == 0) == (said == "y"), terminal.text
        assert ids(m) == left
