"""The connection's security, as Faust takes it: made from the same librdkafka settings that all else uses."""

import ssl
from collections.abc import Mapping
from typing import Any

import faust


def faust_credentials(config: Mapping[str, Any]) -> Any:
    """Faust's credentials for librdkafka settings; None for a plain connection.

    Raises ValueError: a SASL mechanism that this client cannot speak.
    """
    protocol = config.get("security.protocol", "PLAINTEXT")
    if protocol == "PLAINTEXT":
        return None
    context = _context(config) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context=context)
    mechanism = config.get("sasl.mechanism", "PLAIN")
    if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        raise ValueError(f"SASL mechanism {mechanism} is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")
    return faust.SASLCredentials(
        username=config.get("sasl.username"),
        password=config.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
    certificate = config.get("ssl.certificate.location")
    if certificate:
        context.load_cert_chain(certificate, config.get("ssl.key.location"), config.get("ssl.key.password"))
    return context
