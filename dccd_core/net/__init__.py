"""The only folder that touches the network or asks what time it is.

clock       the system's time, and a manual one for tests
sqlitefile  a small SQLite file that many processes share
tally       what all processes of a machine have spent at one exchange, and what that allows now
budget      waits until the tally allows a request; the breaker
http        one request at a time, paid for and judged
handshake   how a WebSocket is opened, and what a refusal means
websocket   one WebSocket connection: batches of messages, and typed errors
sockets     the way to an exchange's WebSocket, paid for from what all processes may open
retry       try again while that can help

What a request says and what an answer means is not known here: exchange files say so.
"""
