"""The report as one HTML page that needs no other file and no network.

Its policy lets nothing be loaded, and no script run but the page's own, by their digests. The
markup is in ``page.html``, whose engine escapes every text that it is given.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from ramferry import __version__
from ramferry.report.benchmark.chapters import Report
from ramferry.report.drawing.escaping import printable
from ramferry.report.formats.plotted import plotted

_LONG_NUMBER: Final = re.compile(r"(?<![\d.])\d{5,}(?![\d.])")
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"


def draw(report: Report) -> str:
    """The whole page."""
    scripts = (get_plotlyjs(), _resource("page.js"))
    return (
        environment()
        .get_template("page.html")
        .render(
            report=report,
            plotted=plotted(report),
            title=" · ".join(dict.fromkeys(_titles(report))),
            # these are Ramferry's and plotly's own: the only texts that are not escaped
            policy=Markup(_policy(scripts)),
            style=Markup(_resource("page.css")),
            scripts=[Markup(script) for script in scripts],
            version=__version__,
        )
    )


def environment() -> Environment:
    """The template engine: it escapes every text, and refuses a name that it was not given."""
    made = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["grouped"] = grouped
    made.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return made


def grouped(text: str) -> Markup:
    """A text whose whole numbers of five and more digits are in groups of three."""
    shown = _LONG_NUMBER.sub(lambda one: f"{int(one[0]):,}".replace(",", _THIN), printable(text))
    return escape(shown)


def _titles(report: Report) -> list[str]:
    """Of the chapters; the rates of a series of links are told by its own title."""
    if report.series:
        return [one.title for one in report.series]
    return [chapter.title for chapter in report.chapters]


def _shown(value: Any) -> Any:
    """What the engine escapes next: a text, without what acts on whoever reads it."""
    return value if hasattr(value, "__html__") else printable(str(value))


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: tuple[str, ...]) -> str:
    """A Content-Security-Policy; plotly sets styles and draws its pictures from data and blobs."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
