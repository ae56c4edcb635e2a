"""The floor of a first look: a process that lists a prefix and reads all that is there, and does nothing with it.

PYTHON benchmarks/reads.py BUCKET ENDPOINT PREFIX → how many objects there were. Keys from AWS_*.
"""

from __future__ import annotations

import sys
from threading import Thread

import obstore
from obstore.store import S3Store

WORKERS = 32


def main(bucket: str, endpoint: str, prefix: str) -> int:
    """Read with so many threads."""
    options = {"aws_endpoint_url_s3": endpoint, "virtual_hosted_style_request": False, "client_options": {"allow_http": True}}
    client = S3Store(bucket, **options)  # type: ignore[arg-type]
    left = [meta["path"] for page in obstore.list(client, prefix) for meta in page]
    number = len(left)

    def work() -> None:
        while left:
            try:
                key = left.pop()
            except IndexError:
                return
            obstore.get(client, key).bytes().to_bytes()

    threads = [Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return number


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
