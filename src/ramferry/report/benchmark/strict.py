"""Fields that a record does not have: msgspec passes over them in dataclasses."""

from __future__ import annotations

from typing import Any

from msgspec import inspect


def unknown_field(content: Any, record: type) -> str | None:
    """The path of the first field in a document that ``record`` does not have, as "$.cases[0].x".

    :param content: as decoded, of plain lists and objects; may be of any shape.
    :param record: a dataclass; what its fields hold is followed through lists and optional values.
    :return: None if there is none.
    """
    return _unknown(content, inspect.type_info(record), "$")


def _unknown(content: Any, kind: inspect.Type, place: str) -> str | None:
    if isinstance(kind, inspect.UnionType):
        found = (_unknown(content, one, place) for one in kind.types)
    elif isinstance(kind, inspect.DataclassType) and isinstance(content, dict):
        known = {field.encode_name: field.type for field in kind.fields}
        for key in content:
            if key not in known:
                return f"{place}.{key}"
        found = (_unknown(value, known[key], f"{place}.{key}") for key, value in content.items())
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(content, list):
        found = (_unknown(one, kind.item_type, f"{place}[{at}]") for at, one in enumerate(content))
    else:
        return None
    return next((path for path in found if path is not None), None)
