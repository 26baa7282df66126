// SPDX-License-Identifier: MIT OR Apache-2.0
//! Growing vectors without a way into the panic machinery, which `Vec::push` has when compiled apart from the
//! reservation before it.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Appends `item`.
#[inline(always)]
pub(crate) fn push<T>(vec: &mut Vec<T>, item: T) -> Result<(), TryReserveError> {
    vec.try_reserve(1)?;
    vec.push(item);
    Ok(())
}
