"""The check of a domain: plays every mail client and finds what stops it.

`facts` gathers addresses, connections, certificates, greetings and documents, each once,
within one deadline. Each client is a row of `tools/clients.toml`, which `playing` follows
to the settings that the client would set up. The rules in `rules` look at all of that
(`context`) and yield findings: codes with values. `findings` decides their status, merges
equal causes and drops consequences; `texts.toml` has the words, and `report` prints them.
"""

from .facts import Facts
from .findings import Case
from .run import Report, check_file, check_published, reach

__all__ = ["Case", "Facts", "Report", "check_file", "check_published", "reach"]
