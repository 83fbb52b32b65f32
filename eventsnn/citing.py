"""Which papers are behind what is used: each class that has a source carries it as ``papers``."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import __version__
from .errors import InvalidInput

AUTHORS, TITLE = "The eventsnn developers", "eventsnn: spiking neural networks in continuous time, event by event"
YEAR = 2026
# {argument of citation: (what an object must have to be one, what to write)}; their classes stand on higher floors
ROLES = {
    "network": (("populations", "connections"), "a Network or a GridNetwork: citation(network, loss, optimizer)"),
    "loss": (("probes", "__call__"), "a loss, such as losses.MeanVoltage(), or None"),
    "optimizer": (("initialize", "step"), "an optimiser, such as Adam(1e-3), or None"),
    "regularizers": (("probes", "__call__"), "a list of losses, such as [losses.SpikeCountTarget('hidden', 3.0)]"),
}


@dataclass(frozen=True)
class Paper:
    """A source: ``authors`` ("A. Name" each), ``title``, ``venue`` and ``year``, and ``arxiv`` number where it has one.

    ``journal``: whether the venue is a journal; else it is a conference.
    """

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    arxiv: str = ""
    journal: bool = False

    @property
    def key(self) -> str:
        """The name of the entry in BibTeX: first author, year, and the title's first word of at least four letters."""
        word = next((word for word in self.title.split() if len(word) > 3), self.title)
        parts = (self.authors[0].split()[-1], str(self.year), word)
        return "".join(letter for letter in "".join(parts).lower() if letter.isascii() and letter.isalnum())

    @property
    def url(self) -> str:
        """Where it can be read: its address on arXiv, "" for one that is not there."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    def text(self) -> str:
        """Return the source in one line."""
        *others, last = self.authors
        names = f"{', '.join(others)} and {last}" if others else last
        arxiv = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f'{names}, "{self.title}", {self.venue} ({self.year}){arxiv}.'

    def bibtex(self) -> str:
        """Return the source as an entry of BibTeX."""
        kind, place = ("article", "journal") if self.journal else ("inproceedings", "booktitle")
        fields = {"author": " and ".join(self.authors), "title": f"{{{self.title}}}", place: self.venue}
        fields["year"] = str(self.year)
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv", "url": self.url}
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
        return "\n".join([f"@{kind}{{{self.key},", *lines, "}"])


EVENTPROP = Paper(
    ("T. C. Wunderlich", "C. Pehle"),
    "Event-based backpropagation can compute exact gradients for spiking neural networks",
    "Scientific Reports 11", 2021, "2009.08378", journal=True,
)  # fmt: skip
LEARNED_DELAYS = Paper(
    ("B. Mészáros", "J. C. Knight", "T. Nowotny"),
    "Efficient event-based delay learning in spiking neural networks",
    "Nature Communications", 2025, "2501.07331", journal=True,
)  # fmt: skip

DCLS_DELAYS = Paper(
    ("I. Hammouamri", "I. Khalfaoui-Hassani", "T. Masquelier"),
    "Learning delays in spiking neural networks using dilated convolutions with learnable spacings", "ICLR", 2024,
    "2306.17670",
)  # fmt: skip
DELREC = Paper(
    ("A. Queant", "U. Rançon", "B. R. Cottereau", "T. Masquelier"),
    "DelRec: learning delays in recurrent spiking neural networks", "arXiv", 2025, "2509.24852", journal=True,
)  # fmt: skip


def papers_of(*things: Any) -> list[Paper]:
    """Return the papers behind objects and what they hold, each once, in the order in which they are met."""
    found: dict[Paper, None] = {}
    for thing in _walk(things, set()):
        papers = getattr(thing, "papers", ())
        found |= dict.fromkeys(paper for paper in papers if isinstance(paper, Paper))
    return list(found)


def _walk(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Yield what has been made of classes: the thing, and what it holds."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, complex, np.ndarray, np.generic, Paper)):
        return
    seen.add(id(thing))
    if isinstance(thing, Mapping):
        held = list(thing.values())
    elif isinstance(thing, (tuple, list)):
        held = list(thing)
    elif inspect.isroutine(thing) or inspect.isclass(thing) or inspect.ismodule(thing):
        return
    else:
        yield thing
        held = list(getattr(thing, "__dict__", {}).values())
    for item in held:
        yield from _walk(item, seen)


def _check_role(role: str, thing: Any, index: int | None = None) -> None:
    """Refuse what cannot be meant by an argument of ``citation``: text, classes, and what belongs to another."""
    needed, allowed = ROLES[role]
    if inspect.isclass(thing) or not all(hasattr(thing, name) for name in needed):
        # an address in memory says nothing
        value = type(thing).__name__ if type(thing).__repr__ is object.__repr__ else thing
        raise InvalidInput(role, index, value, allowed, _remedy(thing))


def _remedy(thing: Any) -> str:
    """What to write in place of an argument that is in the place of another, or is a class."""
    if inspect.isclass(thing):
        return f"{thing.__name__} is a class: pass the object that was made of it."
    fitting = [role for role, (needed, _) in ROLES.items() if all(hasattr(thing, name) for name in needed)]
    return f"It is fit for {fitting[0]}=." if fitting else ""


def citation(
    network: Any, loss: Any = None, optimizer: Any = None, *, regularizers: Any = (), bibtex: bool = False
) -> str:
    """Return what to cite: this library, and the papers behind a network, a loss, an optimiser and regularizers.

    Parameters: ``network``: a Network or a GridNetwork; ``loss``, ``optimizer``, ``regularizers``: those it is trained
    with, if any; ``bibtex``: as entries of BibTeX in place of one line each. Whatever has an attribute ``papers``
    (tuple of citing.Paper) is asked for it, a loss of your own too. Data have sources of their own: see their pages.
    Raises InvalidInput for what is none of these, and for a class in place of an object.
    """
    _check_role("network", network)
    for role, thing in (("loss", loss), ("optimizer", optimizer)):
        if thing is not None:
            _check_role(role, thing)
    if not isinstance(regularizers, (list, tuple)):
        raise InvalidInput("regularizers", None, regularizers, ROLES["regularizers"][1])
    for index, regularizer in enumerate(regularizers):
        _check_role("regularizers", regularizer, index)
    papers = papers_of(network, loss, regularizers, optimizer)
    if not bibtex:
        return "\n".join([f"{AUTHORS}, {TITLE}, version {__version__}.", *(paper.text() for paper in papers)])
    fields = {"author": f"{{{AUTHORS}}}", "title": f"{{{TITLE}}}", "year": f"{YEAR}", "version": __version__}
    own = "\n".join(["@misc{eventsnn,", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])
    return "\n\n".join([own, *(paper.bibtex() for paper in papers)])
