"""Files of a request on their way to the disk: who sends them is known before the first byte is read."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from integrity.api.auth import EngineKey, EngineStaff
from integrity.api.problems import Refusal
from integrity.conf import conf
from integrity.exceptions import EngineError
from integrity.importing.arriving import Arriving
from integrity.importing.uploads import Upload

_CHUNK = 1 << 20
_KEPT_AS = "_integrity_upload"


class SendingKey(EngineKey):
    """A key of the engine, whose request then is read."""

    def __call__(self, request: HttpRequest) -> Any:
        actor = super().__call__(request)
        if actor is not None:
            _receive(request)
        return actor


class SendingStaff(EngineStaff):
    """Staff with the permission, whose request then is read; the check of the CSRF token reads it too."""

    def __call__(self, request: HttpRequest) -> Any:
        self.authenticate(request, None)
        _receive(request)
        return super().__call__(request)


def received(request: HttpRequest) -> Upload:
    """The files of a request that was let in by one of the two."""
    upload: Upload = getattr(request, _KEPT_AS)
    return upload


def receives(request: HttpRequest) -> bool:
    """Whether a request brought files."""
    return hasattr(request, _KEPT_AS)


def _receive(request: HttpRequest) -> None:
    """Read the request, its files to the disk. Raises Refusal; nothing of it is left then."""
    if request.content_type != "multipart/form-data":
        raise Refusal(415, "Send files, with Content-Type: multipart/form-data.", "Content-Type")
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdigit():
        raise Refusal(400, "Say how long the request is, in the header Content-Length.", "Content-Length")
    if int(length) > conf().UPLOAD_BYTES:
        raise Refusal(413, f"A request has at most {conf().UPLOAD_BYTES:,} bytes; this one has {int(length):,}.")
    upload = Upload()
    setattr(request, _KEPT_AS, upload)
    request.upload_handlers = [_ToDisk(upload)]
    try:
        _ = request.POST
    except RequestDataTooBig as error:
        upload.discard()
        raise Refusal(413, "A member that is no file is too long. Send files as files, with a file name.") from error
    except (TooManyFieldsSent, TooManyFilesSent, MultiPartParserError, UnreadablePostError) as error:
        upload.discard()
        raise Refusal(400, f"The request cannot be read: {error}") from error
    except EngineError as error:
        upload.discard()
        raise Refusal.of(error) from error
    except OSError as error:
        upload.discard()
        raise Refusal(503, f"The files could not be kept: {error.strerror}.") from error


class _ToDisk(FileUploadHandler):
    """Django's parser hands each file over piece by piece."""

    chunk_size = _CHUNK

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self.upload = upload
        self.receiving: Arriving | None = None

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, file_name, *args, **kwargs)
        self.receiving = self.upload.receive(field_name, file_name)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.receiving is not None:
            self.receiving.write(raw_data)

    def file_complete(self, file_size: int) -> _Discarded | None:
        if self.receiving is None:
            return None
        self.receiving.end()
        self.receiving = None
        # Whatever becomes of the request, Django closes its files at the end.
        return _Discarded(self.upload, self.field_name or "")

    def upload_interrupted(self) -> None:
        if self.receiving is not None:
            self.receiving.close()


class _Discarded(UploadedFile):  # type: ignore[type-arg]
    """Stands for a file that was received; with the request the upload ends, unless a run has taken it over."""

    def __init__(self, upload: Upload, name: str) -> None:
        super().__init__(None, name)
        self.upload = upload

    def close(self) -> None:
        self.upload.discard()
