"""What mkdocs calls while it builds the site: pages made from code, links, and what must not be in it.

See https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from docs.hooks.dialect import for_site
from docs.hooks.links import BROUGHT, linked, loaded_from_elsewhere, outside
from docs.hooks.pages import pages

ROOT: Final = Path(__file__).parents[2]
_BROUGHT: Final = {page: document for document, page in BROUGHT.items() if document != "README.md"}


def decisions() -> str:
    """Return the page that lists the decisions."""
    files = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    titles = [(one.name, one.read_text("utf-8").partition("\n")[0].lstrip("# ")) for one in files]
    lines = (f"- [{title}]({name})\n" for name, title in titles)
    return "# Decisions\n\nWhat someone may question, and why it is as it is.\n\n" + "".join(lines)


def made() -> dict[str, str]:
    """Return all pages that are not written below ``docs``."""
    brought = {page: (ROOT / document).read_text("utf-8") for page, document in _BROUGHT.items()}
    return {**pages(), **brought, "decisions/index.md": decisions()}


def source(page: str) -> str:
    """Return where in the repository a page of the site is from."""
    return _BROUGHT.get(page, f"docs/{page}")


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401 -- mkdocs is in the group docs only
    file = import_module("mkdocs.structure.files").File
    texts = {source(one.src_uri): one.content_string for one in files.documentation_pages()}
    for page, text in made().items():
        files.append(file.generated(config, page, content=text))
        texts[source(page)] = text
    for path in sorted({path for document, text in texts.items() for path in outside(document, text)}):
        files.append(file.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:  # noqa: ANN401 -- as above
    return for_site(linked(source(page.file.src_uri), markdown))


def on_post_build(config: Any) -> None:  # noqa: ANN401 -- as above
    """Refuse a site that would load anything from another server."""
    folder = Path(config.site_dir)
    found = {one.name: loaded_from_elsewhere(one.read_text("utf-8")) for one in folder.rglob("*.html")}
    if tags := {name: tag for name, tag in found.items() if tag}:
        raise import_module("mkdocs.exceptions").PluginError(f"loaded from elsewhere: {tags}")
