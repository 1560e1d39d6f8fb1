"""What a file is by its first bytes, where Pillow alone does not know it."""

FTYP = b"ftyp"
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF = (b"avif", b"avis")
JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
JPEG_2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PREAMBLE = 128  # bytes of anything in front of the mark of a DICOM file
BRANDS = 64  # bytes at the start of a file that name what it is compatible with


def kind_of(data: bytes) -> str:
    """HEIF, AVIF, JXL, JPEG 2000, TIFF or DICOM; "" for anything else."""
    if data[PREAMBLE : PREAMBLE + 4] == b"DICM":
        return "DICOM"
    if data[4:8] == FTYP:
        return _of_brands(data)
    marks = {"JXL": JXL, "JPEG 2000": JPEG_2000, "TIFF": TIFF}
    return next((name for name, starts in marks.items() if data.startswith(starts)), "")


def _of_brands(data: bytes) -> str:
    """By the main brand, or, of one that says no more than that it is an image, by those beside it."""
    held = data[8 : min(int.from_bytes(data[:4], "big"), BRANDS)]
    brands = [held[start : start + 4] for start in range(0, len(held), 4)]
    if any(brand in AVIF for brand in brands):
        return "AVIF"
    return "HEIF" if any(brand in HEIF for brand in brands) else ""
