"""Tokens for the clients of a scenario: JWTs, signed with the secret of the scenario's server."""

import base64
import hashlib
import hmac
import json
import math
import time

from bell import seconds

# Both are for servers that live for one scenario, on loopback.
SECRET = "the-secret-of-servers-that-live-for-one-scenario"
API_KEY = "the-api-key-of-servers-that-live-for-one-scenario"
EVERYTHING = [{"match": "#", "ops": ["pub", "sub", "hist", "pres"]}]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user, lasts="1h", may=EVERYTHING, issued_ago="0s"):
    """A token of `user` that ends after `lasts`, to the next whole second."""
    now = time.time()
    issued, end = int(now - seconds(issued_ago)), math.ceil(now + seconds(lasts))
    claims = {"sub": user, "caps": may, "iat": issued, "exp": end}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encoded(signature)}"
