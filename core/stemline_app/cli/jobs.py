"""`stemline jobs`: list, cancel and retry jobs of the server."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING

from stemline.errors import Code, SeparationError, StemlineError, UsageError
from stemline_app.cli.options import add_json, add_server
from stemline_app.cli.output import write_json, write_line, write_table

if TYPE_CHECKING:
    from stemline.client import Client, Job


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "jobs",
        help="list, cancel and retry jobs",
        description="List the jobs of the server, cancel them, or retry failed ones.",
    )
    parser.add_argument("action", nargs="?", choices=("list", "cancel", "retry"), default="list")
    parser.add_argument("names", nargs="*", metavar="JOB", help="jobs, by the names that `stemline jobs` lists")
    parser.add_argument("--batch", default="", metavar="ID", help="the jobs of one batch")
    parser.add_argument("--all", action="store_true", help="all jobs; without it, the list ends after the newest 50")
    add_server(parser)
    add_json(parser)
    parser.set_defaults(func=run)


_SHOWN = 50


def run(args: argparse.Namespace) -> int:
    """List, cancel or retry. Return 1 when a named job is unknown."""
    from stemline.client import connect

    if args.action != "list" and not (args.names or args.batch or args.all):
        raise UsageError(f"No jobs to {args.action} are named.", advice="Give their names, --batch ID or --all.")
    with connect(args.server) as client:
        if args.action == "cancel":
            jobs, errors = _cancel(client, args)
        elif args.action == "retry":
            jobs, errors = _retry(client, args)
        else:
            jobs, errors = _chosen(client, args)
    if args.json:
        write_json([_facts(job) for job in jobs], errors)
    else:
        _show(jobs, errors, more=not args.all and args.action == "list" and len(jobs) > _SHOWN)
    return 1 if errors else 0


_Jobs = tuple[list["Job"], list[tuple[str, StemlineError]]]


def _chosen(client: Client, args: argparse.Namespace) -> _Jobs:
    """Return the jobs that the arguments name, and an error for each name that the server does not know."""
    if not args.names:
        everything = args.all or args.json or args.action != "list"
        return list(islice(client.jobs(args.batch), None if everything else _SHOWN + 1)), []
    jobs: list[Job] = []
    errors: list[tuple[str, StemlineError]] = []
    for name in args.names:
        try:
            jobs.append(client.job(name if name.startswith("jobs/") else f"jobs/{name}"))
        except StemlineError as error:
            errors.append((name, _unknown() if error.code is Code.JOB_UNKNOWN else error))
    return jobs, errors


def _unknown() -> SeparationError:
    advice = "`stemline jobs --all` lists the jobs."
    return SeparationError("The server does not know this job.", code=Code.JOB_UNKNOWN, advice=advice)


def _cancel(client: Client, args: argparse.Namespace) -> _Jobs:
    jobs, errors = _chosen(client, args)
    return client.cancel([job.name for job in jobs if not job.ended]), errors


def _retry(client: Client, args: argparse.Namespace) -> _Jobs:
    from stemline.client import JobState

    jobs, errors = _chosen(client, args)
    again = [job.request for job in jobs if job.state in (JobState.FAILED, JobState.CANCELLED)]
    return client.create_jobs(again), errors


def _show(jobs: list[Job], errors: list[tuple[str, StemlineError]], *, more: bool) -> None:
    columns = ("job", "state", "done", "model", "prompt", "batch", "note")
    if jobs or not errors:
        write_table(columns, map(_row, jobs[:_SHOWN] if more else jobs))
    if more:
        write_line("There are older jobs; --all lists them.")
    for about, error in errors:
        write_line(f"{about}: {error}")


def _row(job: Job) -> tuple[str, ...]:
    prompt = job.request.prompt
    spans = len(prompt.plus) + len(prompt.minus)
    note = f"{job.error.message} {job.error.advice}".strip() if job.error else job.stage
    return (
        job.name.removeprefix("jobs/"),
        job.state,
        "100 %" if job.state == "succeeded" else f"{job.fraction:.0%}",
        job.model or job.request.model,
        prompt.text[:60] or f"{spans} spans",
        job.request.batch_id,
        note,
    )


def _facts(job: Job) -> dict[str, object]:
    return {
        "job": job.name,
        "batch": job.request.batch_id,
        "state": job.state,
        "fraction": job.fraction,
        "attempt": job.attempt,
        "model": job.model or job.request.model,
        "prompt": job.request.prompt.text,
        "media": job.request.media,
        "stem": job.stem.media if job.stem else None,
        "engine_s": job.engine_s,
        "created": job.created.isoformat() if job.created else None,
        "error": {"code": job.error.reason, "message": job.error.message, "advice": job.error.advice}
        if job.error
        else None,
    }
