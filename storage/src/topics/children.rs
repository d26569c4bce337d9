//! The children of a node of the topic tree, by name.

use std::collections::HashMap;

use compact_str::CompactString;
use foldhash::fast::RandomState;

/// Most nodes have none or one, and there may be millions of them: a table is for those with more.
#[derive(Debug, Default)]
pub(super) enum Children {
    #[default]
    None,
    One(Box<(CompactString, u32)>),
    Many(Box<HashMap<CompactString, u32, RandomState>>),
}

impl Children {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Children::None)
    }

    /// The child of this name.
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        match self {
            Children::None => None,
            Children::One(only) => (only.0 == name).then_some(only.1),
            Children::Many(table) => table.get(name).copied(),
        }
    }

    /// Adds a child that is not there yet.
    pub(super) fn insert(&mut self, name: &str, child: u32) {
        *self = match std::mem::take(self) {
            Children::None => Children::One(Box::new((name.into(), child))),
            Children::One(only) => {
                Children::Many(Box::new(HashMap::from_iter([*only, (name.into(), child)])))
            }
            Children::Many(mut table) => {
                table.insert(name.into(), child);
                Children::Many(table)
            }
        };
    }

    pub(super) fn remove(&mut self, name: &str) {
        match self {
            Children::None => {}
            Children::One(only) if only.0 == name => *self = Children::None,
            Children::One(_) => {}
            Children::Many(table) => {
                table.remove(name);
                if table.is_empty() {
                    *self = Children::None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_one_and_many_are_found_and_removed_alike() {
        for count in 0..5_u32 {
            let mut children = Children::default();
            (0..count).for_each(|child| children.insert(&format!("level {child}"), child));
            assert_eq!(children.get("level 9"), None);
            children.remove("level 9");
            for child in 0..count {
                assert!(!children.is_empty());
                assert_eq!(children.get(&format!("level {child}")), Some(child));
                children.remove(&format!("level {child}"));
                assert_eq!(children.get(&format!("level {child}")), None);
            }
            assert!(children.is_empty());
        }
    }
}
