"""A look at a model that is not hot loads nothing, wakes nothing, and is no use of the model."""
import pytest

LOOKS = ("/props", "/slots", "/lora-adapters", "/metrics")


def look_around(m, state):
    """100 looks at `a`, of every kind."""
    connection = m.connect()
    for i in range(100):
        path = LOOKS[i % len(LOOKS)]
        connection.request("GET", f"{path}?model=a" + ("&autoload=false" if i % 3 == 0 else ""))
        response = connection.getresponse()
        body = response.read()
        if path == "/props":
            assert response.status == 200, body
            assert f'"state":"{state}"'.encode() in body
        else:
            assert response.status == 409 and b'"model_not_loaded"' in body, (path, body)
    connection.close()


def history(m):
    view = m.view("a") or {}
    return {key: view.get(key) for key in ("state", "access_count", "parks", "wakes")}, m.cache()


def test_at_a_cold_model(serve, models):
    m = serve(models={name: models[name] for name in ("a", "b")})
    m.use("b")
    before = history(m)
    look_around(m, "cold")
    assert history(m) == before
    assert m.loaded() == ["b"] and m.state("a") == "cold"
    assert not m.engines("a")


def test_at_a_parked_model(serve, models):
    m = serve(models={"a": models["a"]})
    m.use("a")
    assert m.load("a", verb="park").json["state"] == "parked"
    before = history(m)
    look_around(m, "parked")
    assert history(m) == before
    assert m.state("a") == "parked"
    assert m.get("/props?model=a").json["is_sleeping"] is True


def test_at_a_hot_model_it_is_relayed_and_no_use(serve, models):
    m = serve("--max-models", 2, models={name: models[name] for name in ("a", "b", "c")},
              config='policy = "lru"\n[model.a]\nargs = ["--metrics"]\n')
    m.use("a", "b")
    before = history(m)
    for _ in range(10):
        assert m.get("/props?model=a").json["default_generation_settings"]["params"]
        assert m.get("/slots?model=a").json[0]["id"] == 0
        assert m.get("/lora-adapters?model=a").json == []
        assert b"llamacpp:" in m.get("/metrics?model=a").body
    m.settle()
    assert history(m) == before
    m.use("c")  # `a` is still the one that was used least recently
    assert m.loaded() == ["b", "c"]


def test_what_is_known_has_the_fields_of_an_engine(serve, models):
    m = serve(models={"a": models["a"]})
    cold = m.get("/props?model=a").json
    assert cold["state"] == "cold" and cold["is_sleeping"] is False
    m.use("a")
    hot = m.get("/props?model=a").json
    for key in set(cold) - {"state", "default_generation_settings"}:
        assert key in hot, key
    for key in ("total_slots", "model_path", "modalities", "chat_template"):
        assert cold[key] == hot[key], key
    assert cold["default_generation_settings"]["n_ctx"] == hot["default_generation_settings"]["n_ctx"]


@pytest.mark.parametrize("path", LOOKS[:3])
def test_autoload_loads_first(serve, models, path):
    m = serve(models={"a": models["a"]})
    refused = m.get(f"{path}?model=a&autoload=true", headers={"Sec-Fetch-Site": "same-origin"})
    assert refused.status == 403, refused
    assert m.get(f"{path}?model=a&autoload=perhaps").status == 400
    assert m.state("a") == "cold"
    answer = m.get(f"{path}?model=a&autoload=true")
    assert answer.status == 200 and b'"cold"' not in answer.body, answer
    assert m.state("a") == "hot"


def test_nobody_is_looked_at_who_is_not_there(serve):
    m = serve()
    for path in LOOKS:
        assert m.get(f"{path}?model=nosuch").error["code"] == "model_not_found"
    assert m.get("/props").json["role"] == "router"
    assert m.get("/metrics").body.startswith(b"# HELP minerva_")
