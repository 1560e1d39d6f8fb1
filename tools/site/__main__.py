"""Build the site: docs/site, by zensical, of the pages written by hand and of those the code writes.

    python -m tools.site [--out docs/site] [--check]

Pages keep the places that they have in the repository, and files that they link to come along, so that a link means
the same here, there and on disk. A link to what is not there, or by hand to a page that is only of the site, ends it
with exit code 1. Nobody on the network is asked,
and the pages ask nobody; only the search box needs a server: `python -m http.server --directory docs/site`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from tools.site import written

ROOT = Path(__file__).parents[2]
MARK = ".selftaught-site"  # says that a folder is a site of this program's
LINK = re.compile(r"\]\(([^)#\s]+)")
# The order in which the pages by hand are read; what is not named here is found by links and by search.
GUIDES = {
    "Ten minutes": "docs/guides/ten-minutes.md",
    "My photos": "docs/guides/my-photos.md",
    "Your own data": "docs/guides/data.md",
    "Images that are no photos": "docs/guides/images.md",
    "Satellite pictures": "docs/guides/satellite.md",
    "Microscopy": "docs/guides/microscopy.md",
    "Tables": "docs/guides/tables.md",
    "Sensors": "docs/guides/sensors.md",
    "Time series": "docs/series.md",
    "Sound": "docs/audio.md",
    "Texts": "docs/text.md",
    "From weights that exist": "docs/guides/weights.md",
    "Which method": "docs/guides/comparing.md",
    "What to label, what is odd": "docs/finding.md",
    "A classifier": "docs/guides/classifier.md",
    "Handing a run to others": "docs/guides/handover.md",
    "Metadata": "docs/guides/metadata.md",
    "In Python and notebooks": "docs/guides/python.md",
    "Eight notebooks": "docs/guides/notebooks.md",
    "A method of your own": "docs/guides/own-method.md",
    "scikit-learn": "docs/scikit-learn.md",
    "Runs in a tracker": "docs/guides/trackers.md",
    "Many machines": "docs/scale.md",
}
ABOUT = {
    "What it promises": "docs/guides/promises.md",
    "How it is judged": "docs/judging.md",
    "What the alarms mean": "docs/guides/alarms.md",
    "How fast it is": "docs/guides/speed.md",
    "Systems and images": "docs/guides/systems.md",
    "File formats": "docs/formats.md",
    "Records": "docs/records.md",
    "The shape of the code": "docs/design.md",
    "Contributing": "CONTRIBUTING.md",
    "Security": "SECURITY.md",
    "What changed": "CHANGELOG.md",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/site")
    parser.add_argument("--check", action="store_true", help="only see whether it can be built")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        gather(folder / "pages")
        (folder / "mkdocs.yml").write_text(yaml.safe_dump(config(), sort_keys=False))
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / "mkdocs.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
        elif not asked.check:
            put(folder / "site", asked.out)
    return done.returncode


def gather(pages: Path) -> None:
    """Everything that the site is made of, at its place below `pages`."""
    hand = {str(page.relative_to(ROOT)): page.read_text() for page in by_hand()}
    texts = hand | written.methods(ROOT) | written.commands() | written.python()
    for name, text in texts.items():
        for link in LINK.findall(text):
            _bring(name, link, pages, alone=name in hand)
        name = "index.md" if name == "README.md" else name
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(text)


def by_hand() -> list[Path]:
    """The pages that people wrote, none of a site that was built among them, wherever the checkout lies."""
    pages = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
    return [page for page in pages if page.relative_to(ROOT).parts[:2] != ("docs", "site")]


def _bring(page: str, link: str, pages: Path, *, alone: bool) -> None:
    """Copy what a page links to and that is no page; whether pages are there is for the builder to find.

    But `alone`, without the site, a page that people wrote is read in the repository: what it links to is to be there.
    """
    # By name alone: pages that the code writes lie in folders that the repository does not have.
    target = Path(os.path.normpath((ROOT / page).parent / link))
    if "://" in link or (link.endswith(".md") and not alone):
        return
    if not target.exists():
        sys.exit(f"{page} links to {link}, which is not there")
    if link.endswith(".md"):
        return
    place = pages / target.resolve().relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        shutil.copy(target, place)


def put(site: Path, out: Path) -> None:
    """Put the site in its place, instead of an older one; what is anything else stays as it is."""
    if out.exists() and not (out / MARK).exists():
        sys.exit(f"{out} is no site that was built before; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(site, out)
    (out / MARK).touch()
    print(f"{out}/index.html", file=sys.stderr)


def config() -> dict[str, Any]:
    """Settings of the builder, with every page's place."""
    kinds = [
        {f"{kind[1].capitalize()} ({written.FAMILIES[kind[0]]})": [{n: f"docs/methods/{n}.md"} for n in names]}
        for kind, names in written.by_kind().items()
    ]
    commands = [{name: f"docs/commands/{name}.md"} for name in written.COMMANDS]
    handler = {"paths": [str(ROOT / "src")], "options": {"show_source": False, "show_root_heading": False}}
    features = ["navigation.sections", "navigation.top", "navigation.indexes", "content.code.copy", "search.highlight"]
    palettes = [
        {
            "media": "(prefers-color-scheme: light)",
            "scheme": "default",
            "toggle": {"icon": "lucide/moon", "name": "Dark"},
        },
        {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "toggle": {"icon": "lucide/sun", "name": "Light"}},
    ]
    return {
        "site_name": "selftaught",
        "site_description": "Teach a network from your own unlabelled data, then hand it your few labels.",
        "docs_dir": "pages",
        "site_dir": "site",
        "use_directory_urls": False,  # pages open from a disk
        "theme": {"name": "material", "font": False, "features": features, "palette": palettes},
        "markdown_extensions": ["tables", "pymdownx.highlight", "pymdownx.superfences", "toc"],
        "plugins": ["search", {"mkdocstrings": {"handlers": {"python": handler}}}],
        "nav": [
            {"Start": ["index.md"]},
            {"The lecture": ["docs/the-lecture.md"]},
            {"Guides": [{title: page} for title, page in GUIDES.items()]},
            {"Methods": ["docs/methods/index.md", *kinds]},
            {"Commands": ["docs/commands/index.md", *commands]},
            {"Python": ["docs/python.md"]},
            {"About": [{title: page} for title, page in ABOUT.items()]},
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
