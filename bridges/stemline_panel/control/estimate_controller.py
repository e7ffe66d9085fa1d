# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long run would need, told before it starts: time and room on the disk."""

from __future__ import annotations

from PyQt5.QtCore import QObject

from stemline.errors import StemlineError
from stemline.workflow.results import Estimate
from stemline_panel.model.formatting import estimate_text
from stemline_panel.model.request import RunRequest, estimate_run
from stemline_panel.model.session import Action, Session
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.workers import Worker

_PAUSE_MS = 400
_LONG_S = 60


class EstimateController(QObject):
    """Estimates the next run below the main button, once the request has rested. A failed estimate shows nothing."""

    def __init__(self, session: Session, window: MainWindow) -> None:
        """Estimate nothing yet."""
        super().__init__()
        self._session, self._window = session, window
        self._worker = Worker("estimate", self)
        self._request: RunRequest | None = None
        self._timer = single_shot_timer(self, _PAUSE_MS)
        self._timer.timeout.connect(self._ask)

    def refresh(self) -> None:
        """Take over the request. The last estimate stays until the next one."""
        self._timer.start()

    def close(self) -> bool:
        """Stop estimating. Return True if the thread ended."""
        self._timer.stop()
        return self._worker.close()

    def _ask(self) -> None:
        request = self._long_request()
        if request == self._request:
            return
        self._request = request
        if request is None:
            self._window.prompt.show_needs("")
            return
        capabilities = self._session.host
        self._worker.do(
            lambda: estimate_run(request, capabilities),
            lambda needs: self._show(request, needs),
            lambda _: self._show(request, None),
        )

    def _long_request(self) -> RunRequest | None:
        """Return what the main button separates, if it is long."""
        if self._session.primary_action().action is not Action.SEPARATE:
            return None
        try:
            request = self._session.request()
        except StemlineError:
            return None
        length_s = sum(clip.record_range.duration for clip in request.clips) * len(request.stems)
        return request if length_s >= _LONG_S else None

    def _show(self, request: RunRequest, needs: Estimate | None) -> None:
        if request is self._request:
            self._window.prompt.show_needs(estimate_text(needs) if needs is not None else "")
