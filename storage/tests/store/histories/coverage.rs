//! What the histories have met. A counter that stays at zero means that something is not tested any more.

use std::collections::BTreeMap;

/// How often each thing happened.
#[derive(Default)]
pub(super) struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    pub(super) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&mut self, what: &'static str, amount: u64) {
        *self.0.entry(what).or_default() += amount;
    }

    pub(super) fn merge(&mut self, other: Coverage) {
        for (what, amount) in other.0 {
            self.add(what, amount);
        }
    }

    /// Prints all counters, and fails when one that is wanted is zero.
    pub(super) fn require(&self, name: &str, wanted: &[&'static str]) {
        println!("{name}:");
        for (what, amount) in &self.0 {
            println!("{amount:>12}  {what}");
        }
        let missing: Vec<_> =
            wanted.iter().filter(|what| self.0.get(*what).copied().unwrap_or(0) == 0).collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}
