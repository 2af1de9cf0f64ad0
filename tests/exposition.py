"""A strict reader of Prometheus' text format, for what `.tcfs/metrics` shows.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import re
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP: Final = re.compile(rf"# HELP ({_NAME}) (\S.*)")
_TYPE: Final = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)")
_SAMPLE: Final = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
_PARTS: Final = {"histogram": ("_bucket", "_sum", "_count")}

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    """One metric: its samples by name and labels."""

    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def values(self, **labels: str) -> list[float]:
        """Return the values of the samples that have these labels."""
        wanted = set(labels.items())
        return [value for (_, has), value in self.samples.items() if wanted <= has]


def parse(text: str) -> dict[str, Family]:
    """Return the metrics of a text by name; fails where it is not well-formed."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    helped, here = None, None
    for line in text.splitlines():
        if found := _HELP.fullmatch(line):
            helped = found[1]
            assert helped not in families, f"{helped} is in two places"
        elif found := _TYPE.fullmatch(line):
            assert found[1] == helped, f"no HELP before {line}"
            here = found[1]
            families[here] = Family(found[2])
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, f"no sample: {line!r}"
            assert here is not None
            _add(families[here], here, found)
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _add(family: Family, called: str, found: re.Match[str]) -> None:
    name, labels, value = found.groups()
    assert name in [called + part for part in _PARTS.get(family.kind, ("",))], name
    pairs = _LABEL.findall(labels or "")
    assert sum(len(it[0]) for it in _LABEL.finditer(labels or "")) == len(labels or ""), labels
    assert len(dict(pairs)) == len(pairs), labels
    key = (name, frozenset(pairs))
    assert key not in family.samples, f"twice: {key}"
    family.samples[key] = float(value)
    if family.kind != "gauge":
        assert float(value) >= 0


def _check_histogram(name: str, family: Family) -> None:
    rest: dict[Labels, dict[float, float]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            bound = dict(labels)["le"]
            rest.setdefault(labels - {("le", bound)}, {})[float(bound)] = value
    assert len(rest) * 2 == sum(sample != f"{name}_bucket" for sample, _ in family.samples)
    for labels, buckets in rest.items():
        counts = [buckets[bound] for bound in sorted(buckets)]
        assert counts == sorted(counts), f"{name}{labels} is not cumulative"
        assert buckets[float("inf")] == family.samples[f"{name}_count", labels]
        assert (f"{name}_sum", labels) in family.samples
