"""The HTTP front: OpenAI's protocol towards callers, the parts of `serving/parts.py` behind it.

application.py   all of it put together, by one function
front.py         what every request passes: id, key, host, room, errors, headers
protocol.py      what a connection may do before it is a request: size of the head, time, how many
server.py        the socket, uvicorn, an orderly end

bodies.py        what may be asked, in OpenAI's form
names.py         which loop and version a model's name means; whose question it is
questions.py     one question: what is known of it, its reply, its record
answering.py     the way of a question: route, lease, cache, engine, answer, record
patience.py      work ends when its time is over, or its caller went away
streaming.py     the same for an answer in pieces
shadows.py       questions that another version is asked too, unheard
cache.py         answers that are given again, identical questions that are asked once

routes.py        everything else that can be asked: models, feedback, intents, hooks, health, metrics
asked_parts.py   what else it is given: webhooks, labels of questions
schema.py        the OpenAPI document
replies.py       answers and errors as bytes
keys.py          API keys on disk
limits.py        rate and concurrency of a key
audit.py         who changed what, line by line
metrics.py       figures for Prometheus
settings.py      what may be set
"""
