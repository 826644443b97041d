"""One encoder for the whole job: segments of two encoders cannot be joined.

1. what the job alone decides (the CPU as asked, VP9 for WebM) needs no test; nor does a plan that found most cells
2. else the first pod makes a test encode on its node and claims the encoder: `encoder.json`, if there is none yet
3. all others follow the claim; a node that cannot fails retryably, so that another one is tried
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from ecg_api.options import Options
from ecg_api.pods import WorkFiles
from ecg_renderer.errors import GpuUnavailable, StorageError
from ecg_renderer.media.codecs import CODECS
from ecg_renderer.media.encoder import (
    TEST_SIZE,
    WORKS,
    EncoderChoice,
    Size,
    hardware_codec,
    nvenc_problem,
    settled_encoder,
    without_nvenc,
)
from ecg_renderer.storage import Work

_CLAIM: TypeAdapter[EncoderChoice] = TypeAdapter(EncoderChoice)


async def agree_on_encoder(work: Work, options: Options, *, bit_depth: int, size: Size = TEST_SIZE) -> EncoderChoice:
    """Return the encoder of the job, and why it is that one, after making sure that it works here.

    Raises GpuUnavailable if it does not, OptionsError if the job asks for what cannot be.
    """
    claim = await read_claim(work)
    if claim is None:
        own = settled_encoder(options, bit_depth=bit_depth) or await _tested(options, bit_depth, size)
        claim = await claim_encoder(work, own)
    codec = CODECS[claim.encoder]
    if codec.hardware and (problem := await nvenc_problem(codec, size=size, bit_depth=bit_depth)):
        raise GpuUnavailable(
            f"The job's other segments are encoded by NVENC, which does not work on this node: {problem}.",
            hint="Let the job's pods run on nodes with the same kind of GPU, or set options.encoder to cpu.",
        )
    return claim


async def claim_encoder(work: Work, wish: EncoderChoice) -> EncoderChoice:
    """Claim the encoder for the job; return the one that was claimed first, by whomever."""
    raw = _CLAIM.dump_json(wish)
    return _decoded(await work.do(lambda store: store.put_if_absent(WorkFiles.ENCODER, raw)))


async def read_claim(work: Work) -> EncoderChoice | None:
    """Return the encoder that was claimed, or None before the first segment pod came so far."""
    raw = await work.get(WorkFiles.ENCODER)
    return None if raw is None else _decoded(raw)


async def _tested(options: Options, bit_depth: int, size: Size) -> EncoderChoice:
    codec = hardware_codec(options)
    problem = await nvenc_problem(codec, size=size, bit_depth=bit_depth)
    if not problem:
        return EncoderChoice(codec.name, WORKS)
    if options.encoder == "nvenc":
        raise GpuUnavailable(
            f"The job insists on NVENC, which does not work on this node: {problem}.",
            hint="Set options.encoder to auto to fall back to the CPU, or let its pods run on fitting nodes.",
        )
    return without_nvenc(options, problem)


def _decoded(raw: bytes) -> EncoderChoice:
    try:
        return _CLAIM.validate_json(raw)
    except ValidationError as error:
        raise StorageError(
            f"The work file {WorkFiles.ENCODER} cannot be understood.", hint="Remove the work files and start again."
        ) from error
