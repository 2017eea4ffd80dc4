"""What a page has, read by Python's own parser of HTML."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page's text by section, its links, and whether its elements are closed in order."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.sections, self.links, self.ids, self.misplaced = {}, [], set(), []
        self.classes = set()
        self._open, self._section = [], None
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids.add(values.get("id"))
        self.classes.update((values.get("class") or "").split())
        self.links += [values[name] for name in ("href", "src") if name in values]
        if tag == "section":
            self._section = values["id"]
            self.sections[self._section] = ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.classes.update((dict(attrs).get("class") or "").split())

    def handle_endtag(self, tag):
        # A cell or a row of a table, or an item of a list, ends with the next one.
        while self._open and self._open[-1] != tag and self._open[-1] in ("td", "th", "tr", "li", "p"):
            self._open.pop()
        if not self._open or self._open.pop() != tag:
            self.misplaced.append(tag)
        if tag == "section":
            self._section = None

    def handle_data(self, data):
        if self._section is not None:
            self.sections[self._section] += data

    @property
    def pictures(self):
        """Return how many pictures the style has, by their class."""
        return re.findall(r"^\.(\w+)\{background-image:url\(data:image/(?:png|jpeg);base64,", self.source, re.MULTILINE)

    def check(self):
        """Nothing from elsewhere, no script, links that lead somewhere, elements closed in order."""
        assert not self.misplaced
        assert not self._open
        assert "<script" not in self.source
        assert not re.search(r"(?:src|href)=['\"]?(?:https?:|//)|url\((?!data:)|@import", self.source)
        targets = [link[1:] for link in self.links]
        assert all(link.startswith("#") for link in self.links)
        assert set(targets) <= self.ids, set(targets) - self.ids
        return self
