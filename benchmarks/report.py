"""Tables of results as text, and curves as figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from eventsnn.plotting.style import COLOURS, GREY, STYLE

PANEL, HEIGHT, DOTS_PER_INCH = 3.9, 3.3, 130  # inches


class Panel(NamedTuple):
    """One plot of a curve: its vertical axis, logarithmic or not, and the columns with their names in the legend."""

    label: str
    lines: Mapping
    log: bool = False


class Plot(NamedTuple):
    """How a table is drawn: the column and label of the horizontal axis, the panels, and what tells series apart."""

    x: str
    label: str
    panels: tuple
    series: str | None = None


@dataclass
class Table:
    """Results by row. ``columns``: {key: (heading, format)} of what is printed; rows may know more than that."""

    name: str
    title: str
    columns: dict
    rows: list
    plot: Plot | None = None
    notes: list = field(default_factory=list)

    def to_dict(self):
        """The table as JSON can hold it."""
        headings = {key: heading for key, (heading, _) in self.columns.items()}
        return {"title": self.title, "headings": headings, "rows": self.rows, "notes": self.notes}

    def markdown(self):
        """The table as Markdown, with its title and its notes."""
        head = "| " + " | ".join(heading for heading, _ in self.columns.values()) + " |"
        lines = [f"### {self.title}", "", head, "|" + "---|" * len(self.columns)]
        for row in self.rows:
            cells = (shown(row.get(key), style) for key, (_, style) in self.columns.items())
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def shown(value, style):
    """A cell's text: "-" for None, yes or no for a bool, otherwise the value in the format."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return format(value, style)


def heading(machine, versions):
    """One line on the machine and one on the versions."""
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    memory = f", {machine['memory_gb']} GB" if machine["memory_gb"] else ""
    place = f"{machine['processor']} ({machine['target']}), {machine['cores']} cores"
    return f"{place}, {caches}{memory}\n{', '.join(f'{name} {version}' for name, version in versions.items())}\n"


def can_draw():
    """True where matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(table, folder):
    """Draw a table that has a plot as a PNG in ``folder``, named after the table; returns its path."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels, path = table.plot.panels, folder / f"{table.name}.png"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL * len(panels), HEIGHT))
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            _draw_panel(axis, table, panel)
        axes[0].set_title(table.title.split(":")[0])
        figure.savefig(path, dpi=DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
    return path


def _draw_panel(axis, table, panel):
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    plot = table.plot
    groups = list(dict.fromkeys(row.get(plot.series) for row in table.rows))
    for group, dashes in zip(groups, ("-", "--", ":"), strict=False):
        rows = sorted((row for row in table.rows if row.get(plot.series) == group), key=lambda row: row[plot.x])
        for (key, name), colour in zip(panel.lines.items(), COLOURS, strict=False):
            points = [(row[plot.x], row[key]) for row in rows if row.get(key) is not None]
            if points:
                label = name if group is None else f"{name}, {group}"
                colour = GREY if key.startswith("floor") else colour
                axis.plot(*zip(*points, strict=True), dashes, marker="o", markersize=4, color=colour, label=label)
    xs = [row[plot.x] for row in table.rows]
    # what spans a decade is seen best on decades
    if min(xs) > 0 and max(xs) >= 10 * min(xs):
        axis.set_xscale("log")
    elif all(isinstance(x, int) for x in xs):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.log:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    axis.set(xlabel=plot.label, ylabel=panel.label)
    if len(axis.lines) > 1:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3))
