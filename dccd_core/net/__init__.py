"""The network, and what time it is. Buckets alone are reached from elsewhere (``lake/store/bucket.py``).

clock       the system's time, and a manual one for tests
ratelimit   what all processes of a machine may spend at one exchange:
            sharedwindow, what was spent and what that allows now; sqlitefile, the small file they share;
            limiter, waits until it allows a request; the breaker
http        one request at a time, paid for and judged
handshake   how a WebSocket is opened, and what a refusal means
websocket   one WebSocket connection: batches of messages, and typed errors
sockets     the way to an exchange's WebSocket, paid for from what all processes may open
retry       try again while that can help

What a request says and what an answer means is not known here: exchange files say so.
"""
