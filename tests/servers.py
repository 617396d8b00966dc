"""Object stores for tests, started here on loopback and ended here."""

import contextlib
import socket
import subprocess
import sys
import time

from harness.server import S3, test_server

__all__ = ["S3", "folder", "moto", "test_server"]


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
