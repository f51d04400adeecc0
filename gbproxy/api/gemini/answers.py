"""The answers of the Gemini API, as its description tells them; `candidate`, `encoder`,
`model_entry` and `errors` write them.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, RootModel

from gbproxy.web.operations import AnswerModel, FormFilePart, FormModel


class GoogleError(AnswerModel):
    code: int
    message: str
    status: str
    details: list[dict[str, Any]] | None = None


class GoogleErrorBody(AnswerModel):
    error: GoogleError


class AnsweredCall(AnswerModel):
    id: str
    name: str
    args: dict[str, Any]


class AnsweredBlob(AnswerModel):
    mimeType: str
    data: str


class AnsweredLink(AnswerModel):
    mimeType: str
    fileUri: str


class AnswerPart(AnswerModel):
    """`thought`: the text is no answer. The signature has no meaning here. A picture is
    `inlineData`; where its bytes could not be fetched, `fileData`.
    """

    text: str | None = None
    inlineData: AnsweredBlob | None = None
    fileData: AnsweredLink | None = None
    thought: Literal[True] | None = None
    functionCall: AnsweredCall | None = None
    thoughtSignature: str | None = None


class AnswerContent(AnswerModel):
    parts: list[AnswerPart]
    role: Literal["model"]


class WebSource(AnswerModel):
    uri: str
    title: str
    domain: str | None = None


class GroundingChunk(AnswerModel):
    web: WebSource


class GroundingSegment(AnswerModel):
    """Indexes count the bytes of UTF-8."""

    startIndex: int
    endIndex: int
    text: str


class GroundingSupport(AnswerModel):
    segment: GroundingSegment
    groundingChunkIndices: list[int]


class GroundingMetadata(AnswerModel):
    groundingChunks: list[GroundingChunk]
    groundingSupports: list[GroundingSupport] | None = None


class CandidateAnswer(AnswerModel):
    content: AnswerContent
    index: int
    finishReason: (
        Literal["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "MALFORMED_FUNCTION_CALL", "NO_IMAGE"]
        | None
    ) = None
    finishMessage: str | None = None
    groundingMetadata: GroundingMetadata | None = None


class UsageMetadata(AnswerModel):
    """Estimated: the upstream counts nothing."""

    promptTokenCount: int
    candidatesTokenCount: int
    totalTokenCount: int
    thoughtsTokenCount: int | None = None
    gbproxyEstimated: Literal[True]


class GenerateContentAnswer(AnswerModel):
    candidates: list[CandidateAnswer]
    usageMetadata: UsageMetadata
    modelVersion: str
    responseId: str


class GenerateContentEvent(AnswerModel):
    """A part of a streamed answer: the last one has `usageMetadata`, or is an `error`."""

    candidates: list[CandidateAnswer] | None = None
    usageMetadata: UsageMetadata | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    error: GoogleError | None = None


class GenerateContentEvents(RootModel[list[GenerateContentEvent]]):
    """A streamed answer without `alt=sse`: one array, which grows."""


class GoogleTokenCount(AnswerModel):
    totalTokens: int = Field(description="estimated")


class GoogleModel(AnswerModel):
    name: str
    baseModelId: str
    version: str
    displayName: str
    description: str
    inputTokenLimit: int | None = None
    outputTokenLimit: int | None = None
    supportedGenerationMethods: list[str]
    thinking: bool


class GoogleModels(AnswerModel):
    models: list[GoogleModel]
    nextPageToken: str | None = None


class GoogleFileForm(FormModel):
    """`metadata`: JSON, as an upload begins with; the file's field may have any name."""

    metadata: str | None = None
    file: FormFilePart


class GoogleFile(AnswerModel):
    """An uploaded file; `sha256Hash` is base64."""

    name: str
    displayName: str | None = None
    mimeType: str
    sizeBytes: str
    createTime: str
    updateTime: str
    expirationTime: str
    sha256Hash: str
    uri: str
    state: Literal["ACTIVE"]
    source: Literal["UPLOADED"]


class GoogleFiles(AnswerModel):
    files: list[GoogleFile]
    nextPageToken: str | None = None


class UploadedGoogleFile(AnswerModel):
    """`file`: once the upload is complete."""

    file: GoogleFile | None = None


class NoFields(AnswerModel):
    """An object without fields."""
