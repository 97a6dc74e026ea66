"""Child processes: what ties them to their parent, and how soon one that died is started anew."""
