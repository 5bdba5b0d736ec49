"""The link checker finds what is dead, and leaves the rest alone."""

from tools.docs_links import dead_links

START = """
<link rel="stylesheet" href="style.css"><link rel="canonical" href="https://docs.example/">
<h1 id="top">Start</h1>
<a href="https://elsewhere.example/">out</a> <a href="#top">up</a> <a href="guide/page.html#part%20one">in</a>
<a href="guide/">folder</a> <a href="/guide/page.html">from the root</a>
"""
PAGE = '<h2 id="part one">One</h2> <a href="../index.html#top">back</a> <a href="mailto:a@b.example">mail</a>'


def site(tmp_path, **more):
    (tmp_path / "guide").mkdir()
    pages = {"index.html": START, "guide/index.html": "<p>", "guide/page.html": PAGE, "style.css": ""}
    for name, text in (pages | more).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_whole_site_has_no_dead_links(tmp_path) -> None:
    assert [*dead_links(site(tmp_path))] == []


def test_what_is_dead_is_found(tmp_path) -> None:
    bad = {
        "bad.html": '<a href="gone.html"></a><a href="index.html#gone"></a><a href="#gone"></a><img src="gone.png">'
        '<script src="https://elsewhere.example/x.js"></script>'
    }
    assert [*dead_links(site(tmp_path, **bad))] == [
        "bad.html loads https://elsewhere.example/x.js",
        "bad.html links to gone.html, which is not there",
        "bad.html links to index.html#gone, which has no such anchor",
        "bad.html links to #gone, which has no such anchor",
        "bad.html links to gone.png, which is not there",
    ]
