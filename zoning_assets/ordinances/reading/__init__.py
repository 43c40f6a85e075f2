"""Extract the text of a document, in a child process with limits."""
