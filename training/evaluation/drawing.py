"""How every picture is drawn: one style, no global state, no window; the same figures give the same bytes."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from data.errors import InfrastructureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "GREY", "PALE", "in_style", "label", "line_style", "new_figure", "percent", "save"]

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out, as it is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_STYLES = ("-", "--", "-.", ":")
GREY, PALE = "#5F6368", "#D6D9DC"
_STYLE: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "grid.color": "#E8EAED",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "font.size": 10,
    # Without a salt matplotlib makes up new ids on every run.
    "svg.hashsalt": "clew",
}

# What comes from here on needs a font of its own, but for the signs that labels add themselves.
_NOT_LATIN = "\u0500"
_Asked = ParamSpec("_Asked")


def in_style(draw: Callable[_Asked, Path]) -> Callable[_Asked, Path]:
    """Draw with our settings and leave the user's own as they were."""

    @wraps(draw)
    def drawn(*args: _Asked.args, **kwargs: _Asked.kwargs) -> Path:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def line_style(at: int) -> dict[str, Any]:
    """Return how the method at a place is drawn: the first one strongest."""
    return {
        "color": COLOURS[at % len(COLOURS)],
        "linestyle": _STYLES[at % len(_STYLES)],
        "linewidth": 2.6 if at == 0 else 1.5,
        "zorder": 3 if at == 0 else 2,
    }


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches, whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def percent(axes: Axes, which: Literal["x", "y", "both"]) -> None:
    """Write an axis, or both, in percent."""
    from matplotlib.ticker import PercentFormatter

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if which in (name, "both"):
            low, high = axis.get_view_interval()
            axis.set_major_formatter(PercentFormatter(xmax=1, decimals=0 if high - low > 0.05 else 1))


def label(words: str, *, longest: int = 40) -> str:
    r"""Return words of the user's data so that they can be drawn: not too long, and no formula.

    Examples
    --------
    >>> label("trade show"), label("a" * 50, longest=5), label("5 $ off")
    ('trade show', 'aaaa…', '5 \\$ off')
    """
    short = words if len(words) <= longest else f"{words[: longest - 1]}…"
    return short.replace("$", r"\$")


def save(figure: Figure, path: Path, *, words: Iterable[str] = ()) -> Path:
    """Write the figure beside its place and move it there, so that nobody reads half a picture.

    `words` come from the user's data. Where they are not in Latin letters an SVG leaves all letters to the reader's
    fonts, as the font that matplotlib brings has no others; a PNG shows boxes.

    Raises
    ------
    UsageError
        If the name ends neither in .svg nor in .png.
    InfrastructureError
        If the picture cannot be written.
    """
    import warnings

    from matplotlib import rc_context

    kind = path.suffix.lstrip(".")
    if kind not in ("svg", "png"):
        raise UsageError(f"a picture is written as .svg or .png, not as {path.suffix or 'a name without an ending'}")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    partial = path.with_name(f".{path.name}.partial")
    letters = "path" if all(max(word, default=" ") < _NOT_LATIN for word in words) else "none"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.fonttype": letters}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
            figure.savefig(partial, format=kind, dpi=160, metadata=metadata)
        partial.replace(path)
    except OSError as error:
        raise InfrastructureError(f"the picture {path} cannot be written ({type(error).__name__})") from error
    return path
