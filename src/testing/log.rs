//! What came to a server, as far as it remembers.

use std::collections::VecDeque;

/// The latest requests, each found again by the number it got when it came. A server under load must not
/// grow without end.
#[derive(Debug)]
pub(super) struct Log<T> {
    requests: VecDeque<T>,
    forgotten: usize,
    most: usize,
}

impl<T: Clone> Log<T> {
    pub(super) fn of(most: usize) -> Self {
        Self { requests: VecDeque::new(), forgotten: 0, most }
    }

    pub(super) fn push(&mut self, request: T) -> usize {
        self.requests.push_back(request);
        if self.requests.len() > self.most {
            self.requests.pop_front();
            self.forgotten += 1;
        }
        self.forgotten + self.requests.len() - 1
    }

    pub(super) fn amend(&mut self, number: usize, amend: impl FnOnce(&mut T)) {
        let index = number.checked_sub(self.forgotten);
        if let Some(request) = index.and_then(|index| self.requests.get_mut(index)) {
            amend(request);
        }
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.requests.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest_and_still_finds_the_others() {
        let mut log = Log::of(3);
        let numbers = [0, 1, 2, 3].map(|request| log.push(request));

        log.amend(numbers[0], |_| panic!("it was forgotten"));
        log.amend(numbers[3], |request| *request += 10);
        assert_eq!(log.all(), [1, 2, 13]);
        assert_eq!(log.last(), Some(&13));
    }
}
