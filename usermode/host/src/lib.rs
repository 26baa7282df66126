// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Linux shell of the engine: serves a live volume and its snapshots as FUSE files and NBD exports.

pub mod control;
pub mod device;
pub mod fuse;
pub mod host;
pub mod image;
pub mod nbd;
pub mod net;
pub mod ntfs;
pub mod shell;
