"""What this machine can train with: what is there, and what follows from it, each with the reason."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

from ..errors import ConfigError
from ..settings import Setting
from .settings import Training

FLEX_FROM = FLASH_FROM = (8, 0)  # CUDA compute capability: Ampere
NF4_FROM = (6, 0)  # Pascal, the oldest that bitsandbytes is built for


class Machine(Setting):
    """What was found here; a test makes it up."""

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    gpus: int = 0
    name: str = "CPU"
    compute: tuple[int, int] | None = None  # CUDA compute capability
    bf16: bool = False  # in hardware: AVX512-BF16 or AMX, or a GPU that computes with it
    avx2: bool = True  # or NEON: what bitsandbytes needs on a CPU
    triton: str | None = None  # versions of what is installed
    flash_attn: str | None = None
    bitsandbytes: str | None = None
    deepspeed: str | None = None


class Choice(Setting):
    """What was chosen, and why."""

    chosen: str
    why: str

    def __str__(self) -> str:
        return f"{self.chosen}: {self.why}"


class Hardware(Setting):
    """How an adapter is trained here."""

    device: str
    dtype: Choice  # float32 or bfloat16, of the base; the adapter is float32 always
    attention: Choice  # by_piece, sdpa, flex or flash; layout.py says what they are
    nf4: Choice  # yes or no

    @property
    def notes(self) -> tuple[str, ...]:
        """One line a choice, for the log and the report."""
        return (f"dtype {self.dtype}", f"attention {self.attention}")


def machine() -> Machine:
    """What there is here; imports torch."""
    import torch

    installed = {
        "triton": _version("triton"),
        "flash_attn": _version("flash-attn") if find_spec("flash_attn") else None,
        "bitsandbytes": _version("bitsandbytes"),
        "deepspeed": _version("deepspeed"),
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        compute = (properties.major, properties.minor)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        gpus = torch.cuda.device_count()
        return Machine(device="cuda", gpus=gpus, name=properties.name, compute=compute, bf16=bf16, **installed)
    if torch.backends.mps.is_available():
        return Machine(device="mps", gpus=1, name="Apple GPU", **installed)
    has = torch.cpu.get_capabilities()
    return Machine(
        name=platform.machine() or "CPU",
        bf16=bool(has.get("avx512_bf16") or has.get("amx_bf16")),
        avx2=bool(has.get("avx2") or has.get("neon")),
        **installed,
    )


def choose(found: Machine, training: Training) -> Hardware:
    """What `training` uses on a machine.

    Raises ConfigError for what it asks for and the machine cannot do.
    """
    dtype = _dtype(found, training.dtype)
    hardware = Hardware(
        device=found.device,
        dtype=dtype,
        attention=_attention(found, training.attention, dtype),
        nf4=_nf4(found),
    )
    if training.quantize == "nf4" and hardware.nf4.chosen == "no":
        raise ConfigError(f"`train.quantize: nf4` cannot run here, since {hardware.nf4.why}; set `quantize: none`")
    if training.shard == "deepspeed" and (lacking := _no_deepspeed(found)):
        raise ConfigError(f"`train.shard: deepspeed` cannot run here, since {lacking}, or set `shard: fsdp`")
    if found.device != "cpu" and training.processes > found.gpus:
        raise ConfigError(
            f"`train.processes: {training.processes}` want a GPU each, and {found.gpus} is here ({found.name}); set "
            f"`processes: {found.gpus}`"
        )
    return hardware


def _dtype(found: Machine, wanted: str) -> Choice:
    hardware = f"{found.name} computes in bfloat16" if found.bf16 else f"{found.name} has no bfloat16 in hardware"
    if wanted == "bfloat16" and not found.bf16:
        raise ConfigError(f"`train.dtype: bfloat16` cannot run here, since {hardware}; set `dtype: float32`, or `auto`")
    if wanted != "auto":
        return Choice(chosen=wanted, why="`train.dtype` says so")
    if found.device == "cpu" and found.bf16:  # it rounds what is served in float32, and nobody has measured the price
        return Choice(chosen="float32", why="a CPU trains in bfloat16 only where `train.dtype` says so")
    return Choice(chosen="bfloat16" if found.bf16 else "float32", why=hardware)


def _attention(found: Machine, wanted: str, dtype: Choice) -> Choice:
    able = {"flex": _flex(found), "flash": _flash(found, dtype)}
    if wanted in able and able[wanted].chosen == "no":
        raise ConfigError(
            f"`train.attention: {wanted}` cannot run here, since {able[wanted].why}; set `attention: sdpa`, or `auto`"
        )
    if wanted != "auto":
        return Choice(chosen=wanted, why="`train.attention` says so")
    if found.device == "cpu":
        return Choice(chosen="by_piece", why="a CPU would make all products of a row and drop what the mask forbids")
    for name, one in able.items():  # flex first: it shares prefixes, flash reads each sample's anew
        if one.chosen == "yes":
            return Choice(chosen=name, why=one.why)
    return Choice(chosen="sdpa", why=f"with a mask, since {able['flex'].why}")


def _flex(found: Machine) -> Choice:
    if found.device != "cuda":
        return Choice(chosen="no", why="FlexAttention is trained with on CUDA only")  # torch has no backward elsewhere
    if found.compute is None or found.compute < FLEX_FROM:
        return Choice(chosen="no", why=f"FlexAttention wants compute capability {_dots(FLEX_FROM)}, {_has(found)}")
    if found.triton is None:
        return Choice(chosen="no", why="FlexAttention is compiled by Triton, which is not installed")
    return Choice(chosen="yes", why=f"{found.name} with Triton {found.triton} skips what the mask leaves out")


def _flash(found: Machine, dtype: Choice) -> Choice:
    if found.device != "cuda":
        return Choice(chosen="no", why="FlashAttention runs on CUDA only")
    if found.compute is None or found.compute < FLASH_FROM:
        return Choice(chosen="no", why=f"FlashAttention wants compute capability {_dots(FLASH_FROM)}, {_has(found)}")
    if dtype.chosen != "bfloat16":
        return Choice(chosen="no", why="FlashAttention wants 16 bits, and the base is float32")
    if found.flash_attn is None:
        return Choice(chosen="no", why="the package flash-attn is not installed")
    return Choice(chosen="yes", why=f"flash-attn {found.flash_attn} on {found.name}, by lengths, prefixes not shared")


def _nf4(found: Machine) -> Choice:
    if found.bitsandbytes is None:
        return Choice(chosen="no", why="the package bitsandbytes is not installed")
    if found.device == "mps":
        return Choice(chosen="no", why="bitsandbytes does not train on Apple GPUs")
    if found.device == "cpu" and not found.avx2:
        return Choice(chosen="no", why="bitsandbytes needs AVX2 or NEON on a CPU")
    if found.device == "cuda" and (found.compute is None or found.compute < NF4_FROM):
        return Choice(chosen="no", why=f"bitsandbytes wants compute capability {_dots(NF4_FROM)}, {_has(found)}")
    return Choice(chosen="yes", why=f"bitsandbytes {found.bitsandbytes} on {found.name}")


def _no_deepspeed(found: Machine) -> str:
    """What DeepSpeed lacks, and what to do about it."""
    if found.deepspeed is None:
        return "the package deepspeed is not installed; install wheelwork[deepspeed]"
    if found.device == "mps":
        return "DeepSpeed does not train on Apple GPUs; take another machine"
    return ""


def _has(found: Machine) -> str:
    return f"and {found.name} has {_dots(found.compute) if found.compute else 'none'}"


def _dots(compute: tuple[int, int]) -> str:
    return f"{compute[0]}.{compute[1]}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
