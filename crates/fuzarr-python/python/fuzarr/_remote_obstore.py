"""Stores of obstore: settings of the same Rust crate that fuzarr's remote stores are made of."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

from ._remote import NotCarriedError, Place, address, check_environment, is_plain

#: By class: scheme, the setting that names the bucket, and how its variables start.
_SERVICES = {
    "S3Store": ("s3", "bucket", "AWS_"),
    "GCSStore": ("gs", "bucket", "GOOGLE_"),
    "AzureStore": ("az", "container_name", "AZURE_"),
}

#: Other variables that a client reads, by class: where credentials are.
_CREDENTIALS = {
    "S3Store": (),
    "GCSStore": ("SERVICE_ACCOUNT", "GCE_METADATA_", "HOME", "APPDATA"),
    "AzureStore": ("IDENTITY_", "MSI_", "AZURITE_"),
}

#: How the variables start that all clients read.
_NETWORK = tuple(
    name
    for start in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_")
    for name in (start, start.lower())
)

#: Settings of the client that mean the same to fuzarr's.
_CLIENT = {
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "read_timeout",
    "timeout",
    "user_agent",
}

#: Names that obstore gives to settings, where the crate reads others.
_RENAMED = {"endpoint_url_s3": "aws_endpoint_url_s3"}


def place_of(store: Any) -> Place:
    """Where a store of obstore is.

    Raises `NotCarriedError` with the reason if not everything carries over.
    """
    name = type(store).__name__
    own = getattr(sys.modules.get("obstore.store"), name, None)
    if own is not type(store):
        raise NotCarriedError(f"obstore's store is a {type(store).__qualname__}")
    check_environment(*_NETWORK)
    if name == "HTTPStore":
        return Place(plain_url(store.url), _manners(store, ()))
    if name not in _SERVICES:
        raise NotCarriedError(f"obstore's store is a {name}")
    if store.credential_provider is not None:
        raise NotCarriedError("credentials come from a function")
    scheme, bucket, variables = _SERVICES[name]
    check_environment(variables, *_CREDENTIALS[name])
    settings = dict(store.config)
    found = address(scheme, str(settings.pop(bucket, "")), store.prefix or "")
    payer = settings.get("request_payer", os.environ.get("AWS_REQUEST_PAYER", "false"))
    if name == "S3Store" and str(payer).lower() != "false":
        raise NotCarriedError("the requester pays")
    options = {str(_RENAMED.get(key, key)): str(value) for key, value in settings.items()}
    return Place(found, options | _manners(store, [variables]))


def plain_url(url: str) -> str:
    """The URL, without a slash at the end.

    Raises `NotCarriedError` if not all clients spell it alike.
    """
    parts = urlsplit(url)
    path = parts.path.replace("%20", " ").strip("/")
    if parts.query or parts.fragment or "@" in parts.netloc or not is_plain(path):
        raise NotCarriedError("the URL is unusual")
    return url.rstrip("/")


def _manners(store: Any, variables: Any) -> dict[str, str]:
    """How the client is to behave."""
    options = {"allow_http": "false"}
    given = store.client_options
    if given is None:
        # Without any, obstore's clients look for them in the environment.
        given = {
            name: os.environ[key]
            for start in variables
            for name in _CLIENT
            if (key := start + name.upper()) in os.environ
        }
    for name, value in given.items():
        if name not in _CLIENT or not isinstance(value, str):
            raise NotCarriedError(f"the client has the setting {name}")
        options[name] = value
    retries = store.retry_config
    if retries is not None:
        backoff = retries["backoff"]
        if backoff["base"] != 2:
            raise NotCarriedError("pauses between tries do not double")
        options["max_retries"] = str(retries["max_retries"])
        options["retry_timeout"] = str(retries["retry_timeout"].total_seconds())
        options["first_pause"] = str(backoff["init_backoff"].total_seconds())
        options["longest_pause"] = str(backoff["max_backoff"].total_seconds())
    return options
