"""Where requests go, on paper."""

import pytest

from minerva_cluster.board import Ask, Board, Chosen, ModelView, Prefix

HOT = ModelView(state="hot")
COLD = ModelView(ready_ms=4000)


def board_of(**nodes: dict[str, ModelView]) -> Board:
    board = Board()
    for node, models in nodes.items():
        board.publish(node, models)
    return board


def chosen(board: Board, ask: Ask, excluded: tuple[str, ...] = ()) -> Chosen:
    choice = board.choose(ask, excluded)
    assert choice is not None
    return choice


def conversation(turns: int, name: int = 1, block: int = 4000) -> Ask:
    return Ask("m", tuple(Prefix(name * 1000 + turn, (turn + 1) * block) for turn in range(turns)))


def test_a_hot_model_is_used_where_it_is() -> None:
    board = board_of(a={"m": COLD}, b={"m": HOT}, c={"m": COLD})
    for turn in range(20):
        assert chosen(board, conversation(1, turn)) == Chosen("b", 0.0)


def test_a_parked_model_is_woken_rather_than_loaded_elsewhere() -> None:
    board = board_of(a={"m": COLD}, b={"m": ModelView(state="parked", ready_ms=80)})
    assert chosen(board, Ask("m")).node == "b"


def test_a_node_without_the_file_is_no_candidate() -> None:
    board = board_of(a={"other": HOT}, b={"m": COLD})
    assert chosen(board, Ask("m")).node == "b"
    assert board.choose(Ask("m"), ("b",)) == Chosen("a", 0.0)  # which says that it has no such model
    assert board.choose(Ask("m"), ("a", "b")) is None


def test_nobody_has_it() -> None:
    board = board_of(a={"m": HOT}, b={"m": HOT})
    assert chosen(board, Ask("unknown")).node in ("a", "b")
    assert Board().choose(Ask("m")) is None


def test_what_has_to_leave_counts_by_how_likely_it_is_to_come_back() -> None:
    used_now = ModelView(ready_ms=1000, cost_ms=3000, victim_idle_s=0)
    used_long_ago = ModelView(ready_ms=1000, cost_ms=3000, victim_idle_s=3600)
    assert chosen(board_of(a={"m": used_now}, b={"m": used_long_ago}), Ask("m")).node == "b"
    roomy = ModelView(ready_ms=1500)
    assert chosen(board_of(a={"m": used_now}, b={"m": roomy}), Ask("m")).node == "b"


def test_of_two_loads_that_cost_alike_the_one_that_takes_the_older_model_away() -> None:
    def view(idle_s: float) -> ModelView:
        return ModelView(ready_ms=4000, cost_ms=3000, victim_idle_s=idle_s)

    for first, second in ("ab", "ba"):  # whichever the hash prefers
        board = board_of(**{first: {"m": view(2048)}, second: {"m": view(4096)}})
        assert chosen(board, Ask("m")).node == second
        board.publish(first, {"m": COLD})  # nothing has to leave there
        assert chosen(board, Ask("m")).node == first


def test_a_node_that_has_loaded_nothing_is_asked_like_the_others() -> None:
    new = ModelView(ready_ms=1100, is_guess=True)
    board = board_of(a={"m": ModelView(ready_ms=200, cost_ms=300)}, b={"m": new})
    assert chosen(board, Ask("m")) == Chosen("b", 200.0)  # nothing has to leave there
    board.publish("b", {"m": ModelView(ready_ms=1100)})  # by now it knows
    assert chosen(board, Ask("m")).node == "a"
    # A guess that is shorter than the other nodes' estimates stays as it is.
    assert chosen(board_of(a={"m": ModelView(ready_ms=1500)}, b={"m": new}), Ask("m")).expected_ms == 1100
    coming = ModelView(state="loading", ready_ms=1100, is_guess=True)
    assert chosen(board_of(a={"m": ModelView(ready_ms=200)}, b={"m": coming}), Ask("m")) == Chosen("b", 200.0)


def test_a_model_that_nobody_has_asked_for_takes_as_long_as_the_others() -> None:
    loading = ModelView(state="loading", ready_ms=200, slots=2, in_flight=2)
    board = board_of(a={"m": loading}, b={"m": ModelView(ready_ms=200)})
    assert chosen(board, Ask("m")).node == "b"  # by a guess of one second
    board.publish("b", {"n": ModelView(state="hot", service_ms=20)})
    board.publish("a", {"m": loading})
    assert chosen(board, Ask("m")) == Chosen("a", 210.0)


def test_a_cold_model_has_a_home_by_its_name() -> None:
    names = [f"m{number}" for number in range(100)]
    board = board_of(**{node: dict.fromkeys(names, COLD) for node in "abcd"})
    homes = {name: chosen(board, Ask(name)).node for name in names}
    assert {node: sum(home == node for home in homes.values()) for node in "abcd"} == pytest.approx(
        dict.fromkeys("abcd", 25), abs=15
    )
    again = board_of(**{node: dict.fromkeys(names, COLD) for node in "dcba"})
    assert homes == {name: chosen(again, Ask(name)).node for name in names}  # another ingress says the same
    board.remove("d")
    moved = [name for name in names if chosen(board, Ask(name)).node != homes[name]]
    assert set(moved) == {name for name in names if homes[name] == "d"}


def test_requests_for_a_model_that_is_being_loaded_join() -> None:
    board = board_of(a={"m": COLD, "n": COLD}, b={"m": COLD, "n": COLD})
    first = chosen(board, Ask("m"))
    board.sent(first.node, Ask("m"))
    assert chosen(board, Ask("m")).node == first.node
    # Another cold model goes where nothing is loaded.
    assert chosen(board, Ask("n")).node != first.node
    board.publish(first.node, {"m": HOT})
    board.ended(first.node, Ask("m"))
    assert chosen(board, Ask("m")) == Chosen(first.node, 0.0)


def test_loads_are_forgotten_once_they_have_ended() -> None:
    board = board_of(a={"m": COLD, "n": COLD})
    for _ in range(3):
        board.sent("a", Ask("m"))
        board.publish("a", {"m": ModelView(state="loading", ready_ms=2000)})
        board.publish("a", {"m": HOT})
        board.ended("a", Ask("m"))
        board.publish("a", {"m": COLD})
    assert chosen(board, Ask("n")).expected_ms == 4000
    board.sent("a", Ask("m"))  # fails
    board.ended("a", Ask("m"))
    assert chosen(board, Ask("n")).expected_ms == 4000


def test_a_long_line_makes_a_second_node_hot() -> None:
    board = board_of(a={"m": ModelView(state="hot", slots=2, service_ms=1000)}, b={"m": COLD})
    nodes = []
    for request in range(24):
        ask = conversation(1, request)
        nodes.append(chosen(board, ask).node)
        board.sent(nodes[-1], ask)
    # The load takes four seconds, and a copy is worth eight seconds of line: sixteen requests in two slots.
    assert nodes[:18] == ["a"] * 18
    assert nodes[18] == "b"


def test_what_others_send_counts_too() -> None:
    busy = ModelView(state="hot", slots=1, in_flight=3, service_ms=2000)
    board = board_of(a={"m": busy}, b={"m": HOT})
    assert chosen(board, Ask("m")).node == "b"


def test_two_hot_nodes_share() -> None:
    board = board_of(a={"m": ModelView(state="hot", slots=4)}, b={"m": ModelView(state="hot", slots=4)})
    for request in range(8):
        ask = conversation(1, request)
        board.sent(chosen(board, ask).node, ask)
    assert board.choose(Ask("m")) is not None
    shares = [sum(board.choose(conversation(1, n)) == Chosen(node, 0.0) for n in range(100)) for node in "ab"]
    assert sum(shares) in (0, 100)  # equally long lines: a node is chosen by the conversation alone


def test_a_conversation_stays() -> None:
    board = board_of(a={"m": HOT}, b={"m": HOT}, c={"m": HOT})
    homes = {}
    for name in range(30):
        ask = conversation(1, name)
        homes[name] = chosen(board, ask).node
        board.sent(homes[name], ask)
        board.ended(homes[name], ask)
    assert set(homes.values()) == {"a", "b", "c"}
    for name in range(30):
        longer = chosen(board, conversation(3, name))
        assert (longer.node, longer.kept_characters) == (homes[name], 4000)


def test_a_conversation_leaves_where_waiting_costs_more_than_reading_again() -> None:
    board = board_of(a={"m": HOT}, b={"m": HOT})
    board.has_read(Ask("m"), 10_000, 10_000)  # a millisecond a character
    ask = conversation(2)
    board.sent("a", ask)
    board.ended("a", ask)
    board.publish("a", {"m": ModelView(state="hot", slots=1, in_flight=3, service_ms=2000)})  # six seconds of line
    assert chosen(board, ask).node == "a"  # eight to read again
    board.publish("a", {"m": ModelView(state="hot", slots=1, in_flight=5, service_ms=2000)})
    assert chosen(board, ask).node == "b"
    assert chosen(board, ask, ("b",)).node == "a"


def test_a_dead_node_keeps_nothing() -> None:
    board = board_of(a={"m": HOT}, b={"m": COLD})
    ask = conversation(2)
    board.sent("a", ask)
    board.remove("a")
    assert chosen(board, ask).node == "b"
    board.ended("a", ask)  # its request ends after it
    board.publish("a", {"m": COLD})
    assert board.nodes() == ["b", "a"]


def test_aliases_and_removed_models() -> None:
    board = Board()
    board.publish("a", {"m": HOT, "n": HOT}, names={"gpt": "m"})
    board.publish("b", {"m": COLD}, names={})
    assert chosen(board, Ask("gpt")).node == "a"
    assert board.model("gpt") == "m"
    assert board.nodes_of("gpt") == ["a", "b"]
    board.publish("a", {}, removed=("m",), names={})
    assert board.nodes_of("m") == ["b"]
    assert board.model("gpt") == "gpt"


def test_one_copy_without_need_is_given_back() -> None:
    hot = ModelView(state="hot", slots=4)
    board = board_of(a={"m": hot}, b={"m": hot}, c={"m": COLD})
    ((node, model),) = board.surplus()
    assert model == "m"
    other = board_of(b={"m": hot}, c={"m": COLD}, a={"m": hot})
    assert other.surplus() == [(node, "m")]
    board.publish(node, {"m": ModelView(state="hot", slots=4, in_flight=1)})
    assert board.surplus() == []
    left = "a" if node == "b" else "b"
    board.publish(node, {"m": hot})
    board.publish(left, {"m": ModelView(state="hot", slots=4, in_flight=3)})  # one copy would be too busy soon
    assert board.surplus() == []
