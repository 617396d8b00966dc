"""Arrays in an object store, behind a network."""

import http.client
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from place import Place, is_document, write_files

#: What comes before the path of a request that is answered at once and counts nowhere.
_AT_ONCE = "/__control/objects/"


class Remote(Place):
    """Objects of an S3 service below a prefix.

    What is done to them here is no engine's work: it costs no latency.
    """

    def __init__(self, service: Mapping[str, Any], prefix: str) -> None:
        self.endpoint, self.bucket = service["endpoint"], service["bucket"]
        #: What a client needs to know, by the names of the `object_store` crate.
        self.options: dict[str, str] = service["options"]
        self.prefix = prefix
        self._connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=60)

    @property
    def url(self) -> str:
        """The address of the place."""
        return f"s3://{self.bucket}/{self.prefix}"

    def _ask(self, method: str, path: str, body: Any = None, **query: str) -> bytes:
        address = f"{_AT_ONCE}{self.bucket}/{quote(path)}"
        address += f"?{urlencode(query)}" if query else ""
        try:
            self._connection.request(method, address, body)
            answer = self._connection.getresponse()
        except ConnectionError:
            # The server closes what is idle; all that is asked here can be asked again.
            self._connection.close()
            self._connection.request(method, address, body)
            answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise OSError(f"{method} {path}: {answer.status}")
        return content

    def keys(self) -> Iterator[str]:
        """The keys below the prefix, without it."""
        query = {"list-type": "2", "prefix": self.prefix + "/"}
        while True:
            page = ET.fromstring(self._ask("GET", "", **query))
            for key in page.iterfind("Contents/Key"):
                yield (key.text or "").removeprefix(self.prefix + "/")
            token = page.findtext("NextContinuationToken")
            if token is None:
                return
            query["continuation-token"] = token

    def put(self, folder: Path) -> None:
        """Stores the files below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = path.relative_to(folder).as_posix()
                self._ask("PUT", f"{self.prefix}/{key}", path.read_bytes())

    def read(self, key: str) -> bytes:
        """An object."""
        return self._ask("GET", f"{self.prefix}/{key}")

    def clear(self) -> None:
        for key in list(self.keys()):
            if not is_document(key):
                self._ask("DELETE", f"{self.prefix}/{key}")

    def dump(self, folder: Path) -> None:
        write_files(folder, {key: self.read(key) for key in self.keys()})
