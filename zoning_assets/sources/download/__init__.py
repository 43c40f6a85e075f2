"""Files to download, by HTTP or FTP, or beside the jurisdiction file."""
