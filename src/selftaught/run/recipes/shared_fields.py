"""Settings that several commands take alike, each said once: its type, its bounds, and what is told of it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from selftaught.run.quantities import Bytes, Duration, Named, Range, Share, Size
from selftaught.run.recipes.fields import Free, Length, Mark, OfData, Own, Shared, Speed, about

MOST = 1 << 40  # of anything that is counted: more is a slip of the hand

Score = Literal["rankme", "lidar", "idest", "alpha_req", "uniformity", "alignment", "feature_spread"]
Unlabelled = Shared[OfData[Annotated[Own[str], about("unlabelled images")]]]
Question = Shared[Speed[Annotated[Named, about("what to ask of the data; see `selftaught methods`")]]]
Backbone = Shared[Speed[Annotated[Named | None, about("as of pretrain")]]]
Side = Shared[
    Speed[
        Annotated[
            Size | None,
            about(
                "side of a view in pixels, 32 or 48x64; default: a small image's own, else 224 for a GPU, 96 for a CPU"
            ),
        ]
    ]
]
Broken = Annotated[Shared[Free[Share]], about("share of images that may be broken, such as 5%; these are left out")]
Teaching = Shared[
    Speed[
        Annotated[
            str | None,
            Mark.MOVABLE,
            about("network to learn from, for methods that have one (distill): named as --init is"),
        ]
    ]
]
TeacherSize = Shared[
    Speed[Annotated[Size | None, about("side of what the teacher is shown; default: that of the views")]]
]
Views = Shared[Speed[Annotated[dict[str, dict[str, Any]], about("augmentation, such as --views.strong.jitter 0.4")]]]
ViewsFor = Shared[  # no view is larger by it, so what is fastest stays
    Annotated[
        Literal["photo", "satellite", "xray", "microscopy", "document", "texture"] | None,
        about("views that keep what images mean: photo, satellite, xray, microscopy, document or texture"),
    ]
]
Epochs = Shared[Length[Annotated[float | None, about("passes over the data; default: by its size", gt=0, le=MOST)]]]
Most = Shared[Annotated[int | None, about("use a random subset of at most this many of each source", gt=0, le=MOST)]]
Overwrite = Own[Annotated[bool, about("replace --out, whoever wrote it; what this command wrote it replaces anyway")]]
Seed = Shared[Annotated[int, about("of everything random", ge=0, lt=1 << 63)]]
Window = Shared[Annotated[int | None, about("points of the windows that long series are cut into", gt=1, le=1 << 17)]]
Stride = Shared[
    Annotated[int | None, about("points between the beginnings of windows; default: those of a window", gt=0, le=MOST)]
]
Tokenizer = Shared[
    Annotated[
        str | None,
        about("a tokenizer.json that makes words of texts; default: one that is learnt from the texts of DATA"),
    ]
]
Vocabulary = Shared[
    Annotated[int | None, about("words, and parts of words, that are learnt; default: by the data", ge=512, le=1 << 17)]
]
Context = Shared[
    Annotated[int | None, about("words of a text that are seen, the first; default: by the texts", gt=1, le=1 << 13)]
]
SamplingRate = Shared[
    Annotated[int | None, about("samples a second that sound is brought to; default: by the data", ge=100, le=384_000)]
]
TimeLimit = Annotated[Duration | None, Mark.COMMAND, about("save and stop with exit code 75 after this long")]
Precision = Annotated[
    Shared[Literal["auto", "32-true", "bf16-mixed", "64-true"]], about("auto: the fastest, by measuring")
]
Layout = Annotated[
    Shared[Literal["auto", "contiguous", "channels_last"]],
    about("of tensors in memory; auto: the fastest, by measuring"),
]
Port = Annotated[int, about("of the address; 0: any that is free", ge=0, le=65535)]
Workers = Shared[Free[Annotated[int | None, about("threads that decode; default: one a core", gt=0, le=1024)]]]
Memory = Annotated[Shared[Free[Bytes]], about("decoded images to hold in memory, such as 8GB; more go to the cache")]
Cache = Annotated[
    Shared[Free[Bytes | None]],
    about("size of the cache of decoded images (its place: SELFTAUGHT_CACHE); more are streamed; default: by the disk"),
]
RemoteCache = Annotated[
    Shared[Free[Bytes | None]],
    about("size of the copy (its place: SELFTAUGHT_CACHE) of data that lies elsewhere; default: by the disk"),
]
TrainLabels = Annotated[Path | None, about("CSV of path,label for --train")]
TestLabels = Annotated[Path | None, about("CSV of path,label for --test")]
Features = Annotated[
    str,
    about(
        "of the encoder, by commas: own, mean, class, mean_std, max (of series), quarters, last_blocks, bag (of "
        "patches, which costs 16 passes); of several, or auto (no bag), what is best on held-out training labels"
    ),
]
Groups = Annotated[
    Path | None,
    about(
        "CSV of path,group, or a column beside the samples: what is of one patient, place or recording stays on one "
        "side, and counts once"
    ),
]
TestGroups = Annotated[Path | None, about("CSV of path,group for --test; default: --groups has them as well")]
MasksOf = Annotated[
    Path | None,
    about(
        "folder of masks for --probe segment: PNG of class numbers, 255 for none, of the paths of --train; "
        "default: a folder masks beside the folder images"
    ),
]
TestMasks = Annotated[Path | None, about("likewise, of --test")]
LabelColumn = Shared[
    Annotated[
        str | None,
        about("the labels, and no feature; several by commas, of yes and no; or none; default: one of such a name"),
    ]
]
Column = Shared[
    Annotated[
        str | None,
        BeforeValidator(lambda place: str(place) if isinstance(place, int) else place),
        about("what holds the images, or the texts, of a file or of items with several parts; default: the only one"),
    ]
]
ValueRange = Shared[
    Annotated[
        Range,
        about(
            "values of images that become black and white, 0:4095; each: each image's own; auto: those that files "
            "declare, else those of all images together"
        ),
    ]
]
PagesOf = Shared[
    Annotated[
        Literal["first", "samples", "channels"],
        about("of TIFFs and DICOM files that have several: the first, each a sample, or all as channels of one image"),
    ]
]
BandsOf = Shared[
    Annotated[
        Literal["all", "colours"] | None,
        about("of TIFFs: all, with all their bits, or colours, the grey or three of 8 bits; default: all"),
    ]
]
Task = Annotated[
    Literal["auto", "classes", "several", "number"],
    about("what labels are: one class of each sample, several by ';', or a number; default: as they look"),
]
# Runs begun before there were blocks say nothing of it.
Draws = Annotated[
    Literal["streams", "blocks"] | None,
    Mark.FILLED_IN,
    Mark.ONE_RUN,
    about("where random numbers stand: streams, or blocks of rows"),
]
Fingerprint = Annotated[
    str | None, Mark.FILLED_IN, Mark.ONE_RUN, about("of data, a teacher or methods; checked on resume")
]
