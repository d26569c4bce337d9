//! The children of a node of the topic tree: their places, found by their names, which stand in the nodes themselves.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Node;

/// Most nodes have none or one, and there may be millions of them: a table is for those with more.
#[derive(Debug, Default)]
pub(super) enum Children {
    #[default]
    None,
    One(u32),
    Many(Box<HashTable<u32>>),
}

impl Children {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Children::None)
    }

    /// The child of this name.
    pub(super) fn get<T>(&self, name: &str, nodes: &[Node<T>], names: &RandomState) -> Option<u32> {
        let is_it = |child: &u32| nodes[*child as usize].name == name;
        match self {
            Children::None => None,
            Children::One(only) => Some(*only).filter(is_it),
            Children::Many(table) => table.find(names.hash_one(name), is_it).copied(),
        }
    }

    /// Adds a child that is among the nodes and not here yet.
    pub(super) fn insert<T>(&mut self, child: u32, nodes: &[Node<T>], names: &RandomState) {
        let hash = |child: &u32| names.hash_one(nodes[*child as usize].name.as_str());
        *self = match std::mem::take(self) {
            Children::None => Children::One(child),
            Children::One(only) => {
                let mut table = Box::new(HashTable::new());
                for each in [only, child] {
                    table.insert_unique(hash(&each), each, hash);
                }
                Children::Many(table)
            }
            Children::Many(mut table) => {
                table.insert_unique(hash(&child), child, hash);
                Children::Many(table)
            }
        };
    }

    /// Takes a child out that is still among the nodes.
    pub(super) fn remove<T>(&mut self, child: u32, nodes: &[Node<T>], names: &RandomState) {
        match self {
            Children::One(only) if *only == child => *self = Children::None,
            Children::None | Children::One(_) => {}
            Children::Many(table) => {
                let hash = names.hash_one(nodes[child as usize].name.as_str());
                if let Ok(entry) = table.find_entry(hash, |known| *known == child) {
                    entry.remove();
                }
                if table.is_empty() {
                    *self = Children::None;
                }
            }
        }
    }
}
