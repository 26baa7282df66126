// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsshost::ntfs` on real NTFS volumes: made by mkntfs and ntfs-3g, or by Windows.
//!
//! Independent witnesses are the programs of ntfs-3g (`ntfsinfo`, `ntfscat`, `ntfssecaudit`) and, for the free map, the
//! bitmaps that Windows' own driver wrote. A test whose programs or images are missing prints `skipped` and why.

mod fragmented;
mod free_map;
mod hostile;
mod mounted;
mod support;
mod unmounted;
mod windows;
