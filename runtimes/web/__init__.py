"""The browser's side: an ES module and a page (JavaScript), and what puts them together and serves them (Python)."""
