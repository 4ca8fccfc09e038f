"""Reports as files: Markdown, a single HTML page, JUnit XML, JSON."""
