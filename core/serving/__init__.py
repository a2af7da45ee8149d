"""What stands between users and engines: which version answers whom, what is remembered, what is refused.

exchange.py    what is remembered of a question and its answer, and what a user said of it
parts.py       what the gateway asks of its parts, so that each can be a fake in a test of another
"""
