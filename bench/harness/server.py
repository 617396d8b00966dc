"""The object store of this project, started on loopback, which does what it is told."""

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

BINARY = Path(
    os.environ.get("FUZARR_TEST_SERVER")
    or Path(__file__).resolve().parents[2] / "target" / "release" / "fuzarr-test-server"
)


@dataclass(frozen=True)
class S3:
    """A service that speaks S3."""

    endpoint: str
    bucket: str = "bucket"

    @property
    def options(self) -> dict[str, str]:
        """Options for fuzarr."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "somebody",
            "secret_access_key": "secret",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables that say the same."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def url(self, path: str) -> str:
        return f"s3://{self.bucket}/{path}"

    def obstore(self, path: str, **options: Any) -> Any:
        """The same place as a store of obstore."""
        from obstore.store import S3Store

        options = {"client_options": {"allow_http": True}, **self.options, **options}
        return S3Store(self.bucket, prefix=path, **options)

    def zarr_store(self, path: str, **options: Any) -> Any:
        """The same place as a store of zarr-python."""
        from zarr.storage import ObjectStore

        return ObjectStore(self.obstore(path, **options))

    def s3fs_store(self, path: str) -> Any:
        """The same place as a store of zarr-python by way of s3fs."""
        from zarr.storage import FsspecStore

        options = {"key": "somebody", "secret": "secret", "endpoint_url": self.endpoint}
        return FsspecStore.from_url(self.url(path), storage_options=options)


class TestServer(S3):
    """The server of this project."""

    __test__ = False

    def _ask(self, order: str, asked: dict[str, Any] | None = None) -> bytes:
        body = json.dumps(asked or {}).encode()
        address = f"{self.endpoint}/__control/{order}"
        with urllib.request.urlopen(address, data=body, timeout=30) as answer:
            return answer.read()

    def order(self, latency: int = 0, rules: Any = ()) -> None:
        """Requests take `latency` milliseconds longer; `rules` say what befalls them."""
        self._ask("orders", {"latency": latency, "rules": list(rules)})

    def requests(self) -> list[list[Any]]:
        """Method, path, query, range and status of each request since the last time."""
        return json.loads(self._ask("requests"))

    def gauges(self) -> dict[str, int]:
        """How many requests are `answering`, how many were (`most_at_once`) since this was last
        asked, and how many `connections` are open."""
        return json.loads(self._ask("gauges"))

    def at_once(self, key: str) -> str:
        """The path at which an object is reached without latency, faults and notes."""
        return f"/__control/objects/{self.bucket}/{quote(key)}"

    def put(self, key: str, content: bytes) -> None:
        """Stores an object, at once."""
        address = self.endpoint + self.at_once(key)
        asked = urllib.request.Request(address, content, method="PUT")
        with urllib.request.urlopen(asked, timeout=30):
            pass

    def clear(self) -> None:
        """Forgets all objects."""
        self._ask("clear")


@contextlib.contextmanager
def test_server() -> Iterator[TestServer]:
    """A server, for as long as the block takes. Raises OSError if it is not built."""
    with subprocess.Popen([BINARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield TestServer(process.stdout.readline().decode().strip())
        finally:
            process.stdin.close()


test_server.__test__ = False
