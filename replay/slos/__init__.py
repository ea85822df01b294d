"""SLOs and freeze policies over history: what would have been with others, by the code that runs live."""
