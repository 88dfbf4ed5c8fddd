"""From a configuration of dccd 2 or 3 to the ``dccd.yaml`` that means the same, and what of it is left.

Belongs here: what their keys become. Does not: what may be configured here; the rules are asked.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, cast

import yaml

from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, SECOND, Us, moment
from dccd_core.exchanges import NAMES
from dccd_core.imports.oldstore import symbol_of
from dccd_core.tables import DataType
from dccd_pipeline.config.collect import RECENT
from dccd_pipeline.config.cron import CRONS
from dccd_pipeline.config.read import SettingsError, settings_of

Raw = dict[str, Any]

_PROXY: Final = "Dagster's webserver has no login: put a proxy before it"
_NO_UI: Final = "the web interface is Dagster's: `dagster-webserver -h HOST -p PORT`"
_GONE: Final[Mapping[str, str]] = {
    "settings.ui_host": _NO_UI,
    "settings.ui_port": _NO_UI,
    "settings.ui_auth_token": _PROXY,
    "settings.ui_allow_origins": _PROXY,
    "settings.ui_rate_limit": _PROXY,
    "settings.ui_trusted_proxy": _PROXY,
    "settings.ui_readonly": "`dagster-webserver --read-only` does it",
    "jobs.enabled": "dccd 3 did not heed it in its file; write enabled: false where you want it",
    "jobs.transport": "dccd 3 did not heed it; collect asks by REST, stream listens",
    "jobs.derive_from": "dccd 3 did not heed it; here derive_from: builds bars of trades",
    "histo_jobs.format": "the lake is Parquet; `dccd read ... -o FILE.csv` writes others",
    "histo_jobs.max_retries": "a request is tried again as long as waiting helps",
    "histo_jobs.retry_delay": "the exchange's own limits say how long to wait",
}
"""What has no place in ``dccd.yaml``, and what does it now."""
_USED: Final[Mapping[str, tuple[str, ...]]] = {
    "settings": ("data_path", "timezone", "runs_retention_days"),
    "storage": ("local_path", "remotes", "sync_interval", "min_free_gb"),
    "alerts": ("webhook_url", "max_consecutive_errors"),
    "jobs": (
        "exchange", "pairs", "data_type", "operation", "span", "trigger_kind", "every", "cron", "start",
        "depth", "snapshot_interval",
    ),
    "histo_jobs": ("exchange", "pairs", "span"),
    "stream_jobs": ("exchange", "pairs", "channels", "time_step"),
}  # fmt: skip
_FIRST: Final = 30
"""Days that dccd 3 looked back for bars where it had none and was told to begin with the last."""
_LINE: Final = 1 << 20
_PERIOD: Final = re.compile(r"\W+")


@dataclass(slots=True)
class Translated:
    """``text``: of ``dccd.yaml``. ``dropped``: what means nothing here, by its place there, and why.

    ``notes``: what means something else here. ``lost``: whether something is not collected any more.
    """

    text: str = ""
    dropped: dict[str, str] = field(default_factory=dict[str, str])
    notes: dict[str, str] = field(default_factory=dict[str, str])
    lost: bool = False


def translate(text: str, now: Us, *, name: str = "the old file") -> Translated:
    """Return what a configuration of dccd 2 or 3 means here; what comes of it passes ``config check``.

    Raises:
        ConfigError: it is none.
    """
    try:
        read: object = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{name} is no YAML: {' '.join(str(e).split())}") from e
    old = _mapping(read)
    if not old.keys() & {"jobs", "histo_jobs", "stream_jobs", "settings", "storage"}:
        hint = "it has jobs (dccd 3), or histo_jobs and stream_jobs (dccd 2)"
        raise ConfigError(f"{name} is no configuration of dccd 2 or 3", hint=hint)
    work = _Translation(now)
    work.all_of(old)
    made = work.made
    made.text = f"# What `dccd import-config` made of {name}.\n{_written(work.new)}"
    return made


class _Translation:
    """One translation under way: ``new`` is what is known of the new file, and sound at any time."""

    def __init__(self, now: Us) -> None:
        self.now = now
        self.new: Raw = {"store": "./data", "collect": [], "stream": []}
        self.made = Translated()

    def all_of(self, old: Raw) -> None:
        for section in old:
            if section not in _USED:
                self._drop(section, "neither dccd 2 nor dccd 3 knows it")
        self._settings(_mapping(old.get("settings")), _mapping(old.get("storage")))
        self._alerts(_mapping(old.get("alerts")))
        for place, job in _jobs(old, "jobs"):
            self._known_keys("jobs", place, job)
            streams = job.get("operation") == "stream"
            (self._stream if streams else self._collect)(place, job, _kinds([job.get("data_type")]))
        bars = [one for one in DataType if one.table.takes_span]
        for place, job in _jobs(old, "histo_jobs"):
            self._known_keys("histo_jobs", place, job)
            self._collect(place, {"start": "origin", "trigger_kind": "interval", **job}, [*bars])
        for place, job in _jobs(old, "stream_jobs"):
            self._known_keys("stream_jobs", place, job)
            job = {"snapshot_interval": job.get("time_step"), **job}
            self._stream(place, job, _kinds(_listed(job.get("channels"))))

    def _known_keys(self, section: str, place: str, job: Raw) -> None:
        for key in job:
            if key not in _USED[section]:
                why = _GONE.get(f"{section}.{key}", "not known, and dccd never said so")
                self._drop(f"{place}.{key}", why)

    def _settings(self, settings: Raw, storage: Raw) -> None:
        self._known_keys("settings", "settings", settings)
        self._known_keys("storage", "storage", storage)
        for place, path in (
            ("settings.data_path", settings.get("data_path")),
            ("storage.local_path", storage.get("local_path")),
        ):
            if path:
                said = f"the old store stays where it is; `dccd import {path}` takes its rows over"
                self._drop(place, f"{said} into the new one, store: ./data")
        zone = settings.get("timezone")
        if zone and str(zone).upper() == "LOCAL":
            self._drop(
                "settings.timezone", "there is no local: without one it is UTC; write one like Europe/Paris"
            )
        elif zone and str(zone).upper() != "UTC":
            self._add("settings.timezone", {"timezone": zone})
        if days := settings.get("runs_retention_days"):
            self._add("settings.runs_retention_days", {"keep_runs": {"days": days}})
        elif days == 0:
            self._drop("settings.runs_retention_days", "runs are not kept for ever: see keep_runs")
        self._remotes(storage)

    def _remotes(self, storage: Raw) -> None:
        every = self._interval(storage.get("sync_interval", 3_600))
        for n, remote in enumerate(map(_mapping, _listed(storage.get("remotes")))):
            place, to = f"storage.remotes[{n}]", str(remote.get("remote", ""))
            name = _PERIOD.sub("_", to).strip("_").lower() or "remote"
            entry = {
                "name": name if name[0].isalpha() else f"to_{name}",
                "to": f"rclone:{to.rstrip('/')}/lake",
            }
            known = cast("list[Raw]", self.new.get("remotes", []))
            if self._add(place, {"remotes": [*known, {**entry, "every": every}]}):
                self.made.notes[place] = f"copied to {entry['to']}: the old copy stays as it is"
        if free := storage.get("min_free_gb"):
            self._add("storage.min_free_gb", {"purge": {"keep_free": f"{free}GiB"}})

    def _alerts(self, alerts: Raw) -> None:
        self._known_keys("alerts", "alerts", alerts)
        if hook := alerts.get("webhook_url"):
            failures = alerts.get("max_consecutive_errors", 3)
            self._add("alerts", {"alerts": {"webhook_url": hook, "after_failures": failures}})

    def _collect(self, place: str, job: Raw, kinds: list[DataType | str]) -> None:
        for kind in kinds:
            if not (entry := self._entry(place, job, kind)):
                continue
            entry |= self._when(place, job)
            if kind.table.takes_depth and job.get("depth"):  # type: ignore[union-attr] -- an entry is of one of ours
                entry["depth"] = job["depth"]
            loose: list[Raw] = [{"depth": None}] if "depth" in entry else []
            if "cron" in entry:
                loose.append({"cron": None, "every": self._interval(job.get("every") or job.get("span"))})
            starts = self._starts(entry, job)
            ways = [{**start, **more} for more in ({}, *loose) for start in starts]
            self._each_symbol("collect", place, entry, job, ways)

    def _stream(self, place: str, job: Raw, kinds: list[DataType | str]) -> None:
        for kind in kinds:
            if not (entry := self._entry(place, job, kind)):
                continue
            entry["data_types"] = [entry.pop("data_type")]
            entry = {"name": self._free_name(f"{entry['exchange']}_{entry['data_types'][0]}"), **entry}
            if DataType(entry["data_types"][0]).table.takes_depth:
                entry |= {key: job[key] for key in ("depth",) if job.get(key)}
                entry["snapshot_every"] = f"{max(1, int(job.get('snapshot_interval') or 60))}s"
            self._each_symbol("stream", place, entry, job, [{}, {"depth": None}])

    def _entry(self, place: str, job: Raw, kind: DataType | str) -> Raw:
        """Return what is the same in both sections; nothing where that cannot be had here."""
        exchange = str(job.get("exchange", "")).lower()
        if exchange not in NAMES:
            self._lose(place, f"there is no exchange {exchange} here")
            return {}
        if not isinstance(kind, DataType):
            self._lose(place, f"there is no data type {kind} here")
            return {}
        entry: Raw = {"exchange": exchange, "data_type": kind.value}
        if kind.table.takes_span:
            try:
                entry["span"] = format_bar_span(Us(int(job["span"]) * SECOND))
            except (KeyError, TypeError, ValueError):
                self._lose(place, "span is no number of seconds")
                return {}
        return entry

    def _when(self, place: str, job: Raw) -> Raw:
        """Return how often an entry is brought up to date."""
        kind, every = job.get("trigger_kind", "interval"), job.get("every") or job.get("span")
        if kind in ("manual", "once"):
            return {"every": "never"}
        if kind == "cron" and job.get("cron"):
            said = f"dccd 3 never read {job['cron']!r} and ran every {every} s; here it counts, in timezone"
            self.made.notes[f"{place}.cron"] = said
            return {"cron": job["cron"]}
        return {"every": self._interval(every)} if every else {}

    def _interval(self, seconds: object) -> str:
        """Return the interval nearest to a number of seconds, no shorter if that can be."""
        wanted = Us(int(str(seconds)) * SECOND) if str(seconds).isdigit() else DAY
        return format_bar_span(min((one for one in CRONS if one >= wanted), default=DAY))

    def _starts(self, entry: Raw, job: Raw) -> list[Raw]:
        """Return what may be written of when to begin, what is meant first."""
        today, start = moment(self.now).date(), str(job.get("start", "last"))
        ways: list[Raw] = [{}, {"start": RECENT}]
        table = DataType(entry["data_type"]).table
        if start == "origin" or table.pictures:  # an order book shows the present, whatever is asked
            return ways
        if start == "last":
            first = today - timedelta(days=1 if table.vast else _FIRST)
            return [{"start": first}, *ways[::-1]]
        day = _day(start)
        return [{"start": day}, {"start": RECENT}, {}] if day else ways

    def _each_symbol(self, section: str, place: str, entry: Raw, job: Raw, ways: list[Raw]) -> None:
        """Add an entry with all of its symbols that can be had, by the first way that goes."""
        good: dict[int, list[str]] = {}
        for pair in dict.fromkeys(map(str, _listed(job.get("pairs")))):
            try:
                symbol = str(symbol_of(entry["exchange"], _slug(pair)))
            except ConfigError as e:
                self._lose(f"{place}.pairs {pair}", str(e.args[0]))
                continue
            whys = [self._refusal(section, {**entry, **way, "symbols": [symbol]}) for way in ways]
            if None not in whys:
                self._lose(f"{place}.pairs {pair}", cast("str", whys[0]))
                continue
            good.setdefault(n := whys.index(None), []).append(symbol)
            if n:
                self._loosened(place, ways[n], cast("str", whys[0]))
        for n, symbols in good.items():
            self._put(section, place, {**entry, **ways[n], "symbols": list(dict.fromkeys(symbols))}, job)

    def _loosened(self, place: str, way: Raw, why: str) -> None:
        """Say why not all of a job is meant as it was written, and what is written instead."""
        key = why.partition(":")[0]
        instead = f"{key}: {way[key]}" if way.get(key) else f"no {key}"
        self.made.notes[f"{place}.{key}"] = f"{why}; {instead} is written"

    def _put(self, section: str, place: str, entry: Raw, job: Raw) -> None:
        first = [key for key in ("name", "exchange", "symbols") if key in entry]
        whole = {key: entry[key] for key in (*first, *entry) if entry[key] is not None}
        if section == "collect":
            whole = {"name": self._collect_name(whole), **whole}
        for symbol in list(whole["symbols"]):
            if (why := self._refusal(section, {**whole, "symbols": [symbol]}, beside=True)) is not None:
                whole["symbols"] = [one for one in whole["symbols"] if one != symbol]
                self._drop(f"{place}.pairs {symbol}", why)
        if whole["symbols"]:
            if section == "collect" and "start" in whole and str(job.get("start", "last")) == "last":
                said = f"last is no day, so start: {whole['start']} is written; write the first day you want"
                self.made.notes[f"{place}.start"] = said
            self.new[section] = [*self.new[section], whole]

    def _refusal(self, section: str, entry: Raw, *, beside: bool = False) -> str | None:
        """Return why an entry cannot be, by itself or ``beside`` those there are; None: it can."""
        others = self.new if beside else {}
        entry = {key: value for key, value in entry.items() if value is not None}
        if section == "stream" and "name" not in entry:
            entry["name"] = "x"
        return _refusal({**others, section: [*others.get(section, []), entry]}, self.now)

    def _collect_name(self, entry: Raw) -> str:
        parts = (entry["exchange"], entry["data_type"], entry.get("span", ""))
        return self._free_name("_".join(part for part in parts if part))

    def _free_name(self, name: str) -> str:
        known = {one.get("name") for section in ("collect", "stream") for one in self.new[section]}
        number = next(n for n in range(1, _LINE) if (name if n == 1 else f"{name}_{n}") not in known)
        return name if number == 1 else f"{name}_{number}"

    def _add(self, place: str, keys: Raw) -> bool:
        """Add keys if they may be so here."""
        if (why := _refusal({**self.new, **keys}, self.now)) is not None:
            self._drop(place, why)
            return False
        self.new |= keys
        return True

    def _drop(self, place: str, why: str) -> None:
        self.made.dropped[place] = why

    def _lose(self, place: str, why: str) -> None:
        self.made.lost = True
        self._drop(place, why)


def _refusal(raw: Raw, now: Us) -> str | None:
    """Return the first line of what is wrong with settings; None: nothing is."""
    try:
        settings_of(raw, now=now)
    except SettingsError as e:
        return re.sub(r"^(collect|stream)\[\d+\]\.?", "", e.lines[0])
    return None


def _jobs(old: Raw, section: str) -> Iterator[tuple[str, Raw]]:
    for n, job in enumerate(_listed(old.get(section))):
        yield f"{section}[{n}]", _mapping(job)


def _kinds(words: Iterable[object]) -> list[DataType | str]:
    """Return the data types that words mean; a word that means none stays. Without one bars are meant."""
    found = list[DataType | str]()
    for word in words:
        known = [one for one in DataType if word is None and one.table.takes_span]
        known = known or [one for one in DataType if str(word) in (one.value, *one.table.synonyms)]
        found += known or [str(word)]
    return found


def _slug(pair: str) -> str:
    """Write a pair as folders of dccd 3 have it."""
    pair, _, market = pair.partition(":")
    return f"{pair.replace('/', '-')}{f'_{market.upper()}' if market and market != 'spot' else ''}"


def _day(start: str) -> date | None:
    if start.isdigit() and len(start) > len("20240101"):
        return moment(Us(int(start) // 1_000)).date()
    try:
        return date.fromisoformat(start[:10])
    except ValueError:
        return None


def _mapping(raw: object) -> Raw:
    return cast("Raw", raw) if isinstance(raw, dict) else {}


def _listed(raw: object) -> list[object]:
    return cast("list[object]", raw) if isinstance(raw, list) else []


def _written(new: Raw) -> str:
    """Write settings as people do: an entry a line."""
    lines = list[str]()
    for key, value in new.items():
        if isinstance(value, list):
            entries = cast("list[Raw]", value)
            lines += [f"{key}:", *(f"  - {_flow(one)}" for one in entries)] if entries else []
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=_LINE, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
