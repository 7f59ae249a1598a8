"""An HTTP server that fails a number of times and then passes requests on to a real one."""
import contextlib
import http.server
import threading

import requests


@contextlib.contextmanager
def running(faults, behind=""):
    """Serves in a thread.

    Args:
      faults: for each of the first requests (status, headers, body), or None to close the connection without a word.
      behind: the URL that answers further requests.

    Yields:
      The URL, and the list of the requests' bodies, which grows.
    """
    faults, bodies, lock = list(faults), [], threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                bodies.append(body)
                fault = faults.pop(0) if faults else (200, {}, None)
            if fault is None:
                self.close_connection = True
                return
            status, headers, content = fault
            if content is None:
                reply = requests.post(behind + ":predict", data=body, timeout=30)
                status, content = reply.status_code, reply.content
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            # A caller that has read enough of an error may be gone.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, *_):
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/ornet", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
