"""Each link of each document leads to something, in the repository or in the site that is made of it."""

import pytest

from docs.hooks.links import in_site, linked, links, loaded_from_elsewhere, outside, place
from docs.hooks.site import made
from tests.docs.documents import ALL, ROOT, anchors, text


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {f"docs/{page}": content for page, content in made().items()}


@pytest.mark.parametrize("document", ALL)
def test_each_link_leads_somewhere(document: str, pages: dict[str, str]) -> None:
    _lead_somewhere(document, text(document), pages)


def test_each_link_of_a_page_that_is_made_leads_somewhere(pages: dict[str, str]) -> None:
    for page, content in pages.items():
        if "reference/" in page or "decisions/" in page:
            _lead_somewhere(page, content, pages)


def _lead_somewhere(document: str, content: str, pages: dict[str, str]) -> None:
    within = [(document.rpartition("/")[2], one) for one in _own_anchors(content)]
    for link, anchor in (*links(content), *within):
        target = place(document, link)
        assert target in pages or (ROOT / target).exists(), f"{document} links to {link}"
        if anchor:
            there = pages.get(target) or text(target)
            assert anchor.lstrip("#") in anchors(there), f"{document} links to {link}{anchor}"


def _own_anchors(content: str) -> list[str]:
    return [f"#{part.partition(')')[0]}" for part in content.split("](#")[1:]]


def test_a_link_leads_to_where_things_are_in_the_site() -> None:
    written = (
        "[a](../lake.md#pins) [b](../../deploy/x.conf) [c](../../CHANGELOG.md) [d](https://x.org) [e](#x)"
    )
    assert linked("docs/howto/x.md", written) == (
        "[a](../lake.md#pins) [b](../files/deploy/x.conf) [c](../changelog.md) [d](https://x.org) [e](#x)"
    )
    led = linked("CONTRIBUTING.md", "[a](docs/lake.md) [b](docs/decisions)")
    assert led == "[a](lake.md) [b](decisions/index.md)"
    assert outside("docs/howto/x.md", written) == {"deploy/x.conf"}
    assert in_site("docs/lake.md") == "lake.md"


def test_code_holds_no_links() -> None:
    assert list(links("```\n[a](b.md)\n```\n[c](d.md)")) == [("d.md", "")]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://x.org/x.js">',
        '<link href="//x.org/x.css" rel="stylesheet">',
        '<img src="http://x.org/x.png">',
    ],
)
def test_what_would_be_loaded_from_another_server_is_found(tag: str) -> None:
    assert loaded_from_elsewhere(f"<p>{tag}</p>") == [tag]
    assert loaded_from_elsewhere('<a href="https://x.org"></a><script src="assets/x.js"></script>') == []
