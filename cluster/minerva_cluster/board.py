"""Board: what an ingress knows of the nodes, and on which of them a request gets its first token soonest.

Pure: it looks at no clock and sends nothing. Threading: a Board has a lock, since Serve's router runs in a thread of
its own. It does not know Ray.

The expected time to first token of a model on a node is the sum of
  - what the node's daemon says until the model can serve (0 if it is hot),
  - what the models that leave for it will cost when they are asked again, times the chance that somebody asks soon,
  - loads that this node has to end before,
  - the model's line there: what has no slot yet, times how long a request takes,
less the time that reading the prompt again elsewhere would take, where the node keeps the conversation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable

# Nodes whose times differ by less are alike: a hash of the model or of the conversation then chooses among them, so that
# several ingresses agree without talking to each other.
ALIKE_MS = 5.0
ALIKE_SHARE = 0.1
# A copy on a further node takes memory there: it has to be so many times as soon as waiting where the model is.
COPY_GAIN = 2.0
# A model that was idle for this long comes back with even chance; a model that was used just now comes back surely.
HORIZON_S = 60.0
MOST_CONVERSATIONS = 200_000
RESIDENT = frozenset({"hot", "parked", "waking", "parking"})
COMING = frozenset({"loading", "preparing"})
USUAL_SLOTS = 2  # of a model that nobody has loaded yet
USUAL_SERVICE_MS = 1_000.0  # before any request has ended
USUAL_READING_MS_PER_CHARACTER = 0.5
SHARE_OF_LATEST = 0.2  # in an average that follows what changes


@dataclasses.dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a conversation, up to the end of one of its blocks."""

    key: int  # hash of the model, the API key and all blocks so far
    characters: int


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What a request is about."""

    model: str = ""  # as the request names it; empty: it names none
    prefixes: tuple[Prefix, ...] = ()  # the shortest first

    @property
    def characters(self) -> int:
        return self.prefixes[-1].characters if self.prefixes else 0


@dataclasses.dataclass(frozen=True, slots=True)
class ModelView:
    """A model on a node, as the node publishes it."""

    state: str = "cold"
    ready_ms: float = 0.0  # until it can serve, by the daemon's dry run
    is_guess: bool = False  # ready_ms is guessed from the file's size: this node has loaded nothing yet
    cost_ms: float = 0.0  # until all models that leave for it could serve again
    victim_idle_s: float = 0.0  # since the latest use of one of these
    slots: int = USUAL_SLOTS
    in_flight: int = 0  # requests that have a slot or wait for one
    service_ms: float | None = None  # how long a request has its slot; None: nobody has asked for it here


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    node: str
    expected_ms: float
    kept_characters: int = 0  # of the conversation that this node keeps


class _Node:
    __slots__ = ("asked", "entries", "id", "in_flight", "loading_ms", "names", "salt")

    def __init__(self, node: str) -> None:
        self.id = node
        self.salt = _hash(node)
        self.entries: dict[str, _Entry] = {}
        self.names: dict[str, str] = {}
        self.in_flight = 0  # of this ingress
        self.loading_ms = 0.0  # loads that requests of this ingress have begun


class _Entry:
    """A model on a node."""

    __slots__ = ("cold", "ms", "node", "pending", "sent", "view")

    def __init__(self, node: _Node) -> None:
        self.node = node
        self.view = ModelView()
        self.sent = 0  # requests of this ingress that are under way
        self.pending = False  # a request of this ingress has begun its load
        self.cold = False
        self.ms = 0.0

    def weigh(self, usual_service_ms: float | None) -> None:
        view = self.view
        hot = view.state == "hot"
        ready = 0.0 if hot else view.ready_ms
        if not hot and not self.pending and view.state not in COMING:
            ready += view.cost_ms / (1.0 + view.victim_idle_s / HORIZON_S)
        line = max(view.in_flight, self.sent) - view.slots + 1
        if line > 0:
            known = (ms for ms in (view.service_ms, usual_service_ms) if ms is not None)
            ready += line * next(known, USUAL_SERVICE_MS) / max(view.slots, 1)
        self.cold = not self.pending and view.state not in RESIDENT and view.state not in COMING
        self.ms = ready

    def begin_load(self) -> None:
        self.pending = True
        self.node.loading_ms += self.view.ready_ms

    def end_load(self) -> None:
        self.pending = False
        self.node.loading_ms = max(0.0, self.node.loading_ms - self.view.ready_ms)


def averaged(average: float | None, latest: float) -> float:
    """The average with one more value. `average`: None before the first value."""
    return latest if average is None else average * (1 - SHARE_OF_LATEST) + latest * SHARE_OF_LATEST


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _weight(key: int, salt: int) -> int:
    """Of a node for a key: the node with the highest one has it (rendezvous hashing, Thaler and Ravishankar 1998)."""
    mixed = ((key ^ salt) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 31
    return (mixed * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF


class Board:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[str, _Node] = {}
        self._table: dict[str, dict[str, _Entry]] = {}  # by model, then by node
        self._aliases: dict[str, str] = {}
        self._homes: OrderedDict[int, str] = OrderedDict()  # by a prefix's key
        self._reading: dict[str, float] = {}  # by model: milliseconds a character
        self._service_ms: float | None = None  # what is usual; None: no request has ended yet

    # ---- what nodes say ----

    def publish(
        self,
        node: str,
        models: dict[str, ModelView],
        removed: Iterable[str] = (),
        names: dict[str, str] | None = None,
    ) -> None:
        """What has changed on a node. `names`: all other names of its models."""
        with self._lock:
            here = self._nodes.setdefault(node, _Node(node))
            for model in removed:
                entry = here.entries.pop(model, None)
                if entry is not None:
                    if entry.pending:
                        entry.end_load()
                    self._forget(model, node)
            for model, view in models.items():
                entry = here.entries.get(model)
                if entry is None:
                    entry = here.entries[model] = self._table.setdefault(model, {})[node] = _Entry(here)
                if view.service_ms is not None and view.service_ms != entry.view.service_ms:
                    self._service_ms = averaged(self._service_ms, view.service_ms)
                if entry.pending:
                    entry.end_load()
                    entry.view = view
                    if view.state != "hot" and entry.sent > 0:
                        entry.begin_load()
                entry.view = view
                entry.weigh(self._service_ms)
            if names is not None:
                here.names = dict(names)
                self._aliases = {name: model for other in self._nodes.values() for name, model in other.names.items()}

    def remove(self, node: str) -> None:
        """The node is gone, with its conversations."""
        with self._lock:
            here = self._nodes.pop(node, None)
            for model in here.entries if here else ():
                self._forget(model, node)

    def _forget(self, model: str, node: str) -> None:
        of_model = self._table.get(model, {})
        of_model.pop(node, None)
        if not of_model:
            self._table.pop(model, None)

    # ---- what this ingress does ----

    def choose(self, ask: Ask, excluded: Collection[str] = ()) -> Chosen | None:
        """The node for a request; nothing if there is none. Where no node has the model, any node may refuse it."""
        with self._lock:
            return self._choose(ask, excluded)

    def _choose(self, ask: Ask, excluded: Collection[str]) -> Chosen | None:
        model = self._model(ask.model)
        entries = self._table.get(model, {})
        there: list[tuple[float, _Entry]] = []  # where the model is, or will be soon
        elsewhere: list[tuple[float, _Entry]] = []
        # A node that has loaded nothing yet counts as quick as the quickest that has: else it would never be asked.
        known = (entry.view.ready_ms for entry in entries.values() if entry.cold and not entry.view.is_guess)
        known_ms = min(known, default=float("inf"))
        for entry in entries.values():
            if entry.node.id in excluded:
                continue
            ms = entry.ms
            if entry.view.is_guess:
                ms -= max(0.0, entry.view.ready_ms - known_ms)
            if entry.cold:
                elsewhere.append((ms + entry.node.loading_ms, entry))
            else:
                there.append((ms, entry))
        if not there and not elsewhere:
            return self._any(ask, excluded)
        least_there = min((ms for ms, _ in there), default=float("inf"))
        least_elsewhere = min((ms for ms, _ in elsewhere), default=float("inf"))
        stays = bool(there) and least_there <= max(least_elsewhere * COPY_GAIN, ALIKE_MS)
        weighed, least = (there, least_there) if stays else (elsewhere, least_elsewhere)
        if not elsewhere:
            weighed, least = there, least_there
        home, kept = self._home(ask, excluded)
        if home is not None and home in entries:
            entry = entries[home]
            ms = entry.ms + (entry.node.loading_ms if entry.cold else 0.0)
            if ms <= least + kept * self._reading.get(model, USUAL_READING_MS_PER_CHARACTER):
                return Chosen(home, ms, kept)
        most = least + max(ALIKE_MS, least * ALIKE_SHARE)
        alike = [(ms, entry) for ms, entry in weighed if ms <= most]
        of_model = _hash(model)
        key = ask.prefixes[0].key if ask.prefixes else of_model

        def order(item: tuple[float, _Entry]) -> tuple[float, float, int]:
            entry = item[1]
            view = entry.view
            if entry.cold:  # where nothing has to leave, or what nobody has used for longest: one memory, as it were
                return int(view.cost_ms > 0), -view.victim_idle_s, -_weight(of_model, entry.node.salt)
            return max(view.in_flight, entry.sent), 0, -_weight(key, entry.node.salt)

        ms, best = min(alike, key=order)
        return Chosen(best.node.id, ms)

    def _any(self, ask: Ask, excluded: Collection[str]) -> Chosen | None:
        others = [node for node in self._nodes.values() if node.id not in excluded]
        if not others:
            return None
        key = _hash(ask.model)
        best = min(others, key=lambda node: (node.in_flight, -_weight(key, node.salt)))
        return Chosen(best.id, 0.0)

    def _home(self, ask: Ask, excluded: Collection[str]) -> tuple[str | None, int]:
        """The node that keeps the longest part of the conversation, and how many characters that has."""
        for prefix in reversed(ask.prefixes):
            node = self._homes.get(prefix.key)
            if node is not None and node in self._nodes and node not in excluded:
                return node, prefix.characters
        return None, 0

    def sent(self, node: str, ask: Ask) -> None:
        """The request is on its way to the node, which keeps the conversation from now on."""
        with self._lock:
            here = self._nodes.get(node)
            if here is not None:
                here.in_flight += 1
                entry = here.entries.get(self._model(ask.model))
                if entry is not None:
                    entry.sent += 1
                    if entry.view.state != "hot" and not entry.pending:
                        entry.begin_load()
                    entry.weigh(self._service_ms)
            for prefix in ask.prefixes:
                self._homes[prefix.key] = node
                self._homes.move_to_end(prefix.key)
            while len(self._homes) > MOST_CONVERSATIONS:
                self._homes.popitem(last=False)

    def ended(self, node: str, ask: Ask) -> None:
        """A request that was sent there has ended, however."""
        with self._lock:
            here = self._nodes.get(node)
            if here is None:
                return
            here.in_flight = max(0, here.in_flight - 1)
            entry = here.entries.get(self._model(ask.model))
            if entry is not None and entry.sent > 0:
                entry.sent -= 1
                if entry.sent == 0 and entry.pending:
                    entry.end_load()
                entry.weigh(self._service_ms)

    def has_read(self, ask: Ask, characters: int, ms: float) -> None:
        """A hot model without a line took so long until its first token, for a prompt of which it kept nothing."""
        if characters < 1000:
            return  # mostly other work
        model = self._model(ask.model)
        with self._lock:
            self._reading[model] = averaged(self._reading.get(model), ms / characters)

    def surplus(self) -> list[tuple[str, str]]:
        """(node, model): hot there without need, since another node has it hot and slots for all its requests.

        Every ingress names the same nodes."""
        given_back = []
        with self._lock:
            for model, entries in self._table.items():
                hot = [entry for entry in entries.values() if entry.view.state == "hot"]
                if len(hot) < 2:
                    continue
                hot.sort(key=lambda entry: -_weight(_hash(model), entry.node.salt))
                in_flight = sum(max(entry.view.in_flight, entry.sent) for entry in hot)
                slots = sum(entry.view.slots for entry in hot)
                for entry in reversed(hot[1:]):
                    slots -= entry.view.slots
                    if in_flight > slots / 2 or entry.view.in_flight > 0 or entry.sent > 0:
                        break
                    given_back.append((entry.node.id, model))
        return given_back

    # ---- views ----

    def _model(self, name: str) -> str:
        return name if name in self._table else self._aliases.get(name, name)

    def model(self, name: str) -> str:
        """The id of a model by any of its names; the name itself if no node has it."""
        with self._lock:
            return self._model(name)

    def nodes(self) -> list[str]:
        with self._lock:
            return list(self._nodes)

    def views(self, node: str) -> dict[str, ModelView]:
        with self._lock:
            here = self._nodes.get(node)
            return {model: entry.view for model, entry in here.entries.items()} if here else {}

    def nodes_of(self, name: str) -> list[str]:
        """The nodes that have the model's file."""
        with self._lock:
            return list(self._table.get(self._model(name), {}))
