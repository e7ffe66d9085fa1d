"""A contract for import-linter: the packages that each of the project's packages may import, and no others."""

from __future__ import annotations

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedContract(Contract):
    """Hold the direct imports of `source` to the standard library, itself and the packages in `allowed`.

    `ignore_imports` lists exemptions as "importing module -> imported module".
    """

    type_name = "allowed"

    source = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField(), required=False)
    ignore_imports = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return every import that the table of layers does not allow, and every exemption that is not needed."""
        options: Any = self
        exempt = set(options.ignore_imports or ())
        packages = {options.source, *(options.allowed or ()), *sys.stdlib_module_names}
        members = {options.source, *graph.find_descendants(options.source)}
        wrong = {
            f"{module} -> {imported}"
            for module in members
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.partition(".")[0] not in packages
        }
        unneeded = {f"{line} (exemption not needed)" for line in exempt - wrong}
        found = sorted((wrong - exempt) | unneeded)
        return ContractCheck(kept=not found, metadata={"imports": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import."""
        for line in check.metadata["imports"]:
            output.print_error(f"- {line}", bold=False)
