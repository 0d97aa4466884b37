"""Parking, by one engine alone: its answers afterwards are what they would have been without; and what it refuses."""
import os
import resource
import signal
import stat

import pytest

from bare_engine import BareEngine, prompt, talk
from harness import in_background
from tiny_models import generate

# Large enough that the KV cache, the repacked weights and a conversation in the host prompt cache are large blocks.
MODEL = ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"]
LONG = prompt(100, 400)


def answer(engine):
    """The answer to the same prompt, repeated. The first answer is another computation (a prefill), so it does not
    count."""
    engine.complete(LONG, slot=0)
    return engine.complete(LONG, slot=0)


@pytest.fixture(scope="session")
def model():
    return generate("parking", MODEL)


@pytest.fixture
def engine(model):
    with BareEngine(model, "-np", "2", context=4096) as running:
        yield running


def compare(model, *flags, turns=4, slots=(0,), **kwargs):
    """Holds the same conversations with and without parking. Returns the answers to each park and wake."""
    answers = []
    with BareEngine(model, *flags, "-np", str(len(slots)), **kwargs) as engine:
        expected = talk(engine, turns, slots)
    assert len({token for tokens, *_ in expected for token in tokens}) > len(expected), "it says different things"

    with BareEngine(model, *flags, "-np", str(len(slots)), **kwargs) as engine:
        def park_and_wake(turn):
            hot = engine.private_bytes()
            parked = engine.park(drop=turn % 2 == 1)
            assert parked["parked"] and "refused" not in parked, parked
            assert engine.private_bytes() < hot
            woken = engine.wake()
            assert not woken["parked"], woken
            answers.append((parked, woken))

        assert talk(engine, turns, slots, park_and_wake) == expected
        assert engine.process.poll() is None
    return answers


# ---- the same answers ----

def test_mapped_weights(model):
    answers = compare(model, "--no-repack")
    assert all(parked["written_bytes"] > 0 for parked, _ in answers)
    assert max(parked["image_bytes"] for parked, _ in answers) < 8 << 20, "weights are not in the image"


def test_repacked_weights(model):
    answers = compare(model)
    assert answers[0][0]["image_bytes"] > 8 << 20, "the repacked weights are in the image"
    assert all(parked["written_bytes"] < 2 << 20 for parked, _ in answers[1:]), "they are written once"


@pytest.mark.parametrize("weights", [[], ["--no-repack"]], ids=["repacked", "mapped"])
def test_a_part_of_its_pages_is_given_back(model, weights):
    """The answers after a park are what they would have been without."""
    def run(parks):
        with BareEngine(model, "-np", "1", *weights) as engine:
            def park_and_wake(turn):
                parked = engine.park(drop=turn == 0)  # so that the disk has all of the image
                if turn > 0:
                    tail = engine.drop(4 << 20)
                    assert tail["parked"] and 4 << 20 <= tail["dropped_bytes"] <= 6 << 20, (parked, tail)
                woken = engine.wake()
                assert woken["parked"] is False
                if turn > 0 and weights:
                    assert 0 < woken["missing_bytes"] < parked["cached_bytes"] == sum(
                        woken[part] for part in ("cached_bytes", "missing_bytes")), (parked, tail, woken)
                assert engine.drop(4 << 20)["dropped_bytes"] == 0, "it is awake"

            return talk(engine, 4, between=park_and_wake if parks else lambda turn: None)

    assert run(parks=True) == run(parks=False)


def test_several_slots(model):
    compare(model, slots=(0, 1, 2, 3), context=4096)


@pytest.mark.parametrize("weights", [[], ["--no-repack"]], ids=["repacked", "mapped"])
def test_quantized_cache(model, weights):
    compare(model, "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on", *weights, slots=(0, 1), context=2048)


def test_conversations_in_the_host_prompt_cache(model):
    def run(parks):
        with BareEngine(model, "-np", "1", "--cache-ram", "64", context=2048) as engine:
            said = []
            for number in (0, 1, 2, 0, 1, 2, 0):
                said.append(engine.complete(prompt(number, 600)))
                if parks:
                    assert engine.park()["parked"]
                    assert not engine.wake()["parked"]
            return said

    expected = run(parks=False)
    assert [prefilled for _, _, prefilled in expected[:3]] == [600] * 3
    assert all(prefilled < 50 for _, _, prefilled in expected[3:]), "they come from the host prompt cache"
    assert run(parks=True) == expected


def test_embeddings():
    model = generate("e", ["--arch", "bert", "--embd", "256", "--layers", "4", "--ffn", "1024"])

    def run(parks):
        with BareEngine(model, "--embeddings", context=512) as engine:
            found = []
            for number in range(4):
                found.append(engine.post("/v1/embeddings", {"model": "e", "input": [prompt(number, 100)]})["data"])
                if parks:
                    parked = engine.park(drop=number == 2)
                    assert parked["parked"], parked
                    assert not engine.wake()["parked"]
            return found

    assert run(parks=True) == run(parks=False)


def test_many_times_in_a_row_without_a_word_between(engine):
    said = answer(engine)
    first = engine.park()
    for _ in range(20):
        engine.wake()
        parked = engine.park()
        assert parked["image_bytes"] <= first["image_bytes"] + (64 << 10), (first, parked)
    assert engine.park()["written_bytes"] == 0, "it is parked"
    engine.wake()
    assert engine.wake()["parked"] is False
    assert answer(engine) == said


def test_a_request_that_comes_while_it_is_parked_waits(engine):
    said = answer(engine)
    assert engine.park()["parked"]
    request = in_background(engine.complete, LONG, slot=0)
    assert engine.park(drop=True)["parked"] and engine.drop(1)["parked"] and not request.done
    engine.wake()
    assert request.result() == said


def test_what_is_left_of_it(engine):
    answer(engine)
    hot = engine.memory()["Anonymous"]
    for drop in (False, True):
        parked = engine.park(drop=drop)
        assert abs(parked["residue_bytes"] - engine.memory()["Anonymous"]) < 1 << 20, parked
        assert 0 < parked["residue_bytes"] < hot and parked["image_wanted_bytes"] == 0, (hot, parked)
    assert engine.wake()["residue_bytes"] == 0


# ---- refusals ----

def test_an_engine_that_works_is_not_parked(engine):
    body = engine.completion(LONG, 1500, 0) | {"stream": True, "n_probs": 0}
    connection = engine.open("/completion", body)
    stream = connection.getresponse()
    assert stream.readline().startswith(b"data: ")
    refused = engine.try_to_park()
    assert refused["parked"] is False and refused["refused"] == "it is working", refused
    assert b'"stop":true' in stream.read().splitlines()[-2]
    connection.close()
    assert engine.park()["parked"]


def test_an_image_over_its_limit_is_refused(engine):
    said = answer(engine)
    needed = engine.park()["image_bytes"]
    engine.wake()
    engine.complete(prompt(9), slot=1)
    for most in (0, 1 << 20, needed // 2):
        refused = engine.park(most)
        assert refused["parked"] is False and f"{most} are allowed" in refused["refused"], refused
        assert refused["image_wanted_bytes"] >= needed and refused["residue_bytes"] == 0, refused
    assert answer(engine) == said
    assert engine.park()["parked"]


def test_a_full_disk_refuses_and_leaves_it_hot(model):
    def run(limited):
        with BareEngine(model) as engine:
            said = [engine.complete(LONG)]
            if limited:
                unlimited = resource.prlimit(engine.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (3 << 20, unlimited[1]))
                refused = engine.park()
                assert refused["parked"] is False and "cannot write its image" in refused["refused"], refused
            said.append(engine.complete(LONG + [9]))
            if limited:
                assert engine.park()["parked"] is False
                resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, unlimited)
                assert engine.park()["parked"]
                engine.wake()
            said.append(engine.complete(LONG + [9, 10]))
            return said

    assert run(limited=True) == run(limited=False)


@pytest.mark.parametrize("folder, why", [(None, "no folder for its image was given"),
                                         ("/nowhere/at/all", "cannot make a file in /nowhere/at/all"),
                                         ("/dev/shm", "in memory")])
def test_without_a_disk_it_says_so_and_works(model, folder, why):
    with BareEngine(model, image_folder=folder) as engine:
        assert engine.greeting["protocol"] == 2 and engine.greeting["can_park"] is False, engine.greeting
        assert why in engine.greeting["why_not"]
        said = answer(engine)
        assert why in engine.park()["refused"]
        assert engine.wake()["parked"] is False
        assert answer(engine) == said


# ---- the protocol ----

def test_its_first_word(engine):
    assert engine.greeting == {"protocol": 2, "can_park": True}


def test_lines_that_mean_nothing_are_ignored(engine):
    engine.say("park\npark 1\npark 1 x\npark 1 -1\npark 1 1 2\npark 1 1 drop\ndrop 1\npark 1 99999999999999999999\n"
               "park x 1\nPARK 1 1\nwake\nwake up\n\n\0\n \nfly 3\nsharers\n")
    engine.say("x" * 100_000 + "\n" + "sharers 2\n")
    assert engine.park()["parked"] is True
    assert engine.wake()["parked"] is False


def test_a_line_may_come_in_pieces_and_several_at_once(engine):
    engine.park()  # then it rests
    engine.wake()
    for piece in ("pa", "rk 5 1", "000000000000", "\nwa", "ke 7\npark 6 0\n"):
        engine.say(piece)
    answers = [engine.answer() for _ in range(3)]
    assert [(answer["id"], answer["parked"]) for answer in answers] == [(5, True), (7, False), (6, False)]


def test_on_a_pipe_nothing_is_parked(model):
    with BareEngine(model, stdin="pipe") as engine:
        said = answer(engine)
        engine.say("park 1 1000000000000\nsharers 2\n")
        assert answer(engine) == said


def test_it_ends_with_its_daemon_while_parked(engine):
    assert engine.park()["parked"]
    engine.answers.close()
    engine.control.close()
    assert engine.process.wait(60) == 0


# ---- the image ----

def flip_a_byte(path):
    """Of the last stored page."""
    with open(path, "r+b") as image:
        at = end = os.fstat(image.fileno()).st_size
        while (start := os.lseek(image.fileno(), max(at - 4096, 0), os.SEEK_DATA)) >= end:
            at -= 4096
        image.seek(start)
        byte = image.read(1)
        image.seek(start)
        image.write(bytes([byte[0] ^ 1]))


def test_a_damaged_image_ends_the_engine(engine):
    engine.complete(LONG)
    assert engine.park()["parked"]
    flip_a_byte(engine.image_descriptor())
    engine.wake()
    assert engine.end() == signal.SIGABRT
    assert "its image is damaged" in engine.log()


def test_a_shortened_image_ends_the_engine(engine):
    engine.complete(LONG)
    assert engine.park()["parked"]
    os.truncate(engine.image_descriptor(), 1 << 20)
    engine.wake()
    assert engine.end() in (signal.SIGABRT, signal.SIGBUS)


def test_nobody_finds_the_image(engine):
    engine.complete(LONG)
    image = engine.image_descriptor()
    for state in ("hot", "parked", "woken"):
        status = os.stat(image)
        assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_nlink == 0 and status.st_uid == os.getuid()
        assert os.listdir(engine.images) == [], state
        if state == "hot":
            assert engine.park()["parked"]
            assert os.stat(image).st_blocks > 0
        elif state == "parked":
            engine.wake()
    engine.park()
    # A file without links is gone with its last descriptor, which the engine has.
    engine.process.send_signal(signal.SIGKILL)
    assert engine.end() == signal.SIGKILL
    assert os.listdir(engine.images) == []


def test_a_parked_engine_that_is_killed_while_it_writes(model):
    with BareEngine(model) as engine:
        engine.complete(LONG)
        engine.say(f"park 1 {1 << 40}\n")
        engine.process.send_signal(signal.SIGKILL)
        assert engine.end() == signal.SIGKILL
        assert os.listdir(engine.images) == []
