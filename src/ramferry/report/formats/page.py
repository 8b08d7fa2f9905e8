"""The report as one HTML page that needs no other file and no network.

Its policy lets nothing be loaded, and no script run but the page's own, by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from plotly.offline import get_plotlyjs

from ramferry import __version__
from ramferry.report.benchmark.chapters import Report
from ramferry.report.formats.body import Body
from ramferry.report.formats.escaping import in_html
from ramferry.report.formats.figures import Figure

_NEVER_MARKUP: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""What could end a script element, as JSON writes it otherwise."""


def draw(report: Report) -> str:
    """The whole page."""
    body = Body(report)
    content = body.write()
    scripts = (get_plotlyjs(), _resource("page.js"))
    title = " · ".join(dict.fromkeys(chapter.title for chapter in report.chapters))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{in_html(title)}</title>\n<style>{_resource('page.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{content}</main>\n<footer>ramferry {in_html(__version__)}</footer>\n"
        f'<script type="application/json" id="figures">{_json(body.figures)}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


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


def _json(figures: Mapping[str, Figure]) -> str:
    """As may stand in a script element."""
    return json.dumps(figures, allow_nan=False).translate(_NEVER_MARKUP)
