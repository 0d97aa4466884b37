"""llama-swap's API, as its users' scripts call it."""
from harness import in_background


def test_running_and_unloading(serve):
    m = serve("--max-models", 2)
    assert m.get("/running").json == {"running": []}
    m.use("a", "b")
    running = m.get("/running").json["running"]
    assert [(entry["model"], entry["state"]) for entry in running] == [("a", "ready"), ("b", "ready")], running
    assert set(running[0]) == {"model", "state", "cmd", "proxy", "ttl", "name", "description"}

    answer = m.post("/api/models/unload/a")
    assert answer.status == 200 and answer.body == b"OK", answer
    assert m.loaded() == ["b"]
    answer = m.post("/api/models/unload")
    assert answer.status == 200 and answer.json == {"msg": "ok"}, answer
    assert m.get("/running").json == {"running": []} and m.engines() == []

    m.use("a")
    answer = m.get("/unload")
    assert answer.status == 200 and answer.body == b"OK" and m.engines() == [], answer
    assert m.get("/unload").status == 200, "nothing is loaded"
    assert m.post("/api/models/unload/nosuch").error["code"] == "model_not_found"


def test_a_parked_model_leaves_too(serve):
    m = serve("--max-models", 1)
    m.use("a", "b")
    assert m.state("a") == "parked"
    assert [entry["model"] for entry in m.get("/running").json["running"]] == ["b"]
    assert m.get("/unload").status == 200
    assert m.engines() == [] and m.state("a") == "cold"


def test_an_image_in_a_page_unloads_nothing(serve):
    m = serve()
    m.use("a")
    for site in ("same-origin", "cross-site", "none"):
        assert m.get("/unload", headers={"Sec-Fetch-Site": site}).status == 403, site
    assert m.loaded() == ["a"]


def test_an_unload_waits_for_what_runs(serve, slow_model):
    m = serve(models={"slow": slow_model})
    stream = m.chat_stream("slow", max_tokens=12)
    stream.token()
    unload = in_background(m.get, "/unload")
    assert stream.rest()[-1] == "[DONE]"
    assert unload.result().status == 200
    assert m.engines() == []


def test_logs(serve):
    m = serve()
    m.use("a")
    text = m.get("/logs").body.decode()
    assert text and all(line.startswith("[a] ") for line in text.splitlines()), text
    connection = m.connect()
    connection.request("GET", "/logs/stream/a?no-history")
    follow = connection.getresponse()
    assert follow.status == 200 and follow.getheader("content-type") == "text/plain; charset=utf-8"
    everything = m.connect()
    everything.request("GET", "/logs/stream")
    of_all = everything.getresponse()
    assert of_all.readline().startswith(b"[a] ")
    m.use("a")
    assert not follow.readline().startswith(b"[a] ")
    assert m.get("/logs/stream/nosuch").error["code"] == "model_not_found"
    for response, link in ((follow, connection), (of_all, everything)):
        response.close()
        link.close()
