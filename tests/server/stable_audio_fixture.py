"""Tiny Stable Audio pipelines with random weights, written by the tests that use them."""

from __future__ import annotations

import string
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("torchsde")

from stemline_server._torchaudio import torchaudio_transforms

LETTERS = " " + string.ascii_lowercase


def write_version_3(folder: Path) -> Path:
    """Write a Stable Audio 3 pipeline of 60 KB."""
    diffusers, torch = _libraries()
    from transformers import GemmaTokenizerFast, T5GemmaConfig
    from transformers.models.t5gemma import T5GemmaEncoderModel

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "\u2581", *LETTERS])}
    tokenizer = GemmaTokenizerFast(vocab=vocabulary, merges=[], model_max_length=16)
    part = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "sliding_window": 16,
        "layer_types": ["full_attention"],
        "vocab_size": len(vocabulary),
    }
    config = T5GemmaConfig(encoder=part, decoder=part, is_encoder_decoder=False, vocab_size=len(vocabulary))
    torch.manual_seed(0)
    parts = {
        "vae": diffusers.AutoencoderSAME(
            audio_channels=2,
            patch_size=16,
            encoder_channels=8,
            encoder_c_mults=(1,),
            encoder_strides=(2,),
            encoder_transformer_depths=(1,),
            latent_dim=4,
            dim_heads=4,
            ff_mult=1,
            sampling_rate=44_100,
        ),
        "text_encoder": T5GemmaEncoderModel(config),
        "duration_embedder": diffusers.StableAudio3DurationEmbedder(output_dim=8, fourier_dim=8),
        "transformer": diffusers.StableAudio3DiTModel(
            io_channels=4,
            embed_dim=16,
            depth=1,
            num_heads=2,
            cond_token_dim=8,
            global_cond_dim=8,
            local_add_cond_dim=5,
            timestep_features_dim=8,
            ff_mult=1.0,
            num_memory_tokens=2,
        ),
    }
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0, stochastic_sampling=True)
    return _saved(diffusers.StableAudio3Pipeline(**parts, tokenizer=tokenizer, scheduler=scheduler), torch, folder)


def write_open(folder: Path) -> Path:
    """Write a Stable Audio Open pipeline of 100 KB. Its longest sound has 2048 samples."""
    diffusers, torch = _libraries()
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *((letter, -4.0) for letter in LETTERS)]
    tokenizer = T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=32)
    torch.manual_seed(0)
    parts = {
        "vae": diffusers.AutoencoderOobleck(
            encoder_hidden_size=8,
            downsampling_ratios=[2, 4, 4],
            channel_multiples=[1, 1, 2],
            decoder_channels=4,
            decoder_input_channels=4,
            audio_channels=2,
            sampling_rate=44_100,
        ),
        "text_encoder": T5EncoderModel(
            T5Config(vocab_size=len(pieces), d_model=8, d_ff=16, d_kv=4, num_heads=2, num_layers=1)
        ),
        "projection_model": diffusers.StableAudioProjectionModel(
            text_encoder_dim=8, conditioning_dim=8, min_value=0, max_value=47
        ),
        "transformer": diffusers.StableAudioDiTModel(
            sample_size=64,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=4,
            num_attention_heads=2,
            num_key_value_attention_heads=2,
            cross_attention_dim=8,
            time_proj_dim=8,
            global_states_input_dim=16,
            cross_attention_input_dim=8,
        ),
    }
    scheduler = diffusers.CosineDPMSolverMultistepScheduler(
        solver_order=2, prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential"
    )
    return _saved(diffusers.StableAudioPipeline(**parts, tokenizer=tokenizer, scheduler=scheduler), torch, folder)


def _libraries() -> tuple[Any, Any]:
    torchaudio_transforms()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        import torch
    return diffusers, torch


def _saved(pipeline: Any, torch: Any, folder: Path) -> Path:
    """Save a pipeline. Parameters that are all zero get small values: else seed and words would change nothing."""
    with torch.no_grad():
        for part in pipeline.components.values():
            for parameter in part.parameters() if hasattr(part, "parameters") else ():
                if not parameter.any():
                    parameter.normal_(std=0.1)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
