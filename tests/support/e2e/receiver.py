"""A receiver of webhooks: what an administrator would run, with the check of the signature from deploy/webhook.md.

receiver.py SECRET ANSWERS [CERTIFICATE KEY]

ANSWERS says what each request is answered with, in order, the last one from then on: a status, `silent` (no answer until the other side
leaves), `broken` (no HTTP), `closed` (nothing at all). One line is printed for each request.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from verify import is_genuine

secret, answers = sys.argv[1].encode(), sys.argv[2].split(",")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        genuine = is_genuine(secret, body, self.headers.get("X-Relayscope-Signature"))
        other = is_genuine(secret, body + b" ", self.headers.get("X-Relayscope-Signature"))
        entry = json.loads(body)
        print(
            f"{self.command} {self.path} host={self.headers['Host']} type={self.headers['Content-Type']}",
            f"agent={self.headers['User-Agent'].split('/')[0]} genuine={genuine and not other}",
            f"step={entry.get('step')} anomaly={entry.get('anomaly')} id={entry.get('id')} answer={answer}",
            flush=True,
        )
        self.close_connection = True
        if answer == "silent":
            self.connection.recv(1)
        elif answer == "broken":
            self.wfile.write(b"220 mail.example ESMTP\r\n")
        elif answer != "closed":
            self.send_response(int(answer))
            if answer.startswith("3"):
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class Quiet(HTTPServer):
    def handle_error(self, request, client_address):
        print(f"failed: {sys.exc_info()[1]}", flush=True)


server = Quiet(("127.0.0.1", 0), Receiver)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"receiving on {server.server_address[1]}", flush=True)
server.serve_forever()
