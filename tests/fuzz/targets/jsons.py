"""Changes inside JSON: another value in some place, a key less, an item twice."""

from __future__ import annotations

import json
import random
from typing import Any

from forging import VALUES


def change_json(data: bytes, chance: random.Random) -> bytes | None:
    """Change one place of a document; None if ``data`` is none."""
    try:
        content = json.loads(data)
        _change(content, chance)
        return json.dumps(content).encode()
    except (ValueError, RecursionError, _Whole):
        return None


def change_line(data: bytes, chance: random.Random) -> bytes | None:
    """Change one of several documents, one a line."""
    lines = data.splitlines()
    if not lines:
        return None
    at = chance.randrange(len(lines))
    changed = change_json(lines[at], chance)
    if changed is None:
        return None
    lines[at] = changed
    if chance.random() < 0.2:
        lines.insert(chance.randrange(len(lines)), lines[chance.randrange(len(lines))])
    return b"\n".join(lines) + b"\n"


class _Whole(Exception):
    """There is no place inside."""


def _change(content: Any, chance: random.Random) -> None:
    places = [(holder, key) for holder in _holders(content) for key in _keys(holder)]
    if not places:
        raise _Whole
    holder, key = chance.choice(places)
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), holder[key])
        case 2:
            other = chance.choice(places)
            holder[key] = json.loads(json.dumps(other[0][other[1]]))
        case 3 if isinstance(holder, dict):
            holder[str(chance.choice(VALUES))] = holder.pop(key)
        case _:
            holder[key] = chance.choice(VALUES)


def _holders(content: Any) -> list[Any]:
    if not isinstance(content, dict | list):
        return []
    inner = content.values() if isinstance(content, dict) else content
    return [content, *(one for value in inner for one in _holders(value))]


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))
