"""The check of a whole deployment: files, clocks, directory, statements, peers and graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clumpt.aio import deferred
from clumpt.apps import conf_findings
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_findings import Finding, Level
from clumpt.apps.conf_keys import DIRECTORY, Keys, load_certificate
from clumpt.apps.oneshot import Status, status_of
from clumpt.errors import BadInput, ClumptError
from clumpt.trust.signer import Signer

#: How a directory comes by the schema, or its newest version.
SCHEMA = (
    "start the new version of clumpt-directory; for OpenLDAP: clumptconf schema --format ldif if it has"
    " none, --format upgrade if it has an older one, as docs/directory.md tells"
)


@deferred
async def check(env: Environment) -> int:
    """Print what is good and what is not; fires with the exit status, 0 if nothing failed."""
    findings = list(_files(env))
    status = Status.DONE
    try:
        findings += await _directory(env)
    except ClumptError as wrong:
        # What comes after it cannot be looked at; the other lines are of use all the same.
        findings.append(Finding(Level.FAIL, "directory", str(wrong)))
        status = status_of(wrong)
    fields = [
        {"level": one.level.value, "subject": one.subject, "text": one.text, "mend": one.mend}
        for one in findings
    ]
    env.talk.show(map(str, findings), findings=fields)
    if status is Status.DONE and any(one.level is Level.FAIL for one in findings):
        return Status.FAILED
    return status


def _files(env: Environment) -> Iterator[Finding]:
    """The administrator's own files."""
    now, keys = env.now(), env.keys
    yield Finding(Level.OK, "configuration", "it can be read")
    ca, _ = keys.places.pair("ca")
    yield _certificate(ca, now, "make a new authority: see docs/trust.md")
    for name, path in keys.places.own_certificates.items():
        if name != DIRECTORY or path.exists():
            yield _certificate(path, now, f"clumptconf renew {name}")
    if keys.places.root_key.exists():
        text = f"{keys.places.root_key} is on this machine"
        yield Finding(Level.WARN, "root key", text, "take it off-line, to two places")


def _certificate(path: Path, now: float, mend: str) -> Finding:
    subject = f"certificate {path}"
    try:
        return conf_findings.certificate(subject, load_certificate(path), now, mend)
    except BadInput as wrong:
        return Finding(Level.WARN, subject, str(wrong), "bring it from where clumptconf init made it")


async def _directory(env: Environment) -> list[Finding]:
    findings = []
    missing = await env.setup.verify_schema()
    for line in missing:
        findings.append(Finding(Level.FAIL, "schema", line, SCHEMA))
    if not missing:
        findings.append(Finding(Level.OK, "schema", "the directory has all of it"))
    site = await survey(env)
    text = f"deployment {site.keyring.deployment}, root document {site.keyring.version}"
    findings.append(Finding(Level.OK, "directory", text))
    findings += _signing_keys(env.keys, site)
    statuses = await env.directory.statuses()
    now = env.now()
    findings += conf_findings.clock(statuses, now)
    findings += conf_findings.statements(site)
    findings += conf_findings.certificates(statuses, now)
    findings += conf_findings.states(site, statuses, now)
    findings += conf_findings.graph(site, env.random)
    return findings


def _signing_keys(keys: Keys, site: Site) -> Iterator[Finding]:
    """Are the keys here those that the root document names?"""
    root = site.keyring.root
    submitters = {submitter.keyid for submitter in root.submitters}
    for path, trusted in ((keys.places.enrol_key, root.enrollers), (keys.places.submit_key, submitters)):
        if not path.exists():
            continue
        subject = f"key {path}"
        try:
            good = Signer.load(path).keyid in trusted
        except ClumptError as wrong:
            yield Finding(Level.FAIL, subject, str(wrong))
            continue
        if good:
            yield Finding(Level.OK, subject, "the root document names it")
        else:
            yield Finding(Level.FAIL, subject, "the root document does not name it", "bring the right key")
