"""The first examples of the Python SDK, unchanged in what they do, against a running server with an app view behind it.

Takes the server's URL, the port of its app view, and a handle and password on the command line.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlparse

from atproto import Client, client_utils, models

url, port, handle, password = sys.argv[1:5]
calls = []
# The least PNG.
PICTURE = base64.b64decode(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
)


class AppView(BaseHTTPRequestHandler):
    """Answers with what the server passes on, in the name of who asks."""

    def do_GET(self):
        path = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        token = self.headers['authorization'].removeprefix('Bearer ').split('.')[1]
        claims = json.loads(base64.urlsafe_b64decode(token + '=' * (-len(token) % 4)))
        method = path.path.removeprefix('/xrpc/')
        assert claims['lxm'] == method, claims
        calls.append((method, claims['iss']))
        author = {'did': claims['iss'], 'handle': handle}
        body = author
        if method == 'app.bsky.feed.getPostThread':
            record = {'$type': 'app.bsky.feed.post', 'text': 'seen', 'createdAt': '2026-01-01T00:00:00Z'}
            cid = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
            post = {'uri': query['uri'], 'cid': cid, 'author': author, 'record': record, 'indexedAt': record['createdAt']}
            body = {'thread': {'$type': 'app.bsky.feed.defs#threadViewPost', 'post': post}}
        answer = json.dumps(body).encode()
        self.send_response(200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


Thread(target=ThreadingHTTPServer(('127.0.0.1', int(port)), AppView).serve_forever, daemon=True).start()

client = Client(base_url=url)
profile = client.login(handle, password)
assert profile.handle == handle, profile
assert calls[-1] == ('app.bsky.actor.getProfile', client.me.did), calls

text = client_utils.TextBuilder().text('Hello from ').link('the SDK', 'https://atproto.blue')
post = client.send_post(text)
picture = client.send_image(text='a picture', image=PICTURE, image_alt='one dot')
record = client.get_post(picture.uri.rsplit('/', 1)[-1]).value
assert record.embed.images[0].image.size == len(PICTURE), record

thread = client.get_post_thread(post.uri).thread
assert thread.post.uri == post.uri and thread.post.record.text, thread

like = client.like(post.uri, post.cid)
assert '/app.bsky.feed.like/' in like.uri, like
follow = client.follow(client.me.did)
assert '/app.bsky.graph.follow/' in follow.uri, follow
reply = models.AppBskyFeedPost.ReplyRef(
    parent=models.create_strong_ref(post), root=models.create_strong_ref(post)
)
client.send_post('a reply', reply_to=reply)
assert client.unlike(like.uri) and client.delete_post(picture.uri)

again = Client(base_url=url)
again.login(session_string=client.export_session_string())
assert again.me.did == client.me.did
print(f'{len(calls)} calls came to the app view')
