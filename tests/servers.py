"""Object stores for tests, started here on loopback and ended here."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

BINARY = Path(
    os.environ.get("FUZARR_TEST_SERVER")
    or Path(__file__).resolve().parent.parent / "target" / "release" / "fuzarr-test-server"
)


@dataclass(frozen=True)
class S3:
    """A service that speaks S3."""

    endpoint: str
    bucket: str = "bucket"

    @property
    def options(self):
        """Options for fuzarr."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "somebody",
            "secret_access_key": "secret",
        }

    @property
    def environment(self):
        """Variables that say the same."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def url(self, path):
        return f"s3://{self.bucket}/{path}"

    def obstore(self, path, **options):
        """The same place as a store of obstore."""
        from obstore.store import S3Store

        options = {"client_options": {"allow_http": True}, **self.options, **options}
        return S3Store(self.bucket, prefix=path, **options)

    def zarr_store(self, path, **options):
        """The same place as a store of zarr-python."""
        from zarr.storage import ObjectStore

        return ObjectStore(self.obstore(path, **options))

    def s3fs_store(self, path):
        """The same place as a store of zarr-python by way of s3fs."""
        from zarr.storage import FsspecStore

        options = {"key": "somebody", "secret": "secret", "endpoint_url": self.endpoint}
        return FsspecStore.from_url(self.url(path), storage_options=options)


class TestServer(S3):
    """The server of this project, which does what it is told."""

    __test__ = False

    def _ask(self, order, asked=None):
        body = json.dumps(asked or {}).encode()
        address = f"{self.endpoint}/__control/{order}"
        with urllib.request.urlopen(address, data=body, timeout=30) as answer:
            return answer.read()

    def order(self, latency=0, rules=()):
        """Requests take ``latency`` milliseconds longer; ``rules`` say what befalls them."""
        self._ask("orders", {"latency": latency, "rules": list(rules)})

    def requests(self):
        """Method, path, query, range and status of each request since the last time."""
        return json.loads(self._ask("requests"))


@contextlib.contextmanager
def test_server():
    with subprocess.Popen([BINARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield TestServer(process.stdout.readline().decode().strip())
        finally:
            process.stdin.close()


test_server.__test__ = False


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
def moto():
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
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
