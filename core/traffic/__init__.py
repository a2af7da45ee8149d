"""The memory of what users asked, what they were answered, and what they said of it.

settings.py      how long what is kept, what is masked, when it is turned into material
tables.py        the tables, and where the database lies
database.py      one database: opened, brought to the present tables, read and written
trouble.py       whether the database is away, and why
archive.py       what is asked of the tables
reaching.py      the same for a command or a task
redaction.py     secrets and personal data go before anything is stored; users are keyed hashes
spool.py         where exchanges wait while the database is away
recorder.py      what the gateway calls: it never waits for a disk
retention.py     what goes, by age and by size
counting.py      what figures are made of, added up by the database
figures.py       satisfaction, corrections and recall, by version and day
gauges.py        the same figures on the gateway's page for Prometheus
export.py        rows for other tools
said.py          what a stored exchange asked, and what was said of it, in the loop's terms
intents.py       what each question wanted
corrections.py   which corrections are taken, and as what
disliked.py      what users disliked, as remedies of the next round's plan
preferences.py   pairs of answers of which users preferred one
drift.py         whether users ask otherwise than they did
forgetting.py    a user's traffic deleted, wherever it is
told.py          what a collection did
"""
