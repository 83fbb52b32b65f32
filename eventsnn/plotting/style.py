"""How pictures look, and how they are written."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ..errors import EventsnnError, InvalidInput
from ..writing import write_file

BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9822b", "#3a9b6b", "#8a8f98"
COLOURS = (BLUE, ORANGE, GREEN, "#a8559c", "#c0504d", "#5a5f66")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "axes.edgecolor": "#5a5f66",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
DOTS_PER_INCH = 130
Place = TypeVar("Place", bound=str | os.PathLike[str])


class PlotError(EventsnnError, ImportError):
    """Plotting without matplotlib."""


def load_matplotlib() -> ModuleType:
    try:
        import matplotlib
    except ImportError:
        raise PlotError("plotting needs matplotlib: .venv/bin/pip install -e '.[plot]' in the checkout") from None
    return matplotlib


@contextmanager
def new_figure(
    path: str | os.PathLike[str], rows: int, size: tuple[float, float], columns: int = 1, **settings: Any
) -> Iterator[tuple[Any, list[Any]]]:
    """Yield (figure, list of axes) and save the figure; no global state of matplotlib is changed.

    Raises FileError if the file cannot be written.
    """
    matplotlib = load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput("path", None, path, "the name of a file to write, such as 'picture.png'")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        known = FigureCanvasAgg(figure).get_supported_filetypes()
        kind = Path(path).suffix[1:].lower() or "png"
        if kind not in known:
            raise InvalidInput("path", None, str(path), f"a name that ends in one of {', '.join(sorted(known))}")
        axes = figure.subplots(rows, columns, squeeze=False, **settings)
        yield figure, list(axes.reshape(-1))
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, dpi=DOTS_PER_INCH)
    write_file(path, picture.getbuffer())


def whole_numbers(most: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)
