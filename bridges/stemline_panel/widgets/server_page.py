# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the settings about the server: private or shared, its address, token and certificates, and a test."""

from __future__ import annotations

from collections.abc import Callable

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QButtonGroup, QFileDialog, QFormLayout, QLineEdit, QRadioButton, QWidget

from stemline_panel.widgets.layout import button, label, row, row_widget

TestServer = Callable[[str, str, str, Callable[[str], None]], None]
"""(address, token file, CA file, show): connect, and call `show` in the window's thread with one sentence."""


class ServerPage(QWidget):
    """Edits the address of the server. An empty address is the user's private server."""

    def __init__(self, server: str, token_file: str, ca_file: str, test: TestServer) -> None:
        """Show the settings."""
        super().__init__()
        self._test = test
        self.private = QRadioButton(self.tr("A private server on this computer, which starts by itself"))
        self.shared = QRadioButton(self.tr("A shared server"))
        group = QButtonGroup(self)
        for choice in (self.private, self.shared):
            group.addButton(choice)
        self.address = QLineEdit(server)
        self.address.setPlaceholderText("https://stems.example.com:7861")
        self.address.setAccessibleName(self.tr("Address of the server"))
        self.token_file, self.ca_file = QLineEdit(token_file), QLineEdit(ca_file)
        self.token_file.setPlaceholderText(self.tr("None, or STEMLINE_TOKEN of the environment"))
        self.ca_file.setPlaceholderText(self.tr("The certificates that this system trusts"))
        self.result = label("", "dim", wrap=True)
        self.result.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self.test = button(self.tr("Test the connection"), self.tr("Connect and ask for the models"), self._run_test)
        form = QFormLayout(self)
        form.addRow(self.private)
        form.addRow(self.shared)
        form.addRow(self.tr("Address"), self.address)
        form.addRow(
            self.tr("Token file"), self._with_choice(self.token_file, self.tr("Choose the file with the token"))
        )
        tip = self.tr("Choose a PEM file with the certificates to trust")
        form.addRow(self.tr("Certificates"), self._with_choice(self.ca_file, tip))
        form.addRow("", row_widget(self.test, 1))
        form.addRow("", self.result)
        (self.shared if server else self.private).setChecked(True)
        self.shared.toggled.connect(self._enable)
        self._enable(self.shared.isChecked())

    def chosen(self) -> tuple[str, str, str]:
        """Return address, token file and CA file; the address is empty for the private server."""
        address = self.address.text().strip() if self.shared.isChecked() else ""
        return address, self.token_file.text().strip(), self.ca_file.text().strip()

    def _enable(self, shared: bool) -> None:
        for field in (self.address, self.token_file, self.ca_file):
            field.setEnabled(shared)

    def _run_test(self) -> None:
        self.test.setEnabled(False)
        self.result.setText(self.tr("Connecting…"))
        self._test(*self.chosen(), self._show_result)

    def _show_result(self, text: str) -> None:
        self.result.setText(text)
        self.test.setEnabled(True)

    def _with_choice(self, field: QLineEdit, tip: str) -> QWidget:
        field.setAccessibleName(tip)
        holder = QWidget()
        holder.setLayout(row(field, button(self.tr("Choose…"), tip, lambda: self._choose(field, tip))))
        return holder

    def _choose(self, field: QLineEdit, title: str) -> None:
        name, _ = QFileDialog.getOpenFileName(self, title, field.text())
        if name:
            field.setText(name)
