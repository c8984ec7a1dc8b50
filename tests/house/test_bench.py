"""The page of measurements."""

from bench.report import Line, page


def test_measuring_some_lines_leaves_the_others_on_the_page() -> None:
    first, second = Line("one", "1", "≥ 1", True, ["a note"]), Line("two", "2", "≥ 3", False, ["another"])
    both = page([first, second], "") + "\n## Words\n- by hand\n"
    again = page([Line("one", "4", "≥ 1", True, ["measured again"])], both)
    assert [row.split(" | ")[:3] for row in again.splitlines() if row.startswith("| ")] == [
        ["| what", "measured", "bar"],
        ["| two", "2", "≥ 3"],
        ["| one", "4", "≥ 1"],
    ]
    assert [row for row in again.splitlines() if row.startswith("- ")] == [
        "- two: another",
        "- one: measured again",
        "- by hand",
    ]
    assert again.endswith("measured again\n\n## Words\n- by hand\n")
