"""What keeps PostgreSQL itself from starting in a fenced node's data, whoever starts it, and says why. Pure.

The fence marker lies beside the data, where only haop and the node script look. A line of `postgresql.auto.conf`, which
every server and every tool that starts one reads, includes a file that does not exist: its name is what PostgreSQL says
when it refuses. The node script takes both away as it makes the node a standby, or the primary again.
"""

CONF = "postgresql.auto.conf"
NOTE = "FENCED.txt"
BEGINS = "include 'FENCED by haop"


def line(name: str) -> str:
    """What PostgreSQL refuses to start with.

    >>> print(line("db1"), end="")
    include 'FENCED by haop: another node is or may be primary; read FENCED.txt, or make it a standby: haop rejoin db1'
    """
    told = f"another node is or may be primary; read {NOTE}, or make it a standby: haop rejoin {name}"
    return f"{BEGINS}: {told}'\n"


def note(name: str, marker: str) -> str:
    """What `FENCED.txt` in the data directory says.

    Args:
        name: of the node.
        marker: what the fence marker beside the data directory is called.
    """
    return f"""These are the data of {name}, which haop has FENCED: another node was promoted, or was about to be.

A server that starts here would be a second primary. What it accepts would be lost once {name} follows the other one.
So {CONF} has a line that PostgreSQL does not start with, and what serves these data all the same is ended.

The way out:

    haop rejoin {name}      make it a standby: what only it has is kept, and rewound
    haop rebuild {name}     the same by a fresh clone, where a rewind is not possible
    haop up               whichever is needed, of all nodes

By hand, without haop, and only where no other node is primary or will be:

    1. end haop's guard: haop guard stop
    2. remove the fence marker, {marker}, beside this directory
    3. remove the line that begins with {BEGINS} from {CONF}
    4. remove this file
"""
