// SPDX-License-Identifier: MIT OR Apache-2.0
//! Vector operations that report a failed allocation and cannot panic.
//!
//! `Vec::push`, `insert`, `remove` and the sorts each carry a path into the panic machinery. The kernel runs this
//! crate, so every vector of the engine is changed through the functions here and nowhere else.

use crate::types::NoMemory;
use alloc::vec::Vec;

/// Appends `item`.
#[inline(always)]
pub(crate) fn push<T>(vec: &mut Vec<T>, item: T) -> Result<(), NoMemory> {
    vec.try_reserve(1).map_err(|_| NoMemory)?;
    // Never so after the reservation; said again because the optimiser drops the path to a panic only when it sees it.
    if vec.len() == vec.capacity() {
        return Err(NoMemory);
    }
    vec.push(item);
    Ok(())
}

/// A vector with room for `capacity` items, so that later pushes up to it do not allocate.
#[inline(always)]
pub(crate) fn with_capacity<T>(capacity: usize) -> Result<Vec<T>, NoMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(capacity).map_err(|_| NoMemory)?;
    Ok(vec)
}

/// A vector of `len` times `item`.
#[inline(always)]
pub(crate) fn filled<T: Copy>(item: T, len: usize) -> Result<Vec<T>, NoMemory> {
    let mut vec = with_capacity(len)?;
    for _ in 0..len {
        push(&mut vec, item)?;
    }
    Ok(vec)
}

/// Inserts `item` before position `at` (at the end when `at` is past it).
pub(crate) fn insert<T: Copy>(vec: &mut Vec<T>, at: usize, item: T) -> Result<(), NoMemory> {
    let mut carried = item;
    vec.try_reserve(1).map_err(|_| NoMemory)?;
    if let Some(tail) = vec.get_mut(at..) {
        for slot in tail {
            core::mem::swap(slot, &mut carried);
        }
    }
    push(vec, carried)
}

/// Removes the item at `at`; `None` when there is none.
pub(crate) fn remove<T>(vec: &mut Vec<T>, at: usize) -> Option<T> {
    let mut carried = vec.pop()?;
    if at > vec.len() {
        // `at` was past the end: nothing to remove. There is room for what was popped.
        let _ = push(vec, carried);
        return None;
    }
    if let Some(tail) = vec.get_mut(at..) {
        for slot in tail.iter_mut().rev() {
            core::mem::swap(slot, &mut carried);
        }
    }
    Some(carried)
}

/// Copies as many bytes as both slices have.
#[inline(always)]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (t, f) in to.iter_mut().zip(from) {
        *t = *f;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn insert_and_remove_keep_order() {
        let mut v = vec![1, 2, 4];
        insert(&mut v, 2, 3).expect("memory");
        insert(&mut v, 9, 5).expect("memory");
        assert_eq!(v, [1, 2, 3, 4, 5]);
        assert_eq!(remove(&mut v, 0), Some(1));
        assert_eq!(remove(&mut v, 3), Some(5));
        assert_eq!(remove(&mut v, 3), None);
        assert_eq!(v, [2, 3, 4]);
        assert_eq!(remove(&mut v, 1), Some(3));
        assert_eq!(v, [2, 4]);
    }
}
