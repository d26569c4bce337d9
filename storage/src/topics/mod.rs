//! Topic filters: matching one against a topic, and a tree that finds all that match.
//!
//! The rules are those of section 4.7: `+` stands for one level, `#` for any number of levels at the end, the level
//! above included; a filter that begins with a wildcard matches no topic that begins with `$` [MQTT-4.7.2-1]. Filters
//! and topics are taken to be valid, as the wire format makes sure.
//!
//! A topic may have 65,536 levels. The tree keeps its nodes in one vector and walks them with a list of its own, so
//! that neither a subscription nor a publish can exhaust the stack.

mod children;

use compact_str::CompactString;
use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};

use children::Children;

/// Whether a topic filter matches a topic name.
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// The filter that the group of a shared subscription divides, `$share/{group}/{filter}` (section 4.8.2); `None` for
/// another subscription.
pub fn shared_filter(filter: &str) -> Option<&str> {
    filter.strip_prefix("$share/")?.split_once('/').map(|(_, filter)| filter)
}

/// A value for each of many filters, found by the topics that they match.
#[derive(Debug)]
pub struct TopicTree<T> {
    nodes: Vec<Node<T>>,
    /// Nodes that are not in use.
    free: Vec<u32>,
    values: usize,
    /// For the tables of children.
    names: RandomState,
}

#[derive(Debug)]
struct Node<T> {
    /// The last level of the filters that lead here.
    name: CompactString,
    parent: u32,
    children: Children,
    /// The child for `+`.
    plus: u32,
    /// The value of the filter that ends here.
    value: Option<T>,
    /// The value of the filter that ends here with `#` as one more level.
    below: Option<T>,
}

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

impl<T> Default for TopicTree<T> {
    fn default() -> TopicTree<T> {
        let root = Node::new(NONE, "");
        TopicTree { nodes: vec![root], free: Vec::new(), values: 0, names: RandomState::default() }
    }
}

impl<T> Node<T> {
    fn new(parent: u32, name: &str) -> Node<T> {
        Node { name: name.into(), parent, children: Children::None, plus: NONE, value: None, below: None }
    }

    fn is_unused(&self) -> bool {
        self.children.is_empty() && self.plus == NONE && self.value.is_none() && self.below.is_none()
    }
}

impl<T> TopicTree<T> {
    /// A tree without filters.
    pub fn new() -> TopicTree<T> {
        TopicTree::default()
    }

    /// How many filters have a value.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether no filter has a value.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// Gives a filter its value; the one it had comes back.
    pub fn insert(&mut self, filter: &str, value: T) -> Option<T> {
        let (slot, values) = self.slot(filter);
        let old = slot.replace(value);
        *values += usize::from(old.is_none());
        old
    }

    /// The value of a filter, which is made if it has none.
    pub fn get_or_insert_with(&mut self, filter: &str, make: impl FnOnce() -> T) -> &mut T {
        let (slot, values) = self.slot(filter);
        *values += usize::from(slot.is_none());
        slot.get_or_insert_with(make)
    }

    /// The value of exactly this filter.
    pub fn get(&self, filter: &str) -> Option<&T> {
        let (node, below) = self.find(filter)?;
        let node = &self.nodes[node as usize];
        if below { node.below.as_ref() } else { node.value.as_ref() }
    }

    /// The value of exactly this filter, to be changed.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut T> {
        let (node, below) = self.find(filter)?;
        let node = &mut self.nodes[node as usize];
        if below { node.below.as_mut() } else { node.value.as_mut() }
    }

    /// Takes a filter out, with the nodes that only it needed.
    pub fn remove(&mut self, filter: &str) -> Option<T> {
        let (index, below) = self.find(filter)?;
        let node = &mut self.nodes[index as usize];
        let old = if below { node.below.take() } else { node.value.take() }?;
        self.values -= 1;
        self.prune(index);
        Some(old)
    }

    /// Calls `found` with the value of every filter that matches the topic, in no particular order.
    pub fn for_each_match<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a T)) {
        if self.values == 0 {
            return;
        }
        let end = topic.len() + 1;
        let hidden = topic.starts_with('$');
        // Nodes still to be looked at, each with the place in the topic where its next level begins.
        let mut open: SmallVec<[(u32, usize); 16]> = smallvec![(ROOT, 0)];
        while let Some((index, start)) = open.pop() {
            let node = &self.nodes[index as usize];
            let wildcards = !(hidden && index == ROOT);
            if wildcards && let Some(value) = &node.below {
                found(value);
            }
            if start == end {
                if let Some(value) = &node.value {
                    found(value);
                }
                continue;
            }
            let level = &topic[start..];
            let level = &level[..level_length(level)];
            let next = start + level.len() + 1;
            if wildcards && node.plus != NONE {
                open.push((node.plus, next));
            }
            if let Some(child) = node.children.get(level, &self.nodes, &self.names) {
                open.push((child, next));
            }
        }
    }

    /// Calls `found` with every value.
    pub fn for_each<'a>(&'a self, mut found: impl FnMut(&'a T)) {
        for node in &self.nodes {
            node.value.iter().chain(&node.below).for_each(&mut found);
        }
    }

    /// The node of a filter, and whether its value is the one for `#` there.
    fn find(&self, filter: &str) -> Option<(u32, bool)> {
        let mut index = ROOT;
        for level in filter.split('/') {
            let node = &self.nodes[index as usize];
            index = match level {
                "#" => return Some((index, true)),
                "+" if node.plus != NONE => node.plus,
                "+" => return None,
                name => node.children.get(name, &self.nodes, &self.names)?,
            };
        }
        Some((index, false))
    }

    /// Where the value of a filter stands, beside the count of values.
    fn slot(&mut self, filter: &str) -> (&mut Option<T>, &mut usize) {
        let mut index = ROOT;
        for level in filter.split('/') {
            if level == "#" {
                return (&mut self.nodes[index as usize].below, &mut self.values);
            }
            index = self.child(index, level);
        }
        (&mut self.nodes[index as usize].value, &mut self.values)
    }

    /// The child that a level leads to, made if it is not there.
    fn child(&mut self, parent: u32, level: &str) -> u32 {
        let node = &self.nodes[parent as usize];
        let known = if level == "+" {
            Some(node.plus).filter(|plus| *plus != NONE)
        } else {
            node.children.get(level, &self.nodes, &self.names)
        };
        if let Some(index) = known {
            return index;
        }
        let plus = level == "+";
        let made = Node::new(parent, level);
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = made;
                index
            }
            None => {
                self.nodes.push(made);
                u32::try_from(self.nodes.len() - 1)
                    .expect("four thousand million nodes do not fit into memory")
            }
        };
        if plus {
            self.nodes[parent as usize].plus = index;
        } else {
            let mut children = std::mem::take(&mut self.nodes[parent as usize].children);
            children.insert(index, &self.nodes, &self.names);
            self.nodes[parent as usize].children = children;
        }
        index
    }

    /// Gives back a node that holds nothing, and those above that held only it.
    fn prune(&mut self, mut index: u32) {
        while index != ROOT && self.nodes[index as usize].is_unused() {
            let above = self.nodes[index as usize].parent;
            let parent = &mut self.nodes[above as usize];
            if parent.plus == index {
                parent.plus = NONE;
            } else {
                let mut children = std::mem::take(&mut parent.children);
                children.remove(index, &self.nodes, &self.names);
                self.nodes[above as usize].children = children;
            }
            self.nodes[index as usize] = Node::new(NONE, "");
            self.free.push(index);
            index = above;
        }
    }
}

/// Where a level ends.
fn level_length(rest: &str) -> usize {
    rest.as_bytes().iter().position(|byte| *byte == b'/').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
