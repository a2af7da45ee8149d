"""Webhooks: what others may start here with a signed request, and what they are told in one.

settings.py     which event starts which deployment with which parameters; who is told of what
secrets.py      the secrets that callers sign with: in a file of the state folder or in the environment
verifying.py    whether a delivery is what its sender sent, and lately
reading.py      which parameters of a body are passed on
seen.py         the deliveries that were accepted, so that none is accepted twice
incoming.py     from a request to an answer
notices.py      what is told to others
addresses.py    where a notice may go, and where it may not
outbox.py       the notices that are still to be sent
outgoing.py     sends them, and tries again
"""
