"""How good is a tracker? Truth from colours and from memory, and metrics that compare tracks."""
