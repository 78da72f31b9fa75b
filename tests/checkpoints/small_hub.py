"""A hub of one process that speaks as much of the hub's protocol as the real client asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 39 + "1"


class SmallHub(ThreadingHTTPServer):
    """Models by name, each a mapping of file names to contents.

    `gated` and `private` names are refused as the hub refuses them to a stranger.
    """

    gated, private = "them/gated", "them/private"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.made: dict[str, dict] = {}  # what was asked for when a model was made

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: SmallHub

    def answer(self, content: bytes | dict | list, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, code: str, status: int = 404, said: str = "") -> None:
        told = said or code
        self.answer({"error": told}, status, X_Error_Code=code, X_Error_Message=told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name == self.server.gated:
            said = f"Access to model {name} is restricted and you are not in the authorized list."
            return self.refuse("GatedRepo", 403, said)
        if name == self.server.private:  # not even that it is there
            return self.answer({"error": "Invalid username or password."}, 401)
        if name not in self.server.models:
            return self.refuse("RepoNotFound")
        files = self.server.models[name]
        revision = parts[5] if parts[0] == "api" and len(parts) > 5 else parts[3]
        if revision not in ("main", COMMIT):
            return self.refuse("RevisionNotFound")
        if parts[0] != "api":
            content = files["/".join(parts[4:])]
            etag = hashlib.sha1(content).hexdigest()
            return self.answer(content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)
        if parts[4] == "tree":
            return self.answer([
                {"type": "file", "path": path, "size": len(content),
                 "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files.items()
            ])  # fmt: skip
        siblings = [{"rfilename": path} for path in files]
        return self.answer({"id": name, "sha": COMMIT, "siblings": siblings})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[1] == "repos":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] != "me":
                return self.answer({"error": "no right"}, 403)
            self.server.models.setdefault(name, {})
            self.server.made[name] = asked
            return self.answer({"url": f"{self.server.address}/{name}", "id": name})
        name = "/".join(parts[2:4])
        if parts[-2:-1] == ["preupload"]:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for f in files]  # fmt: skip
            return self.answer({"files": modes})
        if parts[-2:-1] == ["commit"]:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.models[name][entry["value"]["path"]] = content
            url = f"{self.server.address}/{name}/commit/{COMMIT}"
            return self.answer({"success": True, "commitOid": COMMIT, "commitUrl": url})
        return self.answer({})


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    hub = SmallHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
