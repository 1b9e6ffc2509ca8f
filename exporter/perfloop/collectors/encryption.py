"""TLS towards a component."""

from __future__ import annotations

import ssl

from perfloop.errors import Unavailable
from perfloop.model import Component


def tls_context(component: Component) -> ssl.SSLContext | None:
    """Return how to encrypt the connection, or None where it is not to be. Raises Unavailable for a bad file."""
    wanted = component.encryption
    if wanted is None:
        return None
    try:
        context = ssl.create_default_context(cafile=wanted.ca_file or None)
        if wanted.certificate_file:
            # The password is for a key that is encrypted: without one it is an error, with none asked on a terminal.
            context.load_cert_chain(wanted.certificate_file, wanted.key_file or None, password="")
    except OSError as error:
        files = ", ".join(filter(None, (wanted.ca_file, wanted.certificate_file, wanted.key_file)))
        raise Unavailable(f"{component.address}: {files}: {error}") from error
    if not wanted.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
