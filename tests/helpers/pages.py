"""What a browser would show of a page, and what it would fetch."""

import html.parser


class Page(html.parser.HTMLParser):
    """The text of a page, its tags, and every address in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.text, self.tags, self.addresses = "", [], []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data", "poster", "background"):
                self.addresses.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_self_contained(content: bytes) -> Page:
    """Asserts that a page fetches nothing and runs no scripts."""
    page = Page(content)
    assert page.addresses
    for address in page.addresses:
        assert address.startswith("data:image/"), address[:80]
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {*page.tags}
    for reference in (b"http://", b"https://", b"@import", b"url("):
        assert reference not in content
    return page
