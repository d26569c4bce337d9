//! Names: what is seen, what would survive a power cut, and the changes between the two, in their order.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::body::Body;

/// The number of a file, folder or symbolic link, for as long as the file system is mounted.
pub(crate) type Number = u64;

/// The number of the root folder, as FUSE wants it.
pub(crate) const ROOT: Number = 1;

pub(crate) type Names = BTreeMap<OsString, Number>;

pub(crate) enum Kind {
    /// `seen` are the names that programs see, `kept` those that survive.
    Folder {
        seen: Names,
        kept: Names,
    },
    File(Arc<Body>),
    Symlink(PathBuf),
}

pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) changed: SystemTime,
    /// How many names are seen, how many kept, and how many pending changes speak of it.
    pub(crate) seen: u32,
    pub(crate) kept: u32,
    pub(crate) pending: u32,
    pub(crate) open: u32,
    /// Where it was last named, for rules that go by path.
    place: (Number, OsString),
}

impl Node {
    pub(crate) fn new(kind: Kind, mode: u32, owner: (u32, u32)) -> Node {
        Node {
            kind,
            mode: mode & 0o7777,
            owner,
            changed: SystemTime::now(),
            seen: 0,
            kept: 0,
            pending: 0,
            open: 0,
            place: (ROOT, OsString::new()),
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder { .. })
    }
}

/// A name in a folder that came to mean something else, or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) folder: Number,
    pub(crate) name: OsString,
    pub(crate) from: Option<Number>,
    pub(crate) to: Option<Number>,
}

/// Changes that become durable together: one for a create, link or unlink, two for a rename.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    changes: Vec<Change>,
    /// A folder has moved: nothing later is kept without it, or folders might come to hold each other.
    moves_folder: bool,
}

#[derive(Default)]
pub(crate) struct Tree {
    nodes: foldhash::HashMap<Number, Node>,
    last: Number,
    pending: Vec<Step>,
}

impl Tree {
    pub(crate) fn new(root: Node) -> Tree {
        let mut tree = Tree { last: ROOT, ..Tree::default() };
        tree.nodes.insert(ROOT, root);
        tree
    }

    pub(crate) fn node(&self, number: Number) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub(crate) fn node_mut(&mut self, number: Number) -> Option<&mut Node> {
        self.nodes.get_mut(&number)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Number, &Node)> {
        self.nodes.iter().map(|(number, node)| (*number, node))
    }

    /// The next number to be given to [`Tree::insert`].
    pub(crate) fn next_number(&mut self) -> Number {
        self.last += 1;
        self.last
    }

    pub(crate) fn insert(&mut self, number: Number, node: Node) {
        self.nodes.insert(number, node);
    }

    /// The names in a folder that programs see; none if it is no folder.
    pub(crate) fn seen(&self, folder: Number) -> Option<&Names> {
        match &self.nodes.get(&folder)?.kind {
            Kind::Folder { seen, .. } => Some(seen),
            _ => None,
        }
    }

    /// The names in a folder that survive; none if it is no folder.
    pub(crate) fn kept(&self, folder: Number) -> Option<&Names> {
        match &self.nodes.get(&folder)?.kind {
            Kind::Folder { kept, .. } => Some(kept),
            _ => None,
        }
    }

    pub(crate) fn look_up(&self, folder: Number, name: &OsStr) -> Option<Number> {
        self.seen(folder)?.get(name).copied()
    }

    /// The path below the mount point, by the last name given.
    pub(crate) fn path(&self, number: Number) -> String {
        let mut parts = Vec::new();
        let mut at = number;
        // A folder that was removed may name a parent that is gone.
        while at != ROOT && parts.len() < 256 {
            let Some(node) = self.nodes.get(&at) else { break };
            parts.push(node.place.1.to_string_lossy());
            at = node.place.0;
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }

    /// Does what programs see, and notes it as pending.
    pub(crate) fn change(&mut self, changes: Vec<Change>) {
        let mut moves_folder = false;
        for change in &changes {
            self.set_seen(change);
            for number in [change.from, change.to].into_iter().flatten() {
                self.nodes.get_mut(&number).expect("named by the caller").pending += 1;
            }
        }
        if changes.len() > 1 {
            let is_folder = |number| self.nodes.get(&number).is_some_and(Node::is_folder);
            moves_folder = changes.iter().filter_map(|change| change.to).any(is_folder);
        }
        self.pending.push(Step { changes, moves_folder });
    }

    fn set_seen(&mut self, change: &Change) {
        let folder = self.nodes.get_mut(&change.folder).expect("looked at by the caller");
        folder.changed = SystemTime::now();
        let Kind::Folder { seen, .. } = &mut folder.kind else { unreachable!("looked at by the caller") };
        let before = match change.to {
            Some(to) => seen.insert(change.name.clone(), to),
            None => seen.remove(&change.name),
        };
        assert_eq!(before, change.from, "a change begins with what is there");
        if let Some(from) = change.from {
            self.nodes.get_mut(&from).expect("named").seen -= 1;
        }
        if let Some(to) = change.to {
            let node = self.nodes.get_mut(&to).expect("named");
            node.seen += 1;
            node.changed = SystemTime::now();
            node.place = (change.folder, change.name.clone());
        }
    }

    /// A name that was there when the file system was mounted: seen and kept.
    pub(crate) fn found(&mut self, folder: Number, name: OsString, number: Number) {
        let change = Change { folder, name, from: None, to: Some(number) };
        self.set_seen(&change);
        self.set_kept(&change);
    }

    fn set_kept(&mut self, change: &Change) {
        let Some(Node { kind: Kind::Folder { kept, .. }, .. }) = self.nodes.get_mut(&change.folder) else {
            return;
        };
        let before = match change.to {
            Some(to) => kept.insert(change.name.clone(), to),
            // Somebody else's name by now, if an earlier change was lost with a failed fsync.
            None if kept.get(&change.name).copied() == change.from => kept.remove(&change.name),
            None => None,
        };
        if let Some(node) = before.and_then(|number| self.nodes.get_mut(&number)) {
            node.kept -= 1;
        }
        if let Some(node) = change.to.and_then(|number| self.nodes.get_mut(&number)) {
            node.kept += 1;
        }
    }

    /// Makes the pending changes in a folder durable, and those that they rest upon. Returns what nobody needs any more.
    pub(crate) fn sync(&mut self, folder: Number) -> Vec<(Number, Node)> {
        let chosen = self.resting_upon(|step| step.changes.iter().any(|change| change.folder == folder));
        self.take(&chosen, true).1
    }

    /// Drops the pending changes in a folder: programs go on seeing them, no later fsync covers them.
    pub(crate) fn lose(&mut self, folder: Number) -> Vec<(Number, Node)> {
        let chosen = self.resting_upon(|step| step.changes.iter().any(|change| change.folder == folder));
        self.take(&chosen, false).1
    }

    /// A power cut: keeps those of the pending steps that are chosen and those that they rest upon, drops the others.
    /// Returns how many were kept and dropped.
    pub(crate) fn cut(&mut self, choose: impl FnMut(&Step) -> bool) -> (u64, u64) {
        let chosen = self.resting_upon(choose);
        let (kept, _) = self.take(&chosen, true);
        let dropped = self.pending.len() as u64;
        let rest = vec![true; self.pending.len()];
        self.take(&rest, false);
        (kept, dropped)
    }

    /// What programs see is what survives: for an orderly end.
    pub(crate) fn keep_all(&mut self) {
        self.cut(|_| true);
        for node in self.nodes.values_mut() {
            if let Kind::Folder { seen, kept } = &mut node.kind {
                kept.clone_from(seen);
            }
        }
    }

    /// Marks the steps that are chosen, and all earlier ones about the same names: a name's history has no gaps.
    fn resting_upon(&self, mut choose: impl FnMut(&Step) -> bool) -> Vec<bool> {
        let mut chosen: Vec<bool> = self.pending.iter().map(&mut choose).collect();
        let mut names: HashSet<(Number, &OsStr)> = HashSet::new();
        let mut any = false;
        for (at, step) in self.pending.iter().enumerate().rev() {
            let named =
                step.changes.iter().any(|change| names.contains(&(change.folder, change.name.as_os_str())));
            if chosen[at] || named || any && step.moves_folder {
                chosen[at] = true;
                any = true;
                names.extend(step.changes.iter().map(|change| (change.folder, change.name.as_os_str())));
            }
        }
        chosen
    }

    /// Takes the marked steps out of what is pending, and makes them durable or not. Returns their number, and the
    /// nodes that nothing leads to any more.
    fn take(&mut self, chosen: &[bool], keep: bool) -> (u64, Vec<(Number, Node)>) {
        let mut at = 0;
        let (taken, rest): (Vec<Step>, Vec<Step>) =
            std::mem::take(&mut self.pending).into_iter().partition(|_| {
                at += 1;
                chosen[at - 1]
            });
        self.pending = rest;
        let mut touched = Vec::new();
        for change in taken.iter().flat_map(|step| &step.changes) {
            if keep {
                self.set_kept(change);
            }
            for number in [change.from, change.to].into_iter().flatten() {
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.pending -= 1;
                    touched.push(number);
                }
            }
        }
        let gone = touched.into_iter().filter_map(|number| self.reap(number)).collect();
        (taken.len() as u64, gone)
    }

    /// Takes a node out if nothing leads to it: no name seen, kept or pending, and nobody has it open.
    pub(crate) fn reap(&mut self, number: Number) -> Option<(Number, Node)> {
        let node = self.nodes.get(&number)?;
        let needed = node.seen > 0 || node.kept > 0 || node.pending > 0 || node.open > 0;
        if needed || number == ROOT {
            return None;
        }
        self.nodes.remove(&number).map(|node| (number, node))
    }
}
