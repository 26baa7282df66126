// SPDX-License-Identifier: MIT OR Apache-2.0
//! Samples for the no_std check: it must find each `bad_` function and none of the `good_` ones.
//!
//! Every function here is one way in which such code panics in practice, or the way to write it instead.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;

static TABLE: [u8; 7] = [3, 1, 4, 1, 5, 9, 2];

/// Indexing.
#[unsafe(no_mangle)]
pub extern "C" fn bad_index(index: usize) -> u8 {
    TABLE[index]
}

/// Cutting a slice.
#[unsafe(no_mangle)]
pub extern "C" fn bad_slice(start: usize) -> usize {
    TABLE[start..].len()
}

/// Copying between slices of different lengths.
#[unsafe(no_mangle)]
pub extern "C" fn bad_copy(length: usize) -> u8 {
    let mut copy = [0; 7];
    if let Some(source) = TABLE.get(..length) {
        copy.copy_from_slice(source);
    }
    copy[0]
}

/// `unwrap` of an option.
#[unsafe(no_mangle)]
pub extern "C" fn bad_unwrap(number: u32) -> u32 {
    number.checked_add(1).unwrap()
}

/// `expect` of a result.
#[unsafe(no_mangle)]
pub extern "C" fn bad_expect(number: u32) -> u8 {
    u8::try_from(number).expect("fits")
}

/// Division.
#[unsafe(no_mangle)]
pub extern "C" fn bad_divide(number: u32, by: u32) -> u32 {
    number / by
}

/// An assertion.
#[unsafe(no_mangle)]
pub extern "C" fn bad_assert(number: u32) -> u32 {
    assert!(number > 7);
    number
}

/// An allocation that cannot say no.
#[unsafe(no_mangle)]
pub extern "C" fn bad_allocation(length: usize) -> usize {
    black_box(Vec::<u8>::with_capacity(length)).capacity()
}

/// Growth that cannot say no.
#[unsafe(no_mangle)]
pub extern "C" fn bad_push(number: u8) -> usize {
    let mut numbers = black_box(Vec::new());
    numbers.push(number);
    black_box(numbers).len()
}

/// Looking up instead of indexing.
#[unsafe(no_mangle)]
pub extern "C" fn good_index(index: usize) -> u8 {
    TABLE.get(index).copied().unwrap_or(0)
}

/// Division that is asked first.
#[unsafe(no_mangle)]
pub extern "C" fn good_divide(number: u32, by: u32) -> u32 {
    number.checked_div(by).unwrap_or(0)
}

/// An allocation that can say no.
#[unsafe(no_mangle)]
pub extern "C" fn good_allocation(length: usize) -> usize {
    let mut numbers = Vec::<u8>::new();
    if numbers.try_reserve_exact(length).is_err() {
        return 0;
    }
    black_box(numbers).capacity()
}
