"""How qatzip cuts packets where something is measured without real peers."""

from __future__ import annotations

from ramferry.vocabulary import AUTO, ONE_MEMBER


def members_of(method: str, wanted: str = AUTO) -> str:
    """Which of ``vocabulary.MEMBER_SIZES`` an encoder of ``method`` is to be told.

    One member a packet unless something else is wanted, as between two relays that ``migrate``
    starts on hosts without a device; ``auto`` for methods without members.

    :param wanted: one of ``vocabulary.MEMBER_SIZES``.
    """
    if method != "qatzip":
        return AUTO
    return ONE_MEMBER if wanted == AUTO else wanted
