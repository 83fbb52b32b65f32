"""What to cite: each class carries its sources, and the library says the same of itself everywhere."""

import re
import tomllib
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest

import eventsnn
from eventsnn import SGD, Adam, Cosine, GridNetwork, Kaiming, Network, Normal, Uniform, citation, losses, surrogate
from eventsnn.citing import AUTHORS, EVENTPROP, LEARNED_DELAYS, TITLE, Paper, papers_of
from eventsnn.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[1]


def network(**settings):
    made = Network()
    made.add_input("in", 3)
    made.add_readout("out", 2)
    made.connect("in", "out", weight=Normal(1.0, 0.1), **settings)
    return made


def test_a_network_is_after_eventprop_and_trained_delays_after_their_paper():
    assert papers_of(network()) == [EVENTPROP]
    assert papers_of(network(delay=Uniform(0, 5), train="weight")) == [EVENTPROP]
    assert papers_of(network(delay=Uniform(0, 5))) == [EVENTPROP, LEARNED_DELAYS]


def test_losses_optimisers_and_initializers_bring_theirs():
    def titles(*things):
        return " ".join(paper.title for paper in papers_of(*things))

    assert "Loss shaping" in titles(losses.ExponentialMeanVoltage()) and titles(losses.MeanVoltage()) == ""
    assert titles(losses.RelativeFirstSpike()) == LEARNED_DELAYS.title
    assert "Adam" in titles(Adam()) and "Decoupled" not in titles(Adam())
    assert "Decoupled" in titles(Adam(weight_decay=0.1, decoupled=True))
    assert titles(SGD(0.1)) == "" and "momentum" in titles(SGD(0.1, momentum=0.9, nesterov=True))
    assert "SGDR" in titles(Adam(schedule=Cosine(10))) and "SGDR" in titles(
        Adam(learning_rates={"*.delay": (0.1, Cosine(10))})
    )
    assert "rectifiers" in titles(Kaiming())


def test_a_grid_brings_its_methods():
    grid = GridNetwork(dt=1.0)
    grid.add_input("in", 3)
    grid.add_lif("hidden", 4, surrogate=surrogate.Triangle())
    grid.add_readout("out", 2)
    spread = surrogate.Spread("gaussian", sigma=(6.0, 0.5), longest=12.0)
    grid.connect("in", "hidden", weight=Kaiming(), delay=Uniform(0, 12), spread=spread)
    grid.connect("hidden", "out", weight=Kaiming())
    found = citation(grid, losses.SummedVoltage())
    assert "dilated convolutions" in found and "DelRec" in found and "learning-to-learn" in found
    assert "exact gradients" not in found  # of which a grid has none
    assert found.count("rectifiers") == 1


def test_a_loss_of_ones_own_needs_no_other_file():
    mine = Paper(("A. Nobody",), "A loss of mine", "Journal of Losses", 2030, journal=True)

    @dataclass(frozen=True)
    class Mine(losses.MeanVoltage):
        papers: ClassVar = (mine,)

    assert mine.text() in citation(network(), Mine())
    assert "@article{nobody2030loss,\n" in citation(network(), Mine(), bibtex=True)


def test_text_and_bibtex_say_the_same():
    arguments = (network(delay=Uniform(0, 5)), losses.ExponentialMeanVoltage(), Adam())
    text, bibtex = citation(*arguments), citation(*arguments, bibtex=True)
    assert text.splitlines()[0] == f"{AUTHORS}, {TITLE}, version {eventsnn.__version__}."
    assert len(text.splitlines()) == len(re.findall(r"^@", bibtex, re.MULTILINE)) == 5
    keys = re.findall(r"^@\w+\{(\w+),$", bibtex, re.MULTILINE)
    assert len(set(keys)) == 5 and keys[:2] == ["eventsnn", "wunderlich2021eventbased"]
    assert bibtex.count("{") == bibtex.count("}") and "eprint = {2501.07331}" in bibtex
    pages = " ".join((ROOT / "docs/mathematics.md").read_text(encoding="utf-8").split())
    for paper in papers_of(*arguments[:2]):
        assert paper.title in pages and str(paper.year) in pages and paper.authors[0] in pages


@pytest.mark.parametrize("bibtex", [False, True])
@pytest.mark.parametrize(
    "change, said",
    [
        ({"network": "net"}, "network is 'net'; allowed: a Network or a GridNetwork"),
        ({"network": Network}, "Network is a class: pass the object"),
        ({"network": None}, "network is None"),
        ({"network": losses.MeanVoltage(), "loss": None}, "It is fit for loss=."),
        ({"loss": "MeanVoltage"}, "loss is 'MeanVoltage'; allowed: a loss, such as losses.MeanVoltage()"),
        ({"loss": losses.MeanVoltage}, "MeanVoltage is a class"),
        ({"loss": Adam()}, "It is fit for optimizer=."),
        ({"loss": network()}, "It is fit for network=."),
        ({"loss": [losses.MeanVoltage()]}, "loss is [MeanVoltage("),
        ({"optimizer": losses.MeanVoltage()}, "optimizer is MeanVoltage("),
        ({"optimizer": Adam}, "Adam is a class"),
        ({"regularizers": "none"}, "regularizers is 'none'; allowed: a list of losses"),
        ({"regularizers": losses.SpikeCountTarget("hidden", 2.0)}, "allowed: a list of losses"),
        ({"regularizers": [losses.MeanVoltage(), "x"]}, "regularizers[1] is 'x'"),
    ],
)
def test_what_cannot_be_cited_is_refused(change, said, bibtex):
    with pytest.raises(InvalidInput) as error:
        citation(**{"network": network(), "bibtex": bibtex} | change)
    assert said in str(error.value) and " object at 0x" not in str(error.value)


def every_paper():
    """All papers that stand anywhere in the package, but for those of optimisers, some of which are not on arXiv."""
    found = set()
    for path in (ROOT / "eventsnn").rglob("*.py"):
        if path.name != "__main__.py" and " = Paper(" in path.read_text(encoding="utf-8"):
            module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            found |= {value for value in vars(module).values() if isinstance(value, Paper)}
    return found


def test_entries_say_when_and_where_it_can_be_read():
    papers = every_paper()
    assert {EVENTPROP, LEARNED_DELAYS} < papers and len(papers) > 10
    on_arxiv = [paper for paper in papers if paper.arxiv]
    assert {EVENTPROP, LEARNED_DELAYS} < set(on_arxiv) and len({paper.arxiv for paper in on_arxiv}) == len(on_arxiv)
    for paper in papers:
        assert f"  year = {{{paper.year}}}," in paper.bibtex()
        assert ("  url = {https://arxiv.org/abs/" in paper.bibtex()) == bool(
            re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv)
        )
    year = re.search(r"\(c\) (\d{4})", (ROOT / "LICENSE").read_text(encoding="utf-8"))[1]
    assert f"  year = {{{year}}}," in citation(network(), bibtex=True).partition("@article")[0]


def test_what_carries_papers_is_described_as_before():
    assert "papers" not in {item.name for item in fields(losses.ExponentialMeanVoltage)}
    assert "papers" not in Adam().to_dict() and "sources" not in Adam().to_dict()


def test_the_library_says_one_thing_of_itself():
    yaml = pytest.importorskip("yaml")
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(said) and said["cff-version"] == "1.2.0"
    assert said["type"] == "software" and said["license"] == "MIT" and said["title"] == TITLE
    assert said["version"] == eventsnn.__version__ and said["authors"] == [{"name": AUTHORS}]
    titles = {reference["title"]: reference["year"] for reference in said["references"]}
    assert titles == {paper.title: paper.year for paper in (EVENTPROP, LEARNED_DELAYS)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "eventsnn.__version__"}
    assert project["project"]["authors"] == [{"name": AUTHORS}]


def test_the_version_is_that_of_the_changelog():
    newest = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    number, _, state = newest.partition(" ")
    assert state in ("", "(not yet released)")
    assert eventsnn.__version__ == (f"{number}.dev0" if state else number)
