"""A promoted candidate gets a share of the users first; it is widened or rolled back by what they meet.

settings.py     stages, and how much harm of each kind is tolerated
assigning.py    who is in: a keyed hash, sticky and monotone
betting.py      tests that may be looked at after every request
outcomes.py     what an exchange and its feedback say: failed, slow, disliked
evidence.py     all tests of one stage
ruling.py       widen, hold or roll back, with the reason
trial.py        a trial and all that is remembered of it
state.py        the file that survives a kill, and what people order
routing.py      who answers whom at present
taking.py       which arm an exchange belongs to, for whom it counts, what it adds
canary.py       the whole, as the host uses it
journaling.py   its effects on the registry
judging.py      a judge's score of a reply
"""
