"""moto's server, whose puts of objects come one after the other.

It compares the version that a write is conditional on, and writes some time after: of two writers
at the same time both may be told that they were the one. S3 is atomic there.
"""

import sys
import threading

from moto.s3.responses import S3Response
from moto.server import main

_one = threading.Lock()
_put = S3Response.put_object


def put_object(self):
    with _one:
        return _put(self)


S3Response.put_object = put_object

if __name__ == "__main__":
    main(sys.argv[1:])
