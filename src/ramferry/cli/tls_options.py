"""The options of commands whose relays may encrypt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ramferry.cli.params import Command


def tls_creds_option(what_for: str) -> Callable[[Command], Command]:
    """``--tls-creds``.

    :param what_for: a sentence.
    """
    return click.option(
        "--tls-creds",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder with certificates as QEMU's tls-creds-x509 and libvirt lay them out: "
        "ca-cert.pem, and server-cert.pem, server-key.pem to listen, client-cert.pem, "
        f"client-key.pem to connect. {what_for}",
    )


def tls_authz_option(listens: str) -> Callable[[Command], Command]:
    """``--tls-authz``.

    :param listens: the address at which clients are let in, as the command calls it.
    """
    return click.option(
        "--tls-authz",
        multiple=True,
        metavar="PATTERN",
        help=f"Subject that may connect to {listens} by TLS, as QEMU's authz-list with format glob"
        " has it (CN=alpha.example.com,O=*). Can be given more than once. Default: all that the"
        " authority vouches for.",
    )


def insecure_option(help: str) -> Callable[[Command], Command]:
    """``--insecure``."""
    return click.option("--insecure", is_flag=True, help=help)
