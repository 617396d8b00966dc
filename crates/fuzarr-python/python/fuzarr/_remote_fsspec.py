"""File systems of fsspec: s3fs, gcsfs, adlfs, and HTTP.

They look for credentials and settings where fuzarr's clients do not. So what carries over is what
they were told, and nothing comes from the environment.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from ._remote import NotCarriedError, Place, address
from ._remote_obstore import plain_url

#: What is missing, as zarr-python's stores have it unless they are told otherwise.
_MISSING = {FileNotFoundError, IsADirectoryError, NotADirectoryError}

#: Headers that clients set by themselves.
_OWN_HEADERS = {"host", "range", "accept-encoding", "content-length", "connection", "if-match"}

#: Variables that change what botocore does in ways that do not carry over.
_BOTOCORE = (
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)

#: Variables that name the certificates that it trusts.
_TRUST = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")

#: Regions of Amazon's that are reached by `amazonaws.com`.
_COMMON = re.compile(r"(af|ap|ca|eu|il|me|mx|sa|us)-(gov-)?[a-z]+-[0-9]+")

#: How names of buckets end that are access points, or directories.
_SPECIAL = ("--x-s3", "-s3alias", "--ol-s3")

#: What a profile may say that does not count where keys and endpoint are given.
_PROFILE = {
    "region",
    "output",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "role_arn",
    "role_session_name",
    "source_profile",
    "credential_process",
    "cli_pager",
}


def place_of(store: Any) -> Place:
    """Where an `FsspecStore` is.

    Raises `NotCarriedError` with the reason if not everything carries over.
    """
    if set(store.allowed_exceptions) != _MISSING:
        raise NotCarriedError("other errors than usual count as missing")
    system = store.fs
    kind = type(system)
    name = f"{kind.__module__}.{kind.__qualname__}"
    translate = _SYSTEMS.get(name)
    own = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None)
    if translate is None or own is not kind:
        raise NotCarriedError(f"the file system is a {name}")
    if system.storage_args:
        raise NotCarriedError("settings without names")
    return translate(system, store.path)


def _only(given: Mapping[str, Any], known: set[str], what: str) -> None:
    """Sees that no setting is given but those that are known."""
    for name, value in given.items():
        if name not in known and value is not None:
            raise NotCarriedError(f"{what} has the setting {name}")


def _bucket(path: str) -> tuple[str, str]:
    bucket, _, prefix = path.strip("/").partition("/")
    return bucket, prefix


#: What concerns listings, threads and files, of which fuzarr asks for none.
_GENERAL = {
    "asynchronous",
    "loop",
    "skip_instance_cache",
    "use_listings_cache",
    "listings_expiry_time",
    "max_paths",
}


def _http(system: Any, path: str) -> Place:
    from fsspec.implementations import http  # type: ignore[import-untyped]

    if system.get_client is not http.get_client:
        raise NotCarriedError("the client comes from a function")
    if system.encoded:
        raise NotCarriedError("URLs are encoded already")
    _only(system.kwargs, {"headers"}, "a request")
    _only(system.client_kwargs, {"headers"}, "the client")
    if urllib.request.getproxies():
        raise NotCarriedError("there is a proxy, which this client does not use")
    headers = {
        **(system.client_kwargs.get("headers") or {}),
        **(system.kwargs.get("headers") or {}),
    }
    options = {}
    for name, value in headers.items():
        if type(name) is not str or type(value) is not str or name.lower() in _OWN_HEADERS:
            raise NotCarriedError("headers that are unusual")
        options[f"header:{name.lower()}"] = value
    # What it sends to be written bears other headers than what it asks.
    return Place(plain_url(path), options, writable=False)


def _s3(system: Any, path: str) -> Place:
    _only(
        system.storage_options,
        _GENERAL
        | {"anon", "endpoint_url", "key", "secret", "token", "username", "password", "use_ssl"}
        | {"client_kwargs", "config_kwargs", "requester_pays", "version_aware", "cache_regions"}
        | {"default_block_size", "default_fill_cache", "default_cache_type", "max_concurrency"}
        | {"fixed_upload_size", "s3_additional_kwargs"},
        "the file system",
    )
    if system.requester_pays or system.version_aware or system.s3_additional_kwargs:
        raise NotCarriedError("the requester pays, or versions or requests are chosen")
    told = dict(system.client_kwargs)
    names = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
    _only(told, names | {"region_name", "endpoint_url"}, "the client")
    for name, value in [
        ("aws_access_key_id", system.key),
        ("aws_secret_access_key", system.secret),
        ("aws_session_token", system.token),
        ("endpoint_url", system.endpoint_url),
    ]:
        if value is not None and told.setdefault(name, value) != value:
            raise NotCarriedError("settings that contradict each other")
    options = {"environment": "false", **_s3_client(told.get("endpoint_url"), system.config_kwargs)}
    endpoint, region = told.get("endpoint_url"), told.get("region_name")
    profile = _profile(str(endpoint).startswith("http://"))
    if endpoint is None:
        if region is None or not system.use_ssl:
            raise NotCarriedError("neither the region nor an endpoint is given")
        if not _COMMON.fullmatch(region) or _bucket(path)[0].endswith(_SPECIAL):
            raise NotCarriedError("the region or the bucket is of a kind that is reached otherwise")
    else:
        options["endpoint"] = endpoint
        # Its clients put no conditions, and not every such service knows them.
        options["conditional_put"] = "disabled"
        region = region or os.environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    options["region"] = region or "us-east-1"
    return Place(address("s3", *_bucket(path)), options | _s3_keys(system.anon, told))


def _s3_keys(anonymous: bool, told: Mapping[str, Any]) -> dict[str, str]:
    if anonymous:
        return {"skip_signature": "true"}
    key, secret = told.get("aws_access_key_id"), told.get("aws_secret_access_key")
    if not key or not secret:
        raise NotCarriedError("botocore looks for credentials in places of its own")
    keys = {"access_key_id": key, "secret_access_key": secret}
    token = told.get("aws_session_token")
    return {**keys, "session_token": token} if token else keys


def _s3_client(endpoint: str | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """How the client is to behave."""
    _only(settings, {"connect_timeout", "read_timeout", "signature_version", "s3"}, "the client")
    if settings.get("signature_version") not in (None, "s3v4"):
        raise NotCarriedError("requests are signed in another way")
    style = dict(settings.get("s3") or {})
    _only(style, {"addressing_style"}, "the client")
    if endpoint is not None and style.get("addressing_style") not in (None, "auto", "path"):
        raise NotCarriedError("the name of the bucket is part of the host's")
    waits = {name: settings.get(name) for name in ("connect_timeout", "read_timeout")}
    return {name: f"{float(wait)}s" for name, wait in waits.items() if wait is not None}


def _profile(in_the_open: bool) -> dict[str, Any]:
    """The profile that botocore uses, perhaps without TLS."""
    for name in _BOTOCORE if in_the_open else _BOTOCORE + _TRUST:
        if os.environ.get(name):
            raise NotCarriedError(f"botocore looks at {name}")
    import botocore.session  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        profile: dict[str, Any] = botocore.session.Session().get_scoped_config()
    except BotoCoreError as reason:
        raise NotCarriedError(f"botocore has no profile: {reason}") from None
    _only(profile, _PROFILE, "botocore's profile")
    return profile


def _gcs(system: Any, path: str) -> Place:
    _only(
        system.storage_options,
        _GENERAL
        | {"project", "access", "token", "block_size", "consistency", "cache_timeout"}
        | {"requests_timeout", "requester_pays", "default_location", "version_aware"},
        "the file system",
    )
    if system.requester_pays or system.version_aware or system.consistency != "none":
        raise NotCarriedError("the requester pays, or versions or checks are chosen")
    if system._location != "https://storage.googleapis.com" or getattr(
        system, "_use_client_cert", False
    ):
        raise NotCarriedError("another endpoint than Google's")
    options = {"environment": "false"}
    token = system.storage_options.get("token")
    if token == "anon":
        options["skip_signature"] = "true"
    elif (
        isinstance(token, Mapping)
        and token.get("type") == "service_account"
        and system.credentials.access == "full_control"
    ):
        options["service_account_key"] = json.dumps(dict(token))
    else:
        raise NotCarriedError("gcsfs looks for credentials in places of its own")
    return Place(address("gs", *_bucket(path)), options)


def _azure(system: Any, path: str) -> Place:
    _only(
        system.storage_options,
        _GENERAL
        | {"account_name", "account_key", "sas_token", "anon", "blocksize", "max_concurrency"}
        | {"default_fill_cache", "default_cache_type", "location_mode", "version_aware"}
        | {"connection_string", "assume_container_exists"},
        "the file system",
    )
    if system.version_aware or system.location_mode != "primary":
        raise NotCarriedError("versions, or a second place, are chosen")
    options = {"environment": "false", "account_name": str(system.account_name or "")}
    if system.connection_string is not None or not system.account_name:
        raise NotCarriedError("there is a connection string, or no name of an account")
    if system.credential is not None:
        raise NotCarriedError("adlfs looks for credentials in places of its own")
    if system.account_key is not None:
        options["account_key"] = system.account_key
    elif system.sas_token is not None:
        options["sas_token"] = system.sas_token.removeprefix("?")
    else:
        options["skip_signature"] = "true"
    return Place(address("az", *_bucket(path)), options)


_SYSTEMS: dict[str, Callable[[Any, str], Place]] = {
    "fsspec.implementations.http.HTTPFileSystem": _http,
    "s3fs.core.S3FileSystem": _s3,
    "gcsfs.core.GCSFileSystem": _gcs,
    "adlfs.spec.AzureBlobFileSystem": _azure,
}


def forget(store: Any, keys: list[str]) -> None:
    """Has the file system forget what it knows of folders in which objects were written."""
    root = store.path.rstrip("/")
    folders = {f"{root}/{key}".rpartition("/")[0] for key in keys}
    while folders:
        for folder in folders:
            store.fs.invalidate_cache(folder)
        folders = {folder.rpartition("/")[0] for folder in folders if "/" in folder}
