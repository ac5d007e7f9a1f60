//! Queue of the rotations' next windows, the earliest first. Pure.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::schedule::Window;

/// The next window of every armed rotation.
#[derive(Debug, Default)]
pub struct WindowQueue {
    by_time: BTreeSet<(DateTime<Utc>, String)>,
    by_name: HashMap<String, (DateTime<Utc>, Window)>,
}

impl WindowQueue {
    /// Arms a rotation and replaces its entry. `starts` is the opening plus the rotation's spread.
    pub fn arm(&mut self, name: &str, starts: DateTime<Utc>, window: Window) {
        self.disarm(name);
        self.by_time.insert((starts, name.to_owned()));
        self.by_name.insert(name.to_owned(), (starts, window));
    }

    /// Removes a rotation.
    pub fn disarm(&mut self, name: &str) {
        if let Some((starts, _)) = self.by_name.remove(name) {
            self.by_time.remove(&(starts, name.to_owned()));
        }
    }

    /// Takes the earliest entry that is due at `now`.
    pub fn take_due(&mut self, now: DateTime<Utc>) -> Option<(String, Window)> {
        let (starts, _) = self.by_time.first()?;
        if *starts > now {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        let (_, window) = self.by_name.remove(&name)?;
        Some((name, window))
    }

    /// The due time of the earliest entry.
    #[must_use]
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.by_time.first().map(|(starts, _)| *starts)
    }

    /// The number of armed rotations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether no rotation is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u32) -> DateTime<Utc> {
        format!("2026-11-23T07:00:{s:02}Z").parse().unwrap()
    }

    fn window(s: u32) -> Window {
        Window {
            opens: at(s),
            closes: at(s + 5),
        }
    }

    #[test]
    fn takes_the_earliest_first_and_nothing_before_its_time() {
        let mut queue = WindowQueue::default();
        queue.arm("late", at(20), window(20));
        queue.arm("early", at(10), window(10));
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.take_due(at(9)), None);
        assert_eq!(queue.take_due(at(30)), Some(("early".into(), window(10))));
        assert_eq!(queue.take_due(at(30)), Some(("late".into(), window(20))));
        assert_eq!(queue.take_due(at(30)), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn arming_again_replaces_the_entry() {
        let mut queue = WindowQueue::default();
        queue.arm("a", at(10), window(10));
        queue.arm("a", at(30), window(30));
        assert_eq!((queue.len(), queue.next()), (1, Some(at(30))));
        queue.disarm("a");
        assert!(queue.is_empty());
    }
}
