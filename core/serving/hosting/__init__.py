"""Loops as they are served: which versions are wanted, engines that answer as them, swaps under way.

host.py        all loops of a gateway; implements `Hosting`
loop_host.py   one loop: brings what is served into step with what is wanted
wanted.py      which versions that is, and who answers whom no trial takes
watch.py       looks at the registry, and says when the champion is another one
admission.py   is what would be served what was measured?
shelf.py       checked adapters on this machine's disk, and what was served last
fleet.py       the engine that answers, those that drain, and the step from one to the next
running.py     one engine that is up, the versions it answers as, the requests that hold it
warming.py     the first question
pins.py        versions that callers name
refusals.py    versions that get no traffic, and on what grounds
parts.py       what is told to hosting from outside: a loop, the registry, a trial
"""
