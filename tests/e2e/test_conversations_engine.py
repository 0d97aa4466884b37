"""Conversations that outlive their engine, by one engine alone: they go on as if it had never ended, or are read anew.

tests/campaigns/parking.py does the first over all architectures. Engines are in their sandbox, as everywhere.
"""
import os

import pytest

import architectures
from bare_engine import BareEngine, Conversations, prompt, talk
from harness import in_background, wait_until
from tiny_models import generate

MODEL = ["--embd", "512", "--layers", "4", "--ffn", "1536", "--quant", "q4_0"]
LONG = prompt(1, 600)
MORE = [5, 6, 7]


@pytest.fixture(scope="session")
def model():
    return generate("parking", MODEL)


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "conversations"
    folder.mkdir(mode=0o700)
    return Conversations(folder)


@pytest.fixture
def engine(model, kept):
    """Calls start an engine; with the one before it ends."""
    running = []

    def start(*flags, context=4096, slots=1, file=model):
        if running:
            running.pop().close()
        running.append(BareEngine(file, "-np", str(slots), *flags, context=context * slots, conversations=kept))
        return running[-1]

    yield start
    for one in running:
        one.close()


def end_by_signal(engine):
    engine.process.kill()
    engine.process.wait()


# ---- the same answers ----

@pytest.mark.parametrize("flags", [[], ["--no-repack"], ["-fa", "off"], ["-ctk", "q8_0", "-ctv", "q8_0"]],
                         ids=["repacked", "mapped", "transposed", "quantized"])
def test_a_conversation_goes_on_after_each_restart(model, kept, engine, flags):
    with BareEngine(model, "-np", "2", *flags, context=8192) as never_ended:
        expected = talk(never_ended, 4, (0, 1), first=lambda slot: prompt(slot, 300))
    said = []
    texts = {slot: prompt(slot, 300) for slot in (0, 1)}
    for turn in range(4):
        running = engine(*flags, slots=2)
        for slot in (0, 1):
            said.append(running.complete(texts[slot], slot=slot))
            texts[slot] = texts[slot] + said[-1][0] + [5 + turn, 7 + slot]
        running.save()
        end_by_signal(running)
    assert said == expected, "tokens, log-probabilities, and how many tokens were read"
    assert len(kept.files()) == 8


def test_it_is_said_how_much_came_from_files(kept, engine):
    first = engine().complete(LONG)
    running = engine()
    assert running.complete(LONG)[2] == 600 and running.restored == 0, "nothing was saved"
    running.save()
    running = engine()
    text = LONG + first[0] + MORE
    assert running.complete(text)[2] == 4
    assert running.restored == 611
    running.measure()
    told = running.told.pop()["restored"]
    assert (told["tenant"], told["tokens"], told["name"]) == ("0", 611, kept.files()[0].name)
    assert told["bytes"] == kept.files()[0].stat().st_size
    assert running.complete(text)[2] == 1 and running.restored == 0, "the slot has it now"


def test_a_slot_that_has_as_much_is_left_alone(engine):
    running = engine(slots=2)
    running.complete(LONG)
    running.save()
    assert running.complete(LONG + MORE)[2] == 3
    assert running.restored == 0


def test_a_slot_that_holds_only_the_beginning_does_not_hide_the_rest(engine):
    running = engine()
    running.complete(LONG)
    running.save()
    running = engine()
    running.complete(LONG[:300] + prompt(9, 20))
    assert running.complete(LONG + MORE)[2] == 3
    assert running.restored == 600


def test_what_llama_cpp_would_not_choose_is_not_restored(engine):
    """Of several slots it takes one with a tenth of the prompt, and otherwise the one that rests longest."""
    running = engine(slots=2)
    running.complete(LONG)
    running.save()
    running = engine(slots=2)
    longer = LONG[:50] + prompt(9, 550)
    assert running.complete(longer)[2] == 600 and running.restored == 0
    running = engine(slots=2)
    assert running.complete(longer, slot=1)[2] == 550 and running.restored == 50
    running = engine(slots=2)
    assert running.complete(LONG[:100] + prompt(9, 500))[2] == 500 and running.restored == 100


def test_while_another_slot_answers(kept, engine):
    """Saves and restores come between two batches of a stream."""
    running = engine(slots=2)
    answer = running.complete(LONG, slot=1)
    running.save()
    running = engine(slots=2)
    alone = running.complete(prompt(3), count=1500, slot=0)
    running = engine(slots=2)
    stream = in_background(running.complete, prompt(3), count=1500, slot=0)
    wait_until(lambda: running.busy(0), "the stream begins")
    assert running.complete(LONG + answer[0] + MORE, slot=1)[2] == 4
    running.save()
    assert running.busy(0), "it is still under way"
    assert stream.result()[0] == alone[0]
    running.measure()
    assert [line["restored"]["tokens"] for line in running.told] == [611]


# ---- what is written ----

def test_only_new_tokens_are_written(kept, engine):
    running = engine()
    answer = running.complete(LONG, count=1)
    first = running.save()
    assert running.save() == 0
    row = first / 600
    longer = LONG + answer[0] + prompt(2, 200)
    running.complete(longer, count=1)
    assert row * 201 * 0.9 < running.save() < row * 201 * 1.2
    assert engine().complete(longer + MORE)[2] == 3


@pytest.fixture(scope="session")
def windows():
    """A model whose attention has windows."""
    return next(iter(architectures.models(["gemma3"]).values()))


LONGER = ["--override-kv", "gemma3.context_length=int:4096"]  # than it was trained for


def of_windows(seed, count):
    return prompt(seed, count, first=3, kinds=97)


def test_a_turn_writes_one_state_of_windows(kept, engine, windows):
    """An end state takes as much as a window, and so does each checkpoint: they are most of what is written."""
    running = engine(*LONGER, file=windows)
    text = of_windows(1, 900)
    text += running.complete(text, count=8)[0]
    running.save()
    written = []
    for new in (10, 200, 200):
        text += of_windows(new, new)
        text += running.complete(text, count=8)[0]
        written.append(running.save())
    assert len(kept.files()) == 4
    row = (written[1] - written[0]) / 190
    assert row < written[0] / 100, "a state is much more than a row, and no turn has one more than another"
    assert abs(written[2] - written[1]) < written[0] / 20


@pytest.mark.parametrize("back", [0, 30, 250, 350, 850])
def test_a_conversation_with_windows_goes_on_further_back(kept, engine, windows, back):
    """A prompt that has not all of it: an answer is asked for again, or a message was changed."""
    text = of_windows(1, 900)
    running = engine(*LONGER, file=windows)
    text += running.complete(text, count=40)[0]
    running.save()
    changed = text[:len(text) - back] + of_windows(2, 20)
    running = engine(*LONGER, file=windows)
    answer = running.complete(changed)
    if back < 300:
        assert answer[2] <= 21, "the windows have all that is needed"
    alone = BareEngine(windows, "-np", "1", *LONGER, context=4096)
    with alone:
        assert alone.complete(changed)[0] == answer[0]


def test_a_common_beginning_is_kept_once(kept, engine):
    running = engine(slots=2)
    running.complete(LONG + prompt(2, 100), count=1, slot=0)
    alone = running.save()
    running.complete(LONG + prompt(3, 100), count=1, slot=1)
    assert running.save() < alone / 5
    running = engine(slots=2)
    assert running.complete(LONG + prompt(3, 100) + MORE)[2] == 3
    assert running.restored == 700


def test_a_long_conversation_is_several_files(kept, engine):
    """A file takes 32 MiB at most, and a token 16 KiB here."""
    flags = ["-ctk", "f32", "-ctv", "f32", "-b", "1024", "-ub", "1024"]
    text = prompt(4, 4080)
    running = engine(*flags)
    answer = running.complete(text, count=2)
    running.save()
    assert len(kept.files()) == 2
    assert max(file.stat().st_size for file in kept.files()) < 33 << 20
    running = engine(*flags)
    assert running.complete(text + answer[0] + MORE, count=2)[2] == 4


def test_what_does_not_rest_yet_is_not_saved(kept, engine):
    running = engine()
    running.complete(LONG)
    assert running.save_once(rest=3_600_000) == {"saved": {}, "more": True}, "it will rest"
    assert kept.files() == []
    running.save()
    assert running.save_once() == {"saved": {}, "more": False}


@pytest.mark.parametrize("more", [{"cache_prompt": False}, {"n_cache_reuse": 64}])
def test_what_is_private_or_shifted_leaves_nothing(kept, engine, more):
    running = engine()
    running.complete(LONG, **more)
    assert running.save_once()["saved"] == {}
    assert kept.files() == []


def test_another_lora_scale_is_another_conversation(kept, engine):
    running = engine()
    scaled = {"lora": [{"id": 0, "scale": 0.5}]}
    running.complete(LONG, **scaled)
    assert running.save_once()["saved"] == {}
    assert running.complete(LONG)[2] == 600, "what was read under another scale is not found"
    assert running.save_once()["saved"], "others are kept as before"
    assert running.complete(LONG, lora=[{"id": 0, "scale": 0.25}])[2] == 600
    assert running.complete(LONG, **scaled)[2] == 1, "its own is found, in the host prompt cache"


def test_a_private_prompt_is_not_found_in_its_slot(engine):
    running = engine()
    running.complete(LONG, cache_prompt=False)
    assert running.complete(LONG)[2] == 600


def test_full_disk(kept, engine):
    running = engine()
    running.complete(LONG)
    kept.file = lambda: os.open("/dev/full", os.O_RDWR)
    answer = running.save_once()
    assert "No space left" in answer["refused"] and answer["saved"] == {}
    del kept.file
    assert running.save() > 0, "it goes on"


def test_no_descriptor_is_left(kept, engine):
    running = engine("--cache-ram", "0")
    running.complete(LONG)
    running.save()

    def descriptors():
        return len(os.listdir(f"/proc/{running.pid}/fd"))

    before = descriptors()
    for i in range(5):
        running.complete(prompt(10 + i, 100))
        running.save()
        running.complete(LONG + [5 + i])
        assert running.restored == 600
    wait_until(lambda: descriptors() <= before, "as many descriptors as before")


def test_slots_that_share_cells_are_not_kept(kept, engine):
    """But no conversation is lost when another tenant's request begins."""
    running = engine("--kv-unified", slots=2)
    running.complete(LONG, tenant="a")
    running.complete(prompt(9), tenant="b")
    assert running.complete(LONG + MORE, tenant="a")[2] == 3
    assert "kv-unified" in running.save_once()["why_not"]
    assert kept.files() == []


# ---- what is damaged is read anew ----

def damage(kind, path, other):
    contents = bytearray(path.read_bytes())
    if kind.startswith("flipped"):
        contents[int(len(contents) * float(kind.split()[1]))] ^= 0x40
    elif kind == "cut":
        del contents[-1:]
    elif kind == "empty":
        contents.clear()
    elif kind == "another's":
        contents = other.read_bytes()
    path.write_bytes(contents)


@pytest.mark.parametrize("kind", ["flipped 0", "flipped 0.0001", "flipped 0.3", "flipped 0.9999", "cut", "empty",
                                  "another's"])
def test_damage(model, kept, engine, kind):
    running = engine()
    answer = running.complete(LONG)
    running.save()
    running.complete(prompt(5, 300))
    running.save()
    longer = LONG + answer[0] + MORE
    with BareEngine(model, "-np", "1", context=4096) as fresh:
        expected = fresh.complete(longer)
    first, second = kept.files()
    damage(kind, first, second)
    running = engine()
    assert running.complete(longer) == expected, "read anew"
    assert running.restored == 0
    running.complete(prompt(5, 300) + MORE)
    assert running.restored > 0, "the other one is used"
    running.measure()
    assert [line["unusable"]["name"] for line in running.told if "unusable" in line] == [first.name]


def test_files_that_are_gone(kept, engine):
    running = engine()
    answer = running.complete(LONG, count=1)
    running.save()
    longer = LONG + answer[0] + prompt(2, 100)
    running.complete(longer, count=1)
    running.save()
    running = engine()
    running.measure()
    kept.files()[1].unlink()
    assert running.complete(longer)[2] == 101 and running.restored == 600, "the parent is still there"
    running = engine()
    kept.files()[0].unlink()
    assert running.complete(longer)[2] == 701


def test_a_file_that_has_no_name_yet_is_not_forgotten(kept, engine):
    running = engine()
    running.complete(LONG)
    kept.name = lambda file, saved: None
    assert running.save() > 0
    assert running.save() == 0, "the daemon is about to name it"


@pytest.mark.parametrize("whose", ["a", "all"])
def test_what_was_removed_is_not_written_again(kept, engine, whose):
    running = engine(slots=2)
    running.complete(LONG, tenant="a", slot=0)
    running.save()
    running.complete(prompt(9), tenant="b", slot=1)
    running.say(f"forget {whose}\n")
    kept.files()[0].unlink()
    running.save()
    assert {file.parent.name for file in kept.files()} == ({"b"} if whose == "a" else set())
    running.complete(LONG + MORE, tenant="a", slot=0)
    running.save()
    assert running.restored == 0 and "a" in {file.parent.name for file in kept.files()}, "somebody goes on with it"


def test_another_model_with_the_same_folder(kept, engine):
    running = engine()
    running.complete(LONG)
    running.save()
    running = engine(file=generate("conversations", MODEL[:2] + ["--layers", "2", "--ffn", "512"]))
    assert running.complete(LONG + MORE)[2] == 603


def test_what_is_no_segment_is_left_alone(kept, engine):
    (kept.folder / "0").mkdir()
    for name in ("README", "0" * 32, "..."):
        (kept.folder / "0" / name).write_text("x")
    (kept.folder / "not a tenant").mkdir()
    running = engine()
    running.complete(LONG)
    running.measure()
    assert running.told == []


# ---- tenants ----

@pytest.mark.parametrize("slots", [1, 2])
def test_tenants_do_not_find_each_other_in_slots(engine, slots):
    running = engine(slots=slots)
    for tenant in ("a", "b", None, "c"):
        assert running.complete(LONG, tenant=tenant)[2] == 600, tenant
    assert running.complete(LONG + MORE, tenant="c")[2] == 3, "its own"


def test_tenants_find_their_own_in_the_host_cache(engine):
    running = engine()
    for tenant in ("a", "b"):
        running.complete(LONG, tenant=tenant)
    assert running.complete(LONG + MORE, tenant="a")[2] == 3
    assert running.complete(LONG + MORE, tenant="b")[2] == 3
    assert running.restored == 0


def test_a_request_that_does_not_begin_leaves_its_prompt_to_its_tenant(kept, engine):
    """The slot gets the prompt from the host cache before the grammar turns out to be wrong."""
    running = engine()
    running.complete(LONG, tenant="a")
    running.complete(prompt(9), tenant="b")
    with pytest.raises(AssertionError, match="samplers"):
        running.complete(LONG + MORE, tenant="a", grammar="root ::= (")
    assert running.complete(LONG + MORE, tenant="b")[2] == 603
    running.save()
    assert {file.parent.name for file in kept.files()} == {"b"}


def test_tenants_do_not_find_each_other_in_files(kept, engine):
    running = engine("--cache-ram", "0")
    running.complete(LONG, tenant="a")
    running.save()
    assert kept.files()[0].parent.name == "a"
    running = engine("--cache-ram", "0")
    assert running.complete(LONG, tenant="b")[2] == 600
    assert running.complete(LONG)[2] == 600
    assert running.complete(LONG + MORE, tenant="a")[2] == 3 and running.restored == 600


def test_one_after_the_other_in_one_slot(engine):
    """Many tenants with near-equal prompts, and no host cache to go to: each reads its own."""
    running = engine("--cache-ram", "0", slots=2)
    for i in range(24):
        tenant = "0123456789abcdef"[i % 8]
        before = running.complete(LONG[:100] + prompt(i, 20), count=2, tenant=tenant)
        assert before[2] == 120 or i >= 8, (i, before[2])
        again = running.complete(LONG[:100] + prompt(i, 20), count=2, tenant=tenant)
        assert again[2] == 1, (i, again[2])
