"""Reads a page as a browser without JavaScript, a keyboard and a screen reader would."""

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})
LOADS = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.children, self.words = [], []
        if parent is not None:
            parent.children.append(self)

    def all(self, *tags):
        """Elements inside of this one, in their order; all unless some tags are named."""
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    def above(self, tag):
        return self.parent is not None and (self.parent.tag == tag or self.parent.above(tag))

    @property
    def text(self):
        """Without what is in figures and style sheets."""
        parts = [part if isinstance(part, str) else part.text for part in self.words]
        return "" if self.tag in ("style", "svg") else " ".join(" ".join(parts).split())


class Reader(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.root = self.at = Element("", {}, None)
        self.feed(html)
        assert self.at is self.root, f"<{self.at.tag}> is not closed"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is there twice"
        made = Element(tag, attrs, self.at)
        self.at.words.append(made)
        if tag not in VOID:
            self.at = made

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.at = self.at.parent

    def handle_endtag(self, tag):
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.words.append(data)


def read(html):
    """The elements of a page or a part of one, in which everything is as it has to be."""
    root = Reader(html).root
    loads_nothing(root, html)
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    for element in root.all():
        named = element.attributes.get("aria-labelledby", "").split()
        assert set(named) <= set(ids)
    for figure in root.all("svg"):
        is_told(figure)
    for table in root.all("table"):
        has_heads(table)
    for region in root.all("div"):
        if region.attributes.get("role") == "region":  # which scrolls
            assert region.attributes["aria-label"]
            assert region.attributes["tabindex"] == "0"
    for link in root.all("a"):
        assert link.text
    return root


def read_page(html):
    """`read`, of a whole page."""
    root = read(html)
    assert html.startswith("<!doctype html>")
    (top,) = root.all("html")
    assert top.attributes["lang"] == "en"
    assert next(root.all("title")).text
    (main,) = root.all("main")
    skip = next(root.all("a"))
    assert skip.attributes["href"] == f"#{main.attributes['id']}"
    levels = [int(heading.tag[1]) for heading in root.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    return root


def loads_nothing(root, html):
    """Neither code nor anything from elsewhere; and what a strict policy forbids is not needed."""
    ids = {e.attributes.get("id") for e in root.all()}
    for element in root.all():
        assert element.tag not in ("script", "link", "iframe", "img", "object", "embed", "base")
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{name} runs code"
            assert name != "style", "a strict policy forbids it"
            if name in LOADS and value.startswith("#"):
                assert value[1:] in ids
            elif name in LOADS and element.tag == "a":
                # links to runs are relative; whatever else can be kept is in the page itself
                assert value.startswith("data:") == ("download" in element.attributes)
                assert not re.match(r"\w+://|//|javascript:", value)
            else:
                assert name not in LOADS, f"<{element.tag}> loads {value[:60]}"
    assert not re.search(r"url\((?!#|%23)|@import", html)


def is_told(figure):
    """It has a name and a description, or is nothing that has to be told."""
    if figure.attributes.get("aria-hidden") == "true":
        return
    assert figure.attributes["role"] == "img"
    title, description = figure.children[:2]
    assert (title.tag, description.tag) == ("title", "desc")
    assert all("".join(each.words).strip() for each in (title, description))
    named = [each.attributes["id"] for each in (title, description)]
    assert figure.attributes["aria-labelledby"].split() == named
    assert not list(figure.all("style")), "it would be for the whole page"


def has_heads(table):
    """A caption, and heads of its columns and rows."""
    assert table.children[0].tag == "caption"
    assert table.children[0].text
    scopes = [head.attributes["scope"] for head in table.all("th")]
    body = next(table.all("tbody"))
    rows = list(body.all("tr"))
    assert scopes.count("row") == len(rows)
    assert scopes.count("col") == len(next(rows[0].parent.parent.all("tr")).children)
