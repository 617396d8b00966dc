"""Object stores for tests, started here on loopback and ended here."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from harness.server import S3, test_server

__all__ = ["S3", "Azure", "azurite", "folder", "moto", "test_server"]

ROOT = Path(__file__).resolve().parent.parent
AZURITE = ROOT / ".tools" / "npm" / "node_modules" / ".bin" / "azurite-blob"


@dataclass(frozen=True)
class Azure:
    """A service that speaks Azure's language, with the account that all its emulators have."""

    endpoint: str
    bucket: str = "container"
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    @property
    def options(self):
        return {"account_name": self.account, "account_key": self.key, "endpoint": self.endpoint}

    @property
    def environment(self):
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }

    def url(self, path):
        return f"az://{self.bucket}/{path}"

    def zarr_store(self, path):
        from obstore.store import AzureStore
        from zarr.storage import ObjectStore

        allowed = {"client_options": {"allow_http": True}}
        return ObjectStore(AzureStore(self.bucket, prefix=path, **self.options, **allowed))

    def create_container(self):
        now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
        signed = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
        signed += [f"/{self.account}/{self.account}/{self.bucket}", "restype:container"]
        digest = hmac.digest(base64.b64decode(self.key), "\n".join(signed).encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {self.account}:{base64.b64encode(digest).decode()}"
        headers["Content-Length"] = "0"
        address = f"{self.endpoint}/{self.bucket}?restype=container"
        request = urllib.request.Request(address, method="PUT", headers=headers)
        urllib.request.urlopen(request, timeout=30).close()


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port, process, seconds=60):
    for _ in range(seconds * 20):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen")


@contextlib.contextmanager
def _running(command, port):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:
        try:
            _wait_for(port, process)
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def azurite():
    port = _free_port()
    command = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    command += ["--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"]
    with _running(command, port):
        service = Azure(f"http://127.0.0.1:{port}/{Azure.account}")
        service.create_container()
        yield service


@contextlib.contextmanager
def moto():
    port = _free_port()
    script = Path(__file__).with_name("moto_server.py")
    command = [sys.executable, str(script), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port):
        service = S3(f"http://127.0.0.1:{port}")
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=service.endpoint,
            aws_access_key_id="somebody",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=service.bucket)
        client.close()
        yield service


@contextlib.contextmanager
def folder(path):
    """A plain web server, which knows no ranges; its address."""
    port = _free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with _running([*command, "--directory", str(path)], port):
        yield f"http://127.0.0.1:{port}"
