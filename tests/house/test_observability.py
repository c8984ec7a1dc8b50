"""Rules, dashboards and runbooks fit each other and the metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.programs import needs
from tests.promql import metrics_of, metrics_of_all, told

from common.metric_names import METRICS
from penguinmails import dashboards

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/observability"
RULES = sorted((FOLDER / "prometheus/rules").glob("*.yml"))
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
PROMTOOL = shutil.which("promtool")


def alerts() -> list[dict[str, Any]]:
    """Every alert of every rule file."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("up", set()),
        ("a_b", {"a_b"}),
        ('rate(a:b{x="c d{", y=~"e|f"}[5m])', {"a:b"}),
        ("sum by (job, le) (rate(a[5m])) / on (job) group_left (x) max without (y) (b) > 0.5e3", {"a", "b"}),
        (
            'histogram_quantile(0.9, sum(rate(a_bucket{z!="}"}[$__rate_interval])) by (le)) >= bool 1',
            {"a_bucket"},
        ),
        ("absent(a) or b unless c and d offset 5m", {"a", "b", "c", "d"}),
        ("topk(3, a) + -b * Inf", {"a", "b"}),
    ],
)
def test_metrics_are_found_in_queries(query: str, names: set[str]) -> None:
    assert metrics_of(query) == names


def test_rules_and_dashboards_query_metrics_that_there_are() -> None:
    queries = [rule["expr"] for rule in alerts()] + dashboards.queries()
    assert len(queries) > 50
    ours = {name for name in metrics_of_all(queries) if not name.startswith("envoy_")}
    assert ours <= told()


def test_every_metric_is_on_a_dashboard() -> None:
    shown = metrics_of_all(dashboards.queries())
    endings = re.compile(r"_(bucket|sum|count)$")
    assert not {endings.sub("", name) for name in told()} - {endings.sub("", name) for name in shown}


def test_every_metric_is_measured_somewhere() -> None:
    sources = "".join(
        path.read_text()
        for folder in ("libs/common/src", "services")
        for path in (ROOT / folder).rglob("src/**/*.py" if folder == "services" else "*.py")
        if path.name != "metric_names.py"
    )
    constants = re.findall(
        r"^([A-Z_]+) = Metric\(", (ROOT / "libs/common/src/common/metric_names.py").read_text(), re.M
    )
    assert len(constants) == len(METRICS)
    assert not [name for name in constants if not re.search(rf"\b{name}\)|\b{name},", sources)]


def test_alerts_say_how_bad_it_is_and_where_to_read_on() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert "for" in rule, rule["alert"]


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    chapters = re.split(r"^## ", RUNBOOKS, flags=re.M)[1:]
    books = {chapter.partition("\n")[0]: chapter for chapter in chapters}
    assert set(books) == {rule["alert"] for rule in alerts()}
    for name, book in books.items():
        for part in ("**Means.**", "**Look.**", "**Mend.**"):
            assert part in book, (name, part)


def test_dashboards_are_those_of_the_tables() -> None:
    for path, page in dashboards.pages().items():
        assert (ROOT / path).read_text(encoding="utf-8") == page
        ids = [panel["id"] for panel in json.loads(page)["panels"]]
        assert ids == list(range(1, len(ids) + 1))
    assert {path.name for path in (FOLDER / "grafana/dashboards").glob("*.json")} == {
        path.name for path in dashboards.pages()
    }


def test_the_collectors_pipelines_are_made_of_what_is_there() -> None:
    config = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
    assert set(config["service"]["extensions"]) <= set(config["extensions"])
    scraped = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    (target,) = scraped[0]["static_configs"][0]["targets"]
    assert target.rpartition(":")[2] == config["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    assert scraped[0]["honor_labels"], "the service that is measured is the job, not the collector"


@needs("promtool", PROMTOOL, "on Debian `apt install prometheus`")
def test_alerts_come_with_their_faults_and_only_then() -> None:
    """Every alert has a case in which it comes and one in which it does not."""
    tests = sorted((FOLDER / "prometheus/tests").glob("*.yml"))
    cases = [
        (case["alert_rule_test"][0]["alertname"], bool(case["alert_rule_test"][0]["exp_alerts"]))
        for path in tests
        for case in yaml.safe_load(path.read_text())["tests"]
    ]
    assert set(cases) == {(rule["alert"], comes) for rule in alerts() for comes in (True, False)}
    checked = subprocess.run(
        [str(PROMTOOL), "check", "config", str(FOLDER / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run(
        [str(PROMTOOL), "test", "rules", *map(str, tests)], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
