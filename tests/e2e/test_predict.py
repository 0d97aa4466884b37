"""Models that are loaded before anybody asks for them, by earlier requests."""
from harness import wait_until

CONFIG = "[predict]\npreload = true\n"


def test_what_follows_is_loaded_before_it_is_asked_for(serve):
    m = serve(config=CONFIG)
    for _ in range(4):
        m.use("a")
        m.use("b")
    m.delete("/v1/models/b")
    assert m.state("b") == "cold"

    m.use("a")
    wait_until(lambda: m.state("b") == "hot", "b is loaded, as it follows a")
    assert m.view("b")["preloaded"] and m.view("b")["access_count"] == 0
    said = m.get("/v1/decisions?model=b").body.decode()
    assert r'it is preloaded: after \"a\" this user asked for it' in said
    assert m.metric("minerva_predictions_total") == 1
    assert m.metric("minerva_predictions_used_total") == 0

    answer = m.chat("b")
    assert answer.status == 200, answer
    assert answer.headers["x-minerva-cache"] == "hit"
    assert m.metric("minerva_predictions_used_total") == 1
    assert m.metric("minerva_predictions_saved_seconds_total") > 0
    assert m.metric("minerva_predictions_wasted_total") == 0


def test_nothing_is_loaded_on_a_guess_unless_told_to(serve):
    m = serve()
    for _ in range(4):
        m.use("a")
        m.use("b")
    m.delete("/v1/models/b")
    m.use("a")
    assert m.state("b") == "cold"
    assert m.metric("minerva_predictions_total") == 0
