// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recognises the image formats that are not raw bytes, so that nobody serves a qcow2 file as if it were a disk.

use super::ImageError;
use std::path::Path;

/// Signature at an offset, name, and the program that makes a raw image of it.
struct Format {
    offset: usize,
    signature: &'static [u8],
    name: &'static str,
    converter: Converter,
}

#[derive(Clone, Copy)]
enum Converter {
    Qemu,
    Ewf,
    Aff,
}

const fn qemu(signature: &'static [u8], name: &'static str) -> Format {
    Format { offset: 0, signature, name, converter: Converter::Qemu }
}

/// Signatures from the formats' published descriptions. A fixed VHD is raw bytes with a footer and works as it is; a
/// dynamic one has a copy of the footer at the start.
const FORMATS: [Format; 11] = [
    qemu(b"QFI\xfb", "qcow2"),
    qemu(b"QED\0", "QED"),
    qemu(b"KDMV", "VMDK"),
    qemu(b"COWD", "VMDK"),
    qemu(b"# Disk DescriptorFile", "VMDK"),
    qemu(b"vhdxfile", "VHDX"),
    qemu(b"conectix", "dynamic VHD"),
    qemu(b"WithoutFreeSpace", "Parallels"),
    Format { offset: 0x40, signature: &[0x7f, 0x10, 0xda, 0xbe], name: "VDI", converter: Converter::Qemu },
    Format { offset: 0, signature: b"EVF\x09\x0d\x0a\xff\0", name: "EWF (EnCase)", converter: Converter::Ewf },
    Format { offset: 0, signature: b"AFF10\r\n\0", name: "AFF", converter: Converter::Aff },
];

/// Bytes from the start of a file that [`refuse`] wants to see.
pub(super) const HEAD: usize = 512;

/// An error when `head`, the start of the file at `path`, is that of a container format.
pub(super) fn refuse(path: &Path, head: &[u8]) -> Result<(), ImageError> {
    let matches = |format: &&Format| head.get(format.offset..).is_some_and(|rest| rest.starts_with(format.signature));
    let Some(format) = FORMATS.iter().find(matches) else { return Ok(()) };
    let (source, raw) = (path.display(), path.with_extension("raw"));
    let raw = raw.display();
    let convert = match format.converter {
        Converter::Qemu => format!("qemu-img convert -O raw '{source}' '{raw}'"),
        Converter::Ewf => format!("ewfexport -f raw -t '{raw}' '{source}'"),
        Converter::Aff => format!("affconvert -r '{source}'"),
    };
    Err(ImageError::Container { path: path.to_owned(), format: format.name, convert })
}
