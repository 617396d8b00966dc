"""Which remote stores of zarr-python carry over: settings in, a place out, or why not."""

import os
from datetime import timedelta

import fuzarr
import obstore.store as obs
import pytest
from fuzarr import _remote
from gcsfs.core import GCSFileSystem
from zarr.storage import FsspecStore, ObjectStore

KEYS = {"access_key_id": "k", "secret_access_key": "s", "region": "eu-west-1"}
PLAIN = {**KEYS, "allow_http": "false"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    """No variables, and no files, of this machine's user."""
    for name in os.environ:
        ours = ("AWS_", "GOOGLE_", "AZURE_", "REQUESTS_")
        if name.startswith(ours) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(_remote, "STARTED", dict(os.environ))


def place(store):
    """Address, options and whether it is written; or the reason why not."""
    found = _remote.look(store)
    if isinstance(found, str):
        assert _remote.carried(store) is None
        return found
    return tuple(found.place)


def s3(*arguments, **settings):
    return obs.S3Store(*(arguments or ("bucket",)), **{**KEYS, **settings})


class Derived(obs.S3Store):
    """A class of somebody else's, which zarr-python takes by its name."""

    __module__ = "obstore.derived"


def provider():
    return {"access_key_id": "a", "secret_access_key": "b", "expires_at": None}


VIRTUAL = {"virtual_hosted_style_request": "true"}
RETRIES = {
    "max_retries": "2",
    "retry_timeout": "3.0",
    "first_pause": "0.1",
    "longest_pause": "15.0",
}

OBSTORE = {
    "keys": (s3, "s3://bucket", PLAIN),
    "a folder": (lambda: s3(prefix="a/b c"), "s3://bucket/a/b%20c", PLAIN),
    "anonymous": (
        lambda: obs.S3Store("bucket", region="x", skip_signature=True),
        "s3://bucket",
        {"region": "x", "skip_signature": "true", "allow_http": "false"},
    ),
    "an endpoint": (
        lambda: s3(endpoint="http://host:1", client_options={"allow_http": True}),
        "s3://bucket",
        {**KEYS, "endpoint": "http://host:1", "allow_http": "true"},
    ),
    "a url": (
        lambda: obs.S3Store.from_url(
            "https://bucket.s3.eu-west-1.amazonaws.com/x", skip_signature=True
        ),
        "s3://bucket/x",
        {"region": "eu-west-1", "skip_signature": "true", "allow_http": "false", **VIRTUAL},
    ),
    "an endpoint of s3 alone": (
        lambda: s3(aws_endpoint_url_s3="https://host"),
        "s3://bucket",
        {**PLAIN, "aws_endpoint_url_s3": "https://host"},
    ),
    "no conditions": (
        lambda: s3(conditional_put="disabled"),
        "s3://bucket",
        {**PLAIN, "conditional_put": "disabled"},
    ),
    "retries": (
        lambda: s3(
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=3)},
        ),
        "s3://bucket",
        {**PLAIN, **RETRIES},
    ),
    "timeouts": (
        lambda: s3(client_options={"timeout": "7s", "connect_timeout": "2s"}),
        "s3://bucket",
        {**PLAIN, "timeout": "7s", "connect_timeout": "2s"},
    ),
    "google": (
        lambda: obs.GCSStore("bucket", prefix="x", skip_signature=True),
        "gs://bucket/x",
        {"skip_signature": "true", "allow_http": "false"},
    ),
    "azure": (
        lambda: obs.AzureStore("box", account_name="me", account_key="a2V5", prefix="x/y"),
        "az://box/x/y",
        {"account_name": "me", "account_key": "a2V5", "allow_http": "false"},
    ),
    "http": (
        lambda: obs.HTTPStore.from_url("https://host:81/a%20b/c/"),
        "https://host:81/a%20b/c",
        {"allow_http": "false"},
    ),
}


@pytest.mark.parametrize("case", OBSTORE)
def test_stores_of_obstore_carry_over(case):
    make, address, options = OBSTORE[case]
    assert place(ObjectStore(make())) == (address, options, True)
    assert place(ObjectStore(make(), read_only=True)) == (address, options, True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Derived("bucket", **KEYS), "Derived"),
        (lambda: obs.S3Store("bucket", region="x", credential_provider=provider), "function"),
        (lambda: s3(request_payer=True), "requester"),
        (lambda: s3(client_options={"default_headers": {"a": "b"}}), "default_headers"),
        (lambda: s3(retry_config={"max_retries": 1, "backoff": {"base": 3}}), "double"),
        (lambda: s3(prefix="a%20b"), "folder"),
        (lambda: s3(prefix="a#b"), "folder"),
        (lambda: s3("Bucket_of_old"), "bucket"),
        (lambda: obs.HTTPStore.from_url("https://host/x?y=z"), "URL"),
        (lambda: obs.HTTPStore.from_url("https://me:word@host/x"), "URL"),
        (lambda: obs.MemoryStore(), "MemoryStore"),
        (lambda: obs.LocalStore("/tmp"), "LocalStore"),
    ],
)
def test_stores_of_obstore_that_do_not(make, reason):
    assert reason in place(ObjectStore(make()))


def test_the_environment_counts_as_it_does_for_obstore(monkeypatch):
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "false")
    monkeypatch.setattr(_remote, "STARTED", dict(os.environ))
    assert place(ObjectStore(s3()))[1] == {**KEYS, "allow_http": "true"}
    # With options of its own the client does not look there.
    assert place(ObjectStore(s3(client_options={"timeout": "1s"})))[1]["allow_http"] == "false"
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    monkeypatch.setattr(_remote, "STARTED", dict(os.environ))
    assert "requester" in place(ObjectStore(s3()))


def test_a_store_that_may_have_read_another_environment_does_not_carry_over(monkeypatch):
    earlier = ObjectStore(s3())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    assert "AWS_ENDPOINT_URL has changed" in place(earlier)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "not its business")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert place(ObjectStore(s3()))[1] == PLAIN


STORES = {
    "s3": s3,
    "google": lambda: obs.GCSStore("bucket", skip_signature=True),
    "azure": lambda: obs.AzureStore("box", account_name="me", account_key="a2V5"),
    "http": lambda: obs.HTTPStore.from_url("https://host/x"),
}


# Seen to fail: clients also read variables that do not begin with the name of a service.
@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("SERVICE_ACCOUNT", {"google"}),
        ("GCE_METADATA_HOST", {"google"}),
        ("HOME", {"google"}),
        ("IDENTITY_ENDPOINT", {"azure"}),
        ("IDENTITY_HEADER", {"azure"}),
        ("AZURITE_BLOB_STORAGE_URL", {"azure"}),
        ("HTTPS_PROXY", set(STORES)),
        ("no_proxy", set(STORES)),
        ("SSL_CERT_FILE", set(STORES)),
    ],
)
def test_so_it_is_with_all_variables_that_a_client_reads(monkeypatch, name, services):
    earlier = {service: ObjectStore(make()) for service, make in STORES.items()}
    monkeypatch.setenv(name, "http://elsewhere")
    for service, store in earlier.items():
        found = place(store)
        assert (f"{name} has changed" in found) == (service in services), (service, found)


class DerivedObjectStore(ObjectStore):
    """A class of somebody else's."""


def test_only_zarrs_own_classes_carry_over():
    assert "DerivedObjectStore" in place(DerivedObjectStore(s3()))
    assert "dict" in place({})


def test_who_names_the_same_place_shares_a_store():
    one, other = ObjectStore(s3()), ObjectStore(s3())
    assert _remote.carried(one) is _remote.carried(other)
    assert _remote.carried(one) is not _remote.carried(ObjectStore(s3(prefix="x")))
    reader = _remote.carried(ObjectStore(s3(), read_only=True))
    assert reader is not _remote.carried(one)
    one.store = s3(prefix="y")
    assert str(_remote.carried(one)) == "s3://bucket/y"


def test_what_is_known_of_a_store_ends_with_it():
    known = len(_remote._known)
    store = ObjectStore(s3(prefix="fleeting"))
    _remote.look(store)
    assert len(_remote._known) == known + 1
    assert "word" not in repr(_remote.look(ObjectStore(s3(secret_access_key="word"))))
    del store
    assert len(_remote._known) == known


def test_the_switch_turns_it_off():
    store = ObjectStore(s3())
    with fuzarr.config.set(remote_stores=False):
        assert _remote.carried(store) is None
        with pytest.raises(fuzarr.errors.UnsupportedError):
            fuzarr.open(store)
    assert _remote.carried(store) is not None


def fsspec(url, **settings):
    return FsspecStore.from_url(url, storage_options={"skip_instance_cache": True, **settings})


HTTP = {
    "plain": ({}, {}),
    "headers": (
        {"headers": {"X-A": "1"}, "client_kwargs": {"headers": {"Authorization": "me"}}},
        {"header:authorization": "me", "header:x-a": "1"},
    ),
    "a range": ({"headers": {"Range": "bytes=0-1"}}, "unusual"),
    "parameters": ({"params": {"a": "b"}}, "params"),
    "patience": ({"client_kwargs": {"timeout": 3}}, "timeout"),
    "netrc": ({"client_kwargs": {"trust_env": True}}, "trust_env"),
    "encoded": ({"encoded": True}, "encoded"),
    "a client": ({"get_client": provider}, "function"),
}


@pytest.mark.parametrize("case", HTTP)
def test_files_by_http(case):
    pytest.importorskip("aiohttp")
    settings, expected = HTTP[case]
    found = place(fsspec("https://host/a/b", **settings))
    if isinstance(expected, str):
        assert expected in found
    else:
        assert found == ("https://host/a/b", expected, False)


def test_settings_that_cannot_be_found_are_a_reason():
    pytest.importorskip("aiohttp")
    store = fsspec("https://host/a")
    del store.fs.client_kwargs
    assert "not to be found" in place(store)


def test_http_that_is_unusual(monkeypatch):
    pytest.importorskip("aiohttp")
    assert "URL" in place(fsspec("https://host/a?b=c"))
    store = fsspec("https://host/a")
    store.allowed_exceptions = (*store.allowed_exceptions, PermissionError)
    assert "missing" in place(store)
    assert "DirFileSystem" in place(FsspecStore(_folder(fsspec("https://host/a").fs), path="a"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    assert "proxy" in place(fsspec("https://host/b"))


def _folder(system):
    from fsspec.implementations.dirfs import DirFileSystem

    return DirFileSystem("https://host", system, asynchronous=True)


TOLD = {"key": "k", "secret": "s", "endpoint_url": "http://host:1"}
S3FS = {"environment": "false", "region": "us-east-1"}
AT = {**S3FS, "endpoint": "http://host:1", "conditional_put": "disabled"}
SIGNED = {**AT, "access_key_id": "k", "secret_access_key": "s"}

S3 = {
    "keys": (TOLD, SIGNED),
    "anonymous": (
        {"anon": True, "endpoint_url": "http://host:1"},
        {**AT, "skip_signature": "true"},
    ),
    "a token": ({**TOLD, "token": "t"}, {**SIGNED, "session_token": "t"}),
    "by the client": (
        {
            "client_kwargs": {
                "aws_access_key_id": "k",
                "aws_secret_access_key": "s",
                "endpoint_url": "http://host:1",
                "region_name": "r",
            }
        },
        {**SIGNED, "region": "r"},
    ),
    "amazon": (
        {"anon": True, "client_kwargs": {"region_name": "us-west-2"}},
        {"environment": "false", "region": "us-west-2", "skip_signature": "true"},
    ),
    "patience": (
        {**TOLD, "config_kwargs": {"read_timeout": 5, "s3": {"addressing_style": "path"}}},
        {**SIGNED, "read_timeout": "5.0s"},
    ),
    "no region": ({"anon": True}, "region"),
    "china": ({"anon": True, "client_kwargs": {"region_name": "cn-north-1"}}, "otherwise"),
    "no keys": ({"endpoint_url": "http://host:1"}, "credentials"),
    "half a key": ({"endpoint_url": "http://host:1", "key": "k"}, "credentials"),
    "the requester pays": ({**TOLD, "requester_pays": True}, "requester"),
    "versions": ({**TOLD, "version_aware": True}, "versions"),
    "encryption": ({**TOLD, "s3_additional_kwargs": {"ServerSideEncryption": "x"}}, "requests"),
    "a profile": ({**TOLD, "profile": "me"}, "profile"),
    "certificates": ({**TOLD, "client_kwargs": {"verify": False}}, "verify"),
    "hosts": (
        {**TOLD, "config_kwargs": {"s3": {"addressing_style": "virtual"}}},
        "host",
    ),
    "retries": ({**TOLD, "config_kwargs": {"retries": {}}}, "retries"),
}


@pytest.mark.parametrize("case", S3)
def test_files_by_s3fs(case):
    pytest.importorskip("s3fs")
    settings, expected = S3[case]
    found = place(fsspec("s3://bucket/a/b", **settings))
    if isinstance(expected, str):
        assert expected in found
    else:
        assert found == ("s3://bucket/a/b", expected, True)


def test_botocore_looks_around(monkeypatch, tmp_path):
    pytest.importorskip("s3fs")
    (tmp_path / "config").write_text("[default]\nregion = here\n")
    assert place(fsspec("s3://bucket/a", **TOLD))[1]["region"] == "here"
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    assert "s3" in place(fsspec("s3://bucket/b", **TOLD))
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "mine")
    safe = {**TOLD, "endpoint_url": "https://host"}
    assert "REQUESTS_CA_BUNDLE" in place(fsspec("s3://bucket/d", **safe))
    assert "s3" in place(fsspec("s3://bucket/d", **TOLD))[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    assert "AWS_ENDPOINT_URL" in place(fsspec("s3://bucket/c", **TOLD))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"token": "anon"}, {"environment": "false", "skip_signature": "true"}),
        ({"token": "anon", "requester_pays": True}, "requester"),
        ({"token": "anon", "endpoint_url": "http://host"}, "endpoint_url"),
        ({"token": "anon", "session_kwargs": {"a": 1}}, "session_kwargs"),
    ],
)
def test_files_by_gcsfs(settings, expected, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    system = GCSFileSystem(asynchronous=True, skip_instance_cache=True, **settings)
    found = place(FsspecStore(system, path="bucket/x"))
    if isinstance(expected, str):
        assert expected in found
    else:
        assert found == ("gs://bucket/x", expected, True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"account_key": "a2V5"}, {"account_key": "a2V5"}),
        ({"sas_token": "sv=1&sig=2"}, {"sas_token": "sv=1&sig=2"}),
        ({"anon": True}, {"skip_signature": "true"}),
        ({"anon": True, "account_host": "host"}, "account_host"),
        ({"anon": True, "version_aware": True}, "versions"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_files_by_adlfs(settings, expected, monkeypatch):
    # It would close its clients with this at the end, on a loop that is gone by then.
    monkeypatch.setattr("adlfs.spec.sync", lambda *_: None)
    found = place(fsspec("az://box/x", account_name="me", **settings))
    if isinstance(expected, str):
        assert expected in found
    else:
        base = {"environment": "false", "account_name": "me"}
        assert found == ("az://box/x", {**base, **expected}, True)
