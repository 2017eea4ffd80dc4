"""What recipes of PaddleClas may hold and this toolkit does not have: switches that may be off, and names to refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

_RETRIEVAL = "it belongs to retrieval (metric learning), and this toolkit classifies images"
_SEMI_SUPERVISED = "it belongs to semi-supervised training, which this toolkit does not have"
_FEATURE_MAPS = "distillation here compares logits, not feature maps; remove it, and the losses of feature maps"
_SLIM = "quantization-aware training and pruning (PaddleSlim) are not available; `ppcls export --int8` quantizes"
_ML_DECODER = "ML-Decoder, a head of PaddleClas's for many labels, is not available; the usual head takes its place"
_OWN_NETWORKS = "an argument of PaddleClas's own networks"


@dataclass(frozen=True)
class Switch:
    """A key of PaddleClas for something that this toolkit does not have.

    Attributes:
        off: values that disable the feature, the usual one first; with them the key is accepted, and dropped.
        reason: why every other value is refused, and what to do instead.
    """

    off: Tuple[Any, ...]
    reason: str


def _schedule_switches() -> Dict[str, Switch]:
    return {
        "Optimizer.lr.last_epoch": Switch((-1, None), "to continue a run, give Global.checkpoints"),
        "Optimizer.lr.verbose": Switch((False, None), "each log line has the learning rate"),
        "Optimizer.lr.cycle": Switch((False, None), "a cyclic schedule is called Cyclic"),
        "Optimizer.lr.scale_fn": Switch((None,), "give mode: triangular, triangular2 or exp_range"),
        "Optimizer.lr.scale_mode": Switch(("cycle", None), "scale_fn is not available"),
    }


# By the path of the key. A component that takes an argument of this name gets it.
SWITCHES: Mapping[str, Switch] = {
    "Global.use_dali": Switch(
        (False, None), "DALI (decoding on NVIDIA GPUs) is not available; the loader decodes on the CPU"
    ),
    "Global.feature_normalize": Switch((False, None), _RETRIEVAL),
    "Global.feature_binarize": Switch((False, None), _RETRIEVAL),
    "Global.re_ranking": Switch((False, None), _RETRIEVAL),
    "Global.retrieval_feature_from": Switch((None,), _RETRIEVAL),
    "Global.iter_per_epoch": Switch(
        (None,), "an epoch is one pass over the data; it belongs to semi-supervised training and retrieval"
    ),
    "Global.warmup_iter": Switch((None,), _RETRIEVAL),
    "Global.image_channel": Switch(
        (3, 4, None), "Global.image_shape has the channels; PaddleClas reads them from there"
    ),
    "Global.infer_imgs": Switch((None,), "its section is Infer: Infer.infer_imgs"),
    "Arch.use_ssld": Switch((False, None), f"{_OWN_NETWORKS} (weights from SSLD); give Arch.pretrained a path"),
    "Arch.use_fused_attn": Switch((False, None), f"{_OWN_NETWORKS} (GPU kernels of attention)"),
    "Arch.use_fused_linear": Switch((False, None), f"{_OWN_NETWORKS} (GPU kernels of attention)"),
    "Arch.return_embed": Switch((False, None), f"{_OWN_NETWORKS}; features are given by `ppcls infer --features`"),
    "Arch.infer_output_key": Switch((None,), _RETRIEVAL),
    "Arch.return_patterns": Switch((None, False), _FEATURE_MAPS),
    "Arch.return_stages": Switch((None, False), _FEATURE_MAPS),
    "Arch.is_rec": Switch((False, None), _RETRIEVAL),
    "Arch.use_ml_decoder": Switch((False, None), _ML_DECODER),
    "Arch.data_format": Switch(("NCHW", None), "images are [B, C, H, W] throughout"),
    "Arch.input_image_channel": Switch((3, None), "leave it out; channels follow from Global.image_shape"),
    "Arch.infer_add_softmax": Switch((True, None), "exported models answer with probabilities"),
    **_schedule_switches(),
    "Slim": Switch((None,), _SLIM),
    "MLDecoder": Switch((None,), _ML_DECODER),
    "IndexProcess": Switch((None,), _RETRIEVAL),
}

# Keys that PaddleClas itself does not read, and what to say about them. They are dropped.
UNUSED: Mapping[str, str] = {
    "Optimizer.clip_grad": "has no effect, as in PaddleClas, which never reads it; clip_norm bounds the gradients",
    "Optimizer.lr.epochs": "has no effect, as in PaddleClas: the length of the run is Global.epochs",
    "Optimizer.lr.step_each_epoch": "has no effect, as in PaddleClas: the updates of an epoch are counted in the data",
}

# Files that are no recipes, or recipes of another task: by a key that only they have, one message for the whole file.
FILES: Mapping[str, str] = {
    "ARCHITECTURE": "a recipe of PaddleClas 1.x, whose sections have other names; begin with one of ours: "
    "`ppcls config --list`",
    "base_config_file": "no recipe, but the settings of PaddleClas's strategy search, which runs many trainings; train "
    "with the recipe that base_config_file names",
    "SSL": f"a recipe of PaddleClas's FixMatch: {_SEMI_SUPERVISED}",
    "UnLabelLoss": f"a recipe of PaddleClas's FixMatch: {_SEMI_SUPERVISED}",
    "DataLoader.UnLabelTrain": f"a recipe with unlabelled data: {_SEMI_SUPERVISED}",
    "DataLoader.Eval.Query": f"a recipe with a query and a gallery: {_RETRIEVAL}",
    "DataLoader.Eval.Gallery": f"a recipe with a query and a gallery: {_RETRIEVAL}",
    "Global.eval_mode": f"{{value}}: {_RETRIEVAL}",
    "Global.train_mode": f"{{value}}: {_SEMI_SUPERVISED}",
}
FILE_VALUES: Mapping[str, Tuple[Any, ...]] = {
    "Global.eval_mode": ("retrieval", "adaface"),
    "Global.train_mode": ("fixmatch", "fixmatch_ccssl"),
}


def _names(reason: str, *names: str) -> Dict[str, str]:
    return dict.fromkeys(names, reason)


# Names of PaddleClas that are refused, by kind of component, and why.
NAMES: Mapping[str, Mapping[str, str]] = {
    "architecture": {**_names(_RETRIEVAL, "RecModel"), **_names(_FEATURE_MAPS, "AttentionModel")},
    "loss": {
        **_names(
            _RETRIEVAL,
            *("CenterLoss", "ContrastiveLoss", "ContrastiveLoss_XBM", "EmlLoss", "MSMLoss", "NpairsLoss"),
            *("TriHardLoss", "TripletLoss", "TripletLossV2", "TripletAngularMarginLoss"),
            *("TripletAngularMarginLoss_XBM", "SupConLoss", "PairwiseCosface", "DCHLoss", "DSHSDLoss", "LCDSHLoss"),
            *("CELossForMetaBIN", "TripletLossForMetaBIN", "InterDomainShuffleLoss", "IntraDomainScatterLoss"),
        ),
        **_names(_SEMI_SUPERVISED, "SoftSupConLoss", "CCSSLCELoss"),
        **_names(_FEATURE_MAPS, "DistillationDistanceLoss", "DistillationRKDLoss", "DistillationPairLoss", "AFDLoss"),
        **_names("it is for GoogLeNet's three heads, and the networks here have one", "GoogLeNetLoss"),
    },
    "metric": {
        **_names(_RETRIEVAL, "mAP", "mINP", "Recallk", "Precisionk"),
        **_names("it is for GoogLeNet's three heads, and the networks here have one", "GoogLeNetTopkAcc"),
    },
    "dataset": {
        **_names(_RETRIEVAL, "CompCars", "VeriWild", "LogoDataset", "ICartoonDataset", "MixDataset", "Market1501"),
        **_names(_RETRIEVAL, "MSMT17", "DukeMTMC", "FiveValidationDataset", "AdaFaceDataset"),
        **_names("its labels are drawn by a transform; write a data set of your own", "CustomLabelDataset"),
    },
    "sampler": {
        **_names(_RETRIEVAL, "PKSampler", "MixSampler", "DistributedRandomIdentitySampler"),
        **_names(_RETRIEVAL, "DomainShuffleBatchSampler", "NaiveIdentityBatchSampler"),
    },
    "schedule": _names(_SEMI_SUPERVISED, "CosineFixmatch"),
    "transform": {
        **_names("it draws the label of an image; write a data set of your own", "RandomRot90", "BlurImage"),
        **_names("only recipes of other tasks have it; use RandCropImageV2", "RandomCrop"),
        **_names("only recipes of other tasks have it; use ResizeImage", "Resize"),
        **_names("only recipes of other tasks have it; use CropImage", "CenterCrop"),
        **_names("only recipes of other tasks have it; use the prob of a transform", "RandomApply", "RawColorJitter"),
        **_names("only recipes of other tasks have it", "RandomInterpolationAugment", "CropWithPadding"),
    },
    "postprocess": {
        **_names("it gives one number per image (regression), and answers here are classes", "ScoreOutput"),
        **_names(_RETRIEVAL, "Binarize"),
    },
    "batch_transform": _names("no recipe has it; use MixupOperator or CutmixOperator", "FmixOperator"),
}
