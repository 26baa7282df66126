// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue with a fixed number of places, all of its memory taken when it is made.

use crate::types::NoMemory;
use crate::vecs;
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct Ring<T> {
    places: Vec<Option<T>>,
    head: usize,
    len: usize,
}

impl<T: Copy> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Result<Self, NoMemory> {
        Ok(Self { places: vecs::filled(None, capacity.max(1))?, head: 0, len: 0 })
    }

    /// Appends; gives the item back when there is no place.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        if self.len >= self.places.len() {
            return Err(item);
        }
        let mut at = self.head + self.len;
        if at >= self.places.len() {
            at -= self.places.len();
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some(item);
            self.len += 1;
        }
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.places.get_mut(self.head)?.take()?;
        self.len -= 1;
        self.head += 1;
        if self.head >= self.places.len() {
            self.head = 0;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_bounded_queue() {
        let mut ring = Ring::new(3).expect("memory");
        for round in 0..5 {
            for i in 0..3 {
                assert_eq!(ring.push(round * 10 + i), Ok(()));
            }
            assert_eq!(ring.push(99), Err(99));
            for i in 0..3 {
                assert_eq!(ring.pop(), Some(round * 10 + i));
            }
            assert_eq!(ring.pop(), None);
        }
    }
}
