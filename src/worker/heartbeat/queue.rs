//! Queue of due heartbeats. Pure: the time is a value.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::settings::Rotation;
use crate::rotation::context::rotation_set::RotationSet;
use crate::schedule::window::spread_offset;
use twinkey_stores::batch;

/// Delay of a due heartbeat, in which others join its call to the store.
pub(super) const BATCH_WINDOW: Duration = Duration::from_secs(1);

/// Due times of the heartbeats.
#[derive(Debug, Default)]
pub(super) struct HeartbeatQueue {
    config: Option<Arc<RotationSet>>,
    due: BTreeMap<(Instant, String), Arc<Rotation>>,
    running: HashSet<String>,
}

impl HeartbeatQueue {
    /// Adopts a config; returns whether it is new.
    pub(super) fn reload(&mut self, config: &Arc<RotationSet>, now: Instant) -> bool {
        if self
            .config
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, config))
        {
            return false;
        }
        let before: HashMap<String, Instant> = std::mem::take(&mut self.due)
            .into_keys()
            .map(|(at, name)| (name, at))
            .collect();
        for rotation in config.iter() {
            let name = &rotation.name;
            if let Some(interval) = rotation.heartbeat
                && !self.running.contains(name)
            {
                let first = now + spread_offset(name, interval);
                let at = (before.get(name)).map_or(first, |at| (*at).min(now + interval));
                self.due.insert((at, name.clone()), Arc::clone(rotation));
            }
        }
        self.config = Some(Arc::clone(config));
        true
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes the rotations of one store that one call reads. Empty until the first one is due for
    /// [`BATCH_WINDOW`].
    pub(super) fn take_batch(&mut self, now: Instant) -> Vec<Arc<Rotation>> {
        let Some((_, first)) = self
            .due
            .first_key_value()
            .filter(|((due, _), _)| *due + BATCH_WINDOW <= now)
        else {
            return Vec::new();
        };
        let store = first.store.clone();
        let due = self.due.iter().take_while(|((due, _), _)| *due <= now);
        let batch: Vec<_> = due
            .filter(|(_, rotation)| rotation.store == store)
            .take(batch::MAX_BATCH)
            .map(|(key, rotation)| (key.clone(), Arc::clone(rotation)))
            .collect();
        for (key, rotation) in &batch {
            self.due.remove(key);
            self.running.insert(rotation.name.clone());
        }
        batch.into_iter().map(|(_, rotation)| rotation).collect()
    }

    /// Schedules the next heartbeat, counted from `now`, after one ended.
    pub(super) fn finished(&mut self, name: &str, now: Instant) {
        self.running.remove(name);
        let config = self.config.as_ref();
        if let Some(rotation) = config.and_then(|config| config.get(name))
            && let Some(interval) = rotation.heartbeat
        {
            let key = (now + interval, name.to_owned());
            self.due.insert(key, Arc::clone(rotation));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);

    pub(in crate::worker::heartbeat) fn config(names: &[&str], keys: &str) -> Arc<RotationSet> {
        let mut text = String::new();
        for name in names {
            text += &format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\n{keys}\n");
        }
        let settings = crate::config::testing::local(&text);
        Arc::new(settings.rotations.into_iter().collect())
    }

    fn with_heartbeat(names: &[&str]) -> Arc<RotationSet> {
        config(names, "heartbeat = \"5m\"")
    }

    fn all_due(queue: &mut HeartbeatQueue, now: Instant) -> Vec<String> {
        let batches = std::iter::from_fn(|| {
            let batch = queue.take_batch(now + BATCH_WINDOW);
            (!batch.is_empty()).then_some(batch)
        });
        batches
            .flatten()
            .map(|rotation| rotation.name.clone())
            .collect()
    }

    #[test]
    fn first_heartbeats_are_spread_over_the_interval() {
        let names: Vec<String> = (0..100).map(|n| format!("app-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut queue, start) = (HeartbeatQueue::default(), Instant::now());
        assert!(queue.reload(&with_heartbeat(&names), start));
        let half = all_due(&mut queue, start + INTERVAL / 2).len();
        assert!((30..=70).contains(&half), "{half} in the first half");
        let rest = all_due(&mut queue, start + INTERVAL).len();
        assert_eq!(half + rest, 100);
    }

    #[test]
    fn the_next_heartbeat_is_counted_from_the_end_of_the_last() {
        let (mut queue, start) = (HeartbeatQueue::default(), Instant::now());
        queue.reload(&with_heartbeat(&["app"]), start);
        assert_eq!(all_due(&mut queue, start + INTERVAL), ["app"]);
        let late = start + INTERVAL * 5;
        assert_eq!(all_due(&mut queue, late), [""; 0]);
        queue.finished("app", late);
        assert_eq!(all_due(&mut queue, late + INTERVAL - BATCH_WINDOW), [""; 0]);
        assert_eq!(all_due(&mut queue, late + INTERVAL), ["app"]);
    }

    #[test]
    fn a_batch_holds_what_is_due_within_a_second_up_to_twenty() {
        let names: Vec<String> = (0..50).map(|n| format!("app-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut queue, start) = (HeartbeatQueue::default(), Instant::now());
        queue.reload(&with_heartbeat(&names), start);
        let first = queue.next().unwrap();
        assert!(queue.take_batch(first).is_empty(), "others may join");
        let late = start + INTERVAL + BATCH_WINDOW;
        let sizes = [(); 4].map(|()| queue.take_batch(late).len());
        assert_eq!(sizes, [20, 20, 10, 0]);
    }

    #[test]
    fn repeated_reloads_keep_the_due_times() {
        let (mut queue, start) = (HeartbeatQueue::default(), Instant::now());
        queue.reload(&with_heartbeat(&["app"]), start);
        all_due(&mut queue, start + INTERVAL);
        queue.finished("app", start + INTERVAL);
        for minute in 5..10 {
            queue.reload(
                &with_heartbeat(&["app"]),
                start + Duration::from_secs(60 * minute),
            );
        }
        assert_eq!(all_due(&mut queue, start + INTERVAL * 2), ["app"]);
    }

    #[test]
    fn rotations_without_a_heartbeat_or_removed_are_not_due() {
        let (mut queue, start) = (HeartbeatQueue::default(), Instant::now());
        queue.reload(&config(&["app"], ""), start);
        assert_eq!(queue.next(), None);
        queue.reload(&with_heartbeat(&["app", "old"]), start);
        assert_eq!(all_due(&mut queue, start + INTERVAL).len(), 2);
        queue.reload(&with_heartbeat(&["app"]), start + INTERVAL);
        queue.finished("old", start + INTERVAL);
        queue.finished("app", start + INTERVAL);
        assert_eq!(all_due(&mut queue, start + INTERVAL * 3), ["app"]);
    }
}
