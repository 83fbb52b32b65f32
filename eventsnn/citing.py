"""Which papers are behind what is used: each class that has a source carries it as ``papers``."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import __version__

AUTHORS, TITLE = "The eventsnn developers", "eventsnn: spiking neural networks in continuous time, event by event"


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
            fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv"}
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
        return "\n".join([f"@{kind}{{{self.key},", *lines, "}"])


EVENTPROP = Paper(
    ("T. C. Wunderlich", "C. Pehle"),
    "Event-based backpropagation can compute exact gradients for spiking neural networks",
    "Scientific Reports 11", 2021, journal=True,
)  # fmt: skip
LEARNED_DELAYS = Paper(
    ("B. Mészáros", "J. C. Knight", "T. Nowotny"),
    "Efficient event-based delay learning in spiking neural networks",
    "Nature Communications", 2025, "2501.07331", journal=True,
)  # fmt: skip

DCLS_DELAYS = Paper(
    ("I. Hammouamri", "I. Khalfaoui-Hassani", "T. Masquelier"),
    "Learning delays in spiking neural networks using dilated convolutions with learnable spacings", "ICLR", 2024,
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


def citation(
    network: Any, loss: Any = None, optimizer: Any = None, *, regularizers: Any = (), bibtex: bool = False
) -> str:
    """Return what to cite: this library, and the papers behind a network, a loss, an optimiser and regularizers.

    Parameters: ``network``: a Network or a GridNetwork; ``loss``, ``optimizer``, ``regularizers``: those it is trained
    with, if any; ``bibtex``: as entries of BibTeX in place of one line each. Whatever has an attribute ``papers``
    (tuple of citing.Paper) is asked for it, a loss of your own too. Data have sources of their own: see their pages.
    """
    papers = papers_of(network, loss, regularizers, optimizer)
    if not bibtex:
        return "\n".join([f"{AUTHORS}, {TITLE}, version {__version__}.", *(paper.text() for paper in papers)])
    fields = {"author": f"{{{AUTHORS}}}", "title": f"{{{TITLE}}}", "version": __version__}
    own = "\n".join(["@misc{eventsnn,", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])
    return "\n\n".join([own, *(paper.bibtex() for paper in papers)])
