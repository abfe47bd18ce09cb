"""What happens to the databases, as Django's signals.

`database_state_changed` is sent once for each change this process sees, with `alias`, `up` (whether it can be connected
now), `reason` (why not, or why it could not) and `seconds` (how long it was down; None where it has just gone down).
"""

from django.dispatch import Signal

database_state_changed = Signal()
