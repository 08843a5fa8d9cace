# SPDX-License-Identifier: Apache-2.0
"""A service on this machine that answers DetectFaces as documented: a face is a white square.

It keeps what it was sent, and can be told to refuse questions first.
"""

from __future__ import annotations

import base64
import io
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from skimage.measure import label, regionprops

LANDMARKS = {
    "eyeLeft": (0.3, 0.3),
    "eyeRight": (0.7, 0.3),
    "mouthLeft": (0.35, 0.8),
    "mouthRight": (0.65, 0.8),
    "nose": (0.5, 0.55),
    "chinBottom": (0.5, 1.0),
}


@dataclass
class FakeService:
    """What the service was sent, and what it is to answer.

    Attributes:
        url: Its address.
        sent: Pictures, as they came.
        refusals: Answers to give before any other: status, code.
    """

    url: str = ""
    sent: list[bytes] = field(default_factory=list)
    refusals: deque[tuple[int, str]] = field(default_factory=deque)

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        data = base64.b64decode(body["Image"]["Bytes"])
        self.sent.append(data)
        if self.refusals:
            status, code = self.refusals.popleft()
            return status, {"__type": code, "message": "arn:aws:iam::123456789012:user/somebody"}
        picture = PillowImage.open(io.BytesIO(data))
        if len(data) > 5 * 1024 * 1024:
            return 400, {"__type": "ImageTooLargeException", "message": ""}
        if min(picture.size) < 80:
            return 400, {"__type": "InvalidParameterException", "message": ""}
        return 200, {"FaceDetails": found(np.asarray(picture.convert("L")))}


def found(grey: np.ndarray[Any, np.dtype[np.uint8]]) -> list[dict[str, Any]]:
    """Give the 100 largest white squares as faces; none below 8 px or that are no squares."""
    height, width = grey.shape
    faces: list[dict[str, Any]] = []
    for each in regionprops(label(grey > 160)):
        y0, x0, y1, x1 = each.bbox
        if min(x1 - x0, y1 - y0) < 8:
            continue
        x, y, w, h = x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height
        marks = [
            {"Type": name, "X": x + w * at_x, "Y": y + h * at_y}
            for name, (at_x, at_y) in LANDMARKS.items()
        ]
        box = {"Left": x, "Top": y, "Width": w, "Height": h}
        faces.append({"BoundingBox": box, "Confidence": 99.5, "Landmarks": marks})
    faces.sort(key=lambda face: -face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"])
    return faces[:100]


@contextmanager
def fake_service() -> Iterator[FakeService]:
    """Run the service on a free port while the block lasts."""
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = service.answer(body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
