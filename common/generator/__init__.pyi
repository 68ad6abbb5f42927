from .architecture import (
    Architecture,
    MaskedMlp,
    Pretrained,
    Transformer,
    bias_slices,
    output_biases,
)
from .checkpoint import Checkpoint, open_checkpoint, usual_layers
from .checkpoint_files import digest_checkpoint, require_digest, short
from .features import (
    AMPLITUDE,
    FeatureMap,
    FeatureSettings,
    feature_cells,
    feature_map,
    sum_features,
)
from .image_features import TURN, ImageMap, image_map, sum_image_features
from .networks import (
    MaskedMlpNetwork,
    Network,
    TransformerNetwork,
    build_network,
    initial_vector,
    load_vector,
    one_thread,
)
from .pretrained_network import PretrainedNetwork, load_pretrained

__all__ = [
    "AMPLITUDE",
    "TURN",
    "Architecture",
    "Checkpoint",
    "FeatureMap",
    "FeatureSettings",
    "ImageMap",
    "MaskedMlp",
    "MaskedMlpNetwork",
    "Network",
    "Pretrained",
    "PretrainedNetwork",
    "Transformer",
    "TransformerNetwork",
    "bias_slices",
    "build_network",
    "digest_checkpoint",
    "feature_cells",
    "feature_map",
    "image_map",
    "initial_vector",
    "load_pretrained",
    "load_vector",
    "one_thread",
    "open_checkpoint",
    "output_biases",
    "require_digest",
    "short",
    "sum_features",
    "sum_image_features",
    "usual_layers",
]
