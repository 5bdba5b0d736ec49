"""Plot the figures as bars. The same figures always produce the same file."""

from __future__ import annotations

from pathlib import Path


def draw_bars(bars: dict[str, dict[str, float]], path: Path) -> None:
    """Write an SVG with one panel per quantity, on a logarithmic scale.

    :param bars: the quantities, each with the figure of every candidate.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "flowruns", "font.size": 9}
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(bars), figsize=(5 * len(bars), 3.6), sharey=True, layout="constrained")
    for panel, (quantity, figures) in zip(panels, bars.items(), strict=True):
        names = list(figures)
        colours = ["#2a7f62" if name.startswith("this package") else "#9aa5b1" for name in names]
        containers = panel.barh(names, list(figures.values()), color=colours)
        panel.bar_label(containers, labels=[f"{value:.3g}" for value in figures.values()], padding=2)
        panel.set(xscale="log", title=quantity)
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
        panel.invert_yaxis() if panel is panels[0] else None
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
