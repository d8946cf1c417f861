"""Reference pages, each a function that returns Markdown made from the code it describes."""
