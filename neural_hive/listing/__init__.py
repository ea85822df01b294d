"""Lists of what the read models hold, page by page: for the terminal, the HTTP API and the page."""
