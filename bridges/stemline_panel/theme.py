# SPDX-License-Identifier: GPL-3.0-or-later
"""The dark theme of the panel. Sizes are in points of the system's font."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QColor, QPalette
from PyQt5.QtWidgets import QApplication


@dataclass(frozen=True, slots=True)
class Colours:
    """The palette. `text` has a contrast of at least 7:1 to `ground` and `raised`, `dim` of 4.5:1 (WCAG AAA and AA)."""

    ground: str = "#1a1b1e"
    raised: str = "#24262a"
    field: str = "#121316"
    line: str = "#3a3d44"
    text: str = "#e4e6ea"
    dim: str = "#a2a8b3"
    accent: str = "#4c9be8"
    accent_text: str = "#0b1520"
    plus: str = "#4fc37a"
    minus: str = "#f0716a"
    warn: str = "#e9b44c"
    wave: str = "#79b8e8"
    stem: str = "#8fd6a6"
    residual: str = "#b9a5e0"
    playhead: str = "#ffb454"


COLOURS = Colours()
_TICK = (Path(__file__).parent / "widgets" / "tick.svg").as_posix()


def scale_for_high_dpi() -> None:
    """Enable high-DPI scaling. Call it before the application is created."""
    for attribute in (Qt.AA_EnableHighDpiScaling, Qt.AA_UseHighDpiPixmaps):
        QApplication.setAttribute(attribute)
    QApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)


def apply_theme(app: QApplication) -> None:
    """Use the Fusion style with the panel's palette and style sheet."""
    c = COLOURS
    app.setStyle("Fusion")
    palette = QPalette()
    for role, colour in (
        (QPalette.Window, c.ground),
        (QPalette.WindowText, c.text),
        (QPalette.Base, c.field),
        (QPalette.AlternateBase, c.raised),
        (QPalette.Text, c.text),
        (QPalette.Button, c.raised),
        (QPalette.ButtonText, c.text),
        (QPalette.ToolTipBase, c.raised),
        (QPalette.ToolTipText, c.text),
        (QPalette.Highlight, c.accent),
        (QPalette.HighlightedText, c.accent_text),
        (QPalette.Link, c.accent),
    ):
        palette.setColor(role, QColor(colour))
    for role in (QPalette.WindowText, QPalette.Text, QPalette.ButtonText):
        palette.setColor(QPalette.Disabled, role, QColor("#71767f"))
    app.setPalette(palette)
    app.setStyleSheet(_sheet(c))


def _sheet(c: Colours) -> str:
    return _texts(c) + _fields(c) + _buttons(c) + _window(c)


def _texts(c: Colours) -> str:
    return f"""
    QToolTip {{ background: {c.raised}; color: {c.text}; border: 1px solid {c.line}; padding: 4px; }}
    QFrame#card {{ background: {c.raised}; border: 1px solid {c.line}; border-radius: 6px; }}
    QFrame#drop {{ background: {c.raised}; border: 2px dashed {c.line}; border-radius: 10px; }}
    QLabel#title {{ font-weight: 600; font-size: 11pt; }}
    QLabel#caption {{ color: {c.dim}; font-weight: 600; font-size: 8pt; }}
    QLabel#dim {{ color: {c.dim}; }}
    QLabel#clock {{ font-family: "DejaVu Sans Mono", "Menlo", "Consolas", monospace; font-size: 12pt; }}
    QLabel#banner {{ background: #43351a; color: #ffe2a8; border: 1px solid #7a5f25; border-radius: 4px;
        padding: 6px 10px; }}
    """


def _fields(c: Colours) -> str:
    return f"""
    QLineEdit {{ background: {c.field}; border: 1px solid {c.line}; border-radius: 4px;
        padding: 5px 8px; min-height: 1.3em; }}
    QLineEdit:focus, QListWidget:focus, QTreeWidget:focus, QTableView:focus {{ border: 1px solid {c.accent}; }}
    QLineEdit[unknown="true"] {{ border-bottom: 2px dotted {c.warn}; }}
    QWidget#wave {{ border: 1px solid transparent; }}
    QWidget#wave:focus {{ border: 1px solid {c.accent}; }}
    QComboBox {{ background: #2f3238; border: 1px solid {c.line}; border-radius: 4px; padding: 5px 8px; }}
    QComboBox#fill {{ padding: 1px 6px; }}
    QComboBox:focus {{ border: 1px solid {c.accent}; }}
    QComboBox QAbstractItemView {{ background: {c.raised}; selection-background-color: #2b4866; }}
    QListWidget, QTreeWidget, QTableView {{ background: {c.field}; border: 1px solid {c.line}; border-radius: 4px;
        outline: none; }}
    QListWidget::item {{ padding: 4px 6px; border: none; }}
    QListWidget#queue::item, QListWidget#sounds::item {{ padding: 0; }}
    QTableView::item:selected {{ background: #2b4866; color: {c.text}; }}
    QTableView::item {{ padding: 0 4px; border: none; }}
    QTreeWidget::item {{ padding: 3px 4px; border: none; }}
    QTreeWidget::item:selected {{ background: #2b4866; color: {c.text}; }}
    QHeaderView::section {{ background: {c.raised}; color: {c.dim}; border: none; border-bottom: 1px solid {c.line};
        padding: 3px 6px; }}
    QCheckBox {{ spacing: 6px; }}
    QCheckBox::indicator {{ width: 13px; height: 13px; border: 1px solid {c.dim}; border-radius: 3px;
        background: {c.field}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent};
        image: url({_TICK}); }}
    QCheckBox:focus {{ color: {c.accent}; }}
    QListWidget::item:selected {{ background: #2b4866; color: {c.text}; }}
    QSlider::groove:horizontal {{ height: 4px; border-radius: 2px; background: {c.line}; }}
    QSlider::sub-page:horizontal {{ border-radius: 2px; background: {c.accent}; }}
    QSlider::handle:horizontal {{ width: 10px; margin: -5px 0; border: 1px solid {c.line}; border-radius: 5px;
        background: {c.dim}; }}
    QSlider::handle:horizontal:focus {{ border: 2px solid {c.text}; background: {c.accent}; }}
    QProgressBar {{ background: {c.field}; border: none; border-radius: 2px; max-height: 5px; }}
    QProgressBar::chunk {{ background: {c.accent}; border-radius: 2px; }}
    """


def _buttons(c: Colours) -> str:
    return f"""
    QPushButton, QToolButton {{ outline: none; background: #2f3238; border: 1px solid {c.line};
        border-radius: 4px; padding: 5px 10px; }}
    QPushButton:hover, QToolButton:hover {{ background: #393d45; }}
    QPushButton:pressed, QToolButton:pressed {{ background: #24272c; }}
    QPushButton:focus, QToolButton:focus {{ border: 1px solid {c.accent}; }}
    QPushButton:checked, QToolButton:checked {{ background: #2b4866; border-color: {c.accent}; }}
    QPushButton:disabled, QToolButton:disabled {{ background: #24262a; border-color: #303339; }}
    QPushButton#primary {{ background: {c.accent}; color: {c.accent_text}; border: none; border-radius: 6px;
        padding: 10px; font-size: 11pt; font-weight: 600; }}
    QPushButton#primary:hover {{ background: #66adf2; }}
    QPushButton#primary:focus {{ border: 2px solid {c.text}; }}
    QPushButton#primary:disabled {{ background: #33373e; color: #8b919b; }}
    QPushButton#primary[action="apply"] {{ background: {c.plus}; }}
    QPushButton#plus {{ color: {c.plus}; padding: 5px 6px; }}
    QPushButton#minus {{ color: {c.minus}; padding: 5px 6px; }}
    QPushButton#recent {{ text-align: left; border: none; background: transparent; }}
    QPushButton#recent:hover {{ background: #2f3238; }}
    QPushButton#small {{ padding: 1px 6px; }}
    QPushButton#small:checked {{ background: {c.playhead}; color: {c.accent_text}; }}
    QPushButton#stop {{ color: {c.minus}; padding: 3px 8px; }}
    QPushButton#drawer {{ border: none; background: transparent; padding: 3px 6px; }}
    QPushButton#link {{ border: none; background: transparent; padding: 0; color: {c.accent}; font-size: 8pt; }}
    QPushButton#link:hover, QPushButton#link:focus {{ color: {c.text}; text-decoration: underline; }}
    QPushButton#chip {{ padding: 2px 8px; border-radius: 9px; }}
    QPushButton#layer {{ padding: 5px 7px; }}
    QPushButton#layer:checked {{ background: {c.playhead}; color: {c.accent_text}; }}
    QPushButton#layer:checked:focus {{ border: 2px solid {c.text}; }}
    """


def _window(c: Colours) -> str:
    return f"""
    QStatusBar::item {{ border: none; }}
    QSplitter::handle {{ background: {c.ground}; }}
    QScrollBar:vertical {{ background: {c.field}; width: 10px; }}
    QScrollBar::handle:vertical {{ background: #454951; border-radius: 4px; min-height: 24px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
    QMenu {{ background: {c.raised}; border: 1px solid {c.line}; }}
    QMenu::item {{ padding: 5px 20px; }}
    QMenu::item:selected {{ background: #2b4866; }}
    QMenuBar {{ background: {c.ground}; }}
    QMenuBar::item:selected {{ background: {c.raised}; }}
    """
