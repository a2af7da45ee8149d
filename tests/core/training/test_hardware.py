"""What a machine trains with follows from what it has; every machine here is made up."""

import pytest
from wheelwork.core.errors import ConfigError
from wheelwork.core.training.hardware import Hardware, Machine, choose, machine
from wheelwork.core.training.settings import Training

LAPTOP = Machine(name="x86_64", bitsandbytes="0.50")
XEON = LAPTOP.model_copy(update={"name": "Xeon", "bf16": True})
OLD = LAPTOP.model_copy(update={"avx2": False})
APPLE = Machine(device="mps", gpus=1, name="Apple GPU", bitsandbytes="0.50")
A100 = Machine(
    device="cuda", gpus=2, name="A100", compute=(8, 0), bf16=True, triton="3.7", flash_attn="2.8", bitsandbytes="0.50"
)
T4 = A100.model_copy(update={"name": "T4", "compute": (7, 5), "bf16": False, "gpus": 1})
WITH_DEEPSPEED = LAPTOP.model_copy(update={"deepspeed": "0.19"})
GTX = T4.model_copy(update={"name": "GTX 980", "compute": (5, 2)})
NO_TRITON = A100.model_copy(update={"triton": None})
BARE = NO_TRITON.model_copy(update={"flash_attn": None})


def chosen(found: Machine, **settings: object) -> tuple[str, str, str]:
    hardware = choose(found, Training.model_validate(settings))
    return hardware.dtype.chosen, hardware.attention.chosen, hardware.nf4.chosen


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (LAPTOP, ("float32", "by_piece", "yes")),
        (XEON, ("float32", "by_piece", "yes")),
        (OLD, ("float32", "by_piece", "no")),
        (LAPTOP.model_copy(update={"bitsandbytes": None}), ("float32", "by_piece", "no")),
        (APPLE, ("float32", "sdpa", "no")),
        (A100, ("bfloat16", "flex", "yes")),
        (NO_TRITON, ("bfloat16", "flash", "yes")),
        (BARE, ("bfloat16", "sdpa", "yes")),
        (T4, ("float32", "sdpa", "yes")),
        (GTX, ("float32", "sdpa", "no")),
    ],
    ids=["laptop", "AMX", "no AVX2", "no bitsandbytes", "Apple", "A100", "no Triton", "bare", "T4", "GTX"],
)
def test_what_is_chosen_by_capability(found: Machine, expected: tuple[str, str, str]) -> None:
    assert chosen(found) == expected


def test_what_the_loop_says_goes_before_what_is_fast() -> None:
    assert chosen(A100, dtype="float32", attention="sdpa")[:2] == ("float32", "sdpa")
    assert chosen(XEON, dtype="bfloat16")[0] == "bfloat16"
    assert chosen(A100, attention="flash")[1] == "flash"
    assert chosen(WITH_DEEPSPEED, processes=2, shard="deepspeed")
    assert chosen(NO_TRITON, dtype="float32")[1] == "sdpa"  # FlashAttention has no float32


@pytest.mark.parametrize(
    ("found", "settings", "says"),
    [
        (LAPTOP, {"dtype": "bfloat16"}, "bfloat16` cannot run here, since x86_64 has no bfloat16 in hardware; set"),
        (T4, {"dtype": "bfloat16"}, "since T4 has no bfloat16 in hardware"),
        (LAPTOP, {"attention": "flex"}, "FlexAttention is trained with on CUDA only; set `attention: sdpa`"),
        (T4, {"attention": "flex"}, r"FlexAttention wants compute capability 8\.0, and T4 has 7\.5"),
        (
            A100,
            {"processes": 2, "shard": "deepspeed"},
            r"deepspeed is not installed; install wheelwork\[deepspeed\], or",
        ),
        (APPLE.model_copy(update={"deepspeed": "0.19"}), {"processes": 2, "shard": "deepspeed"}, "on Apple GPUs"),
        (NO_TRITON, {"attention": "flex"}, "compiled by Triton, which is not installed"),
        (BARE, {"attention": "flash"}, "the package flash-attn is not installed"),
        (A100, {"attention": "flash", "dtype": "float32"}, "wants 16 bits, and the base is float32"),
        (OLD, {"quantize": "nf4"}, "nf4` cannot run here, since bitsandbytes needs AVX2 or NEON on a CPU; set `quan"),
        (APPLE, {"quantize": "nf4"}, "does not train on Apple GPUs"),
        (GTX, {"quantize": "nf4"}, r"wants compute capability 6\.0, and GTX 980 has 5\.2"),
        (LAPTOP.model_copy(update={"bitsandbytes": None}), {"quantize": "nf4"}, "bitsandbytes is not installed"),
        (A100, {"processes": 3}, r"`train\.processes: 3` want a GPU each, and 2 is here \(A100\); set `processes: 2`"),
    ],
)
def test_what_a_machine_cannot_do_is_one_sentence(found: Machine, settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        choose(found, Training.model_validate(settings))


def test_the_notes_say_what_and_why() -> None:
    assert choose(A100, Training()).notes == (
        "dtype bfloat16: A100 computes in bfloat16",
        "attention flex: A100 with Triton 3.7 skips what the mask leaves out",
    )
    assert "sdpa: with a mask, since FlexAttention is trained with on CUDA only" in choose(APPLE, Training()).notes[1]


def test_this_machine_can_train() -> None:
    hardware = choose(machine(), Training())
    assert Hardware.model_validate_json(hardware.model_dump_json()) == hardware
