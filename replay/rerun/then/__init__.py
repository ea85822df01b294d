"""Makes decisions again with whatever code of this system stands beside it: this build's, or that of an older revision.

These files are all that goes to a revision, and they are used as they are by this build too. They import nothing of
`replay/`, and of the code that decides only what has stayed the same since there are queues: systems by name, the fold,
the unit of work, the inbox and the codec. What came later is asked for and done without.
"""
