"""Weights of SAM 2 at a tiny size, with random numbers, in the published form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stemline_server._torchaudio import torchaudio_transforms

torchaudio_transforms()  # transformers imports torchaudio if it is installed
from transformers import Sam2VideoConfig, Sam2VideoModel  # noqa: E402

SIDE = 128


def tiny_config() -> Any:
    grids = [[SIDE // step, SIDE // step] for step in (4, 8, 16)]
    return Sam2VideoConfig(
        image_size=SIDE,
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 12,
                "image_size": [SIDE, SIDE],
                "blocks_per_stage": [1, 2, 3, 1],
                "embed_dim_per_stage": [12, 24, 48, 96],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [8, 4, 14, 7],
                "global_attention_blocks": [4],
            },
            "backbone_channel_list": [96, 48, 24, 12],
            "backbone_feature_sizes": grids,
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[SIDE // 16, SIDE // 16],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        mask_downsampler_embed_dim=128,
    )


def write_tiny_weights(folder: Path) -> Path:
    """Write a folder of weights whose object is always in the picture."""
    torch.manual_seed(0)
    model = Sam2VideoModel(tiny_config()).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(50)
    model.save_pretrained(folder)
    return folder
