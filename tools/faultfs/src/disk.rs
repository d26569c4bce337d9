//! The mounted state as a whole: made from a directory when it is mounted, and made a directory again at the end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::body::Body;
use crate::counts::Gauges;
use crate::cut::{Cut, CutReport};
use crate::faults::Faults;
use crate::tree::{Kind, Names, Node, Number, ROOT, Tree};

/// Below the durable directory, and not seen through the mount.
pub(crate) const SCRATCH: &str = ".faultfs";

/// Everything behind a mount. Locks are taken in the order power, switches, tree, body.
pub(crate) struct Disk {
    pub(crate) tree: Mutex<Tree>,
    pub(crate) faults: Faults,
    pub(crate) gauges: Arc<Gauges>,
    /// Whether the power is off; held for reading by each operation.
    pub(crate) off: RwLock<bool>,
    pub(crate) durable: PathBuf,
    pub(crate) scratch: PathBuf,
}

impl Disk {
    /// Takes in what is below `durable`. What an earlier mount that was not ended left there is removed.
    pub(crate) fn load(durable: &Path) -> io::Result<Disk> {
        let durable = durable.canonicalize()?;
        let scratch = durable.join(SCRATCH);
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir(&scratch)?;
        let metadata = fs::metadata(&durable)?;
        let disk = Disk {
            tree: Mutex::new(Tree::new(Node::new(folder(), metadata.mode(), owner(&metadata)))),
            faults: Faults::new(),
            gauges: Arc::new(Gauges::default()),
            off: RwLock::new(false),
            durable,
            scratch,
        };
        disk.load_folder(&mut disk.tree.lock(), &disk.durable, ROOT, &mut HashMap::new())?;
        Ok(disk)
    }

    fn load_folder(
        &self,
        tree: &mut Tree,
        path: &Path,
        number: Number,
        links: &mut HashMap<(u64, u64), Number>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if path == self.scratch {
                continue;
            }
            let metadata = fs::symlink_metadata(&path)?;
            let identity = (metadata.dev(), metadata.ino());
            if let Some(known) = links.get(&identity) {
                tree.found(number, name, *known);
                continue;
            }
            let inner = tree.next_number();
            let kind = if metadata.is_dir() {
                folder()
            } else if metadata.is_symlink() {
                Kind::Symlink(fs::read_link(&path)?)
            } else if metadata.is_file() {
                links.insert(identity, inner);
                Kind::File(Arc::new(Body::found(&path, &metadata, &self.scratch, inner, &self.gauges)?))
            } else {
                continue;
            };
            let is_folder = metadata.is_dir();
            tree.insert(inner, Node::new(kind, metadata.mode(), owner(&metadata)));
            tree.found(number, name, inner);
            if is_folder {
                self.load_folder(tree, &path, inner, links)?;
            }
        }
        Ok(())
    }

    /// Switches the power off: from here on every operation fails. Returns whether it was on.
    pub(crate) fn switch_off(&self) -> bool {
        !std::mem::replace(&mut *self.off.write(), true)
    }

    /// Makes the directory what survives. The power is off.
    pub(crate) fn cut(&self, cut: Cut) -> io::Result<CutReport> {
        let mut report = CutReport::default();
        let mut tree = self.tree.lock();
        let mut keep = cut.names();
        (report.names_kept, report.names_dropped) = tree.cut(|_| keep());
        for (number, node) in tree.nodes() {
            if let Kind::File(body) = &node.kind {
                let settle = |pending: &[_], kept: &_| cut.settle(number, pending, kept, &mut report);
                body.lock().settle(settle)?;
            }
        }
        report.files = self.store(&tree)?;
        Ok(report)
    }

    /// Makes the directory what programs saw. The power is off.
    pub(crate) fn keep_all(&self) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.keep_all();
        for (_, node) in tree.nodes() {
            if let Kind::File(body) = &node.kind
                && node.kept > 0
            {
                body.lock().keep_seen()?;
            }
        }
        self.store(&tree).map(drop)
    }

    /// Puts the files that survive where the surviving names say, and removes all else. Returns how many files there are.
    fn store(&self, tree: &Tree) -> io::Result<u64> {
        let mut places = Vec::new();
        survivors(tree, ROOT, &self.durable, &mut places);
        let staged = |number: Number| self.scratch.join(format!("file-{number}"));
        for (_, number, node) in &places {
            if let Kind::File(body) = &node.kind
                && !staged(*number).exists()
            {
                fs::rename(body.lock().kept_path()?, staged(*number))?;
            }
        }
        self.clear()?;
        let mut stored: HashMap<Number, &Path> = HashMap::new();
        for (place, number, node) in &places {
            match &node.kind {
                Kind::Folder { .. } => fs::create_dir(place)?,
                Kind::Symlink(target) => {
                    symlink(target, place)?;
                    continue;
                }
                Kind::File(_) => match stored.get(number) {
                    Some(first) => fs::hard_link(first, place)?,
                    None => fs::rename(staged(*number), place)?,
                },
            }
            stored.insert(*number, place);
            dress(place, node)?;
        }
        fs::remove_dir_all(&self.scratch)?;
        Ok(places.iter().filter(|(_, _, node)| matches!(node.kind, Kind::File(_))).count() as u64)
    }

    /// Removes everything but the scratch folder.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.durable)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                if entry.path() != self.scratch {
                    fs::remove_dir_all(entry.path())?;
                }
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// What the surviving names lead to, a folder before what is in it.
fn survivors<'a>(tree: &'a Tree, folder: Number, path: &Path, places: &mut Vec<(PathBuf, Number, &'a Node)>) {
    for (name, number) in tree.kept(folder).into_iter().flatten() {
        let Some(node) = tree.node(*number) else { continue };
        let place = path.join(name);
        places.push((place.clone(), *number, node));
        if node.is_folder() {
            survivors(tree, *number, &place, places);
        }
    }
}

/// Gives what has been stored the mode and the owner that programs gave it.
fn dress(path: &Path, node: &Node) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.mode() & 0o7777 != node.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(node.mode))?;
    }
    if owner(&metadata) != node.owner {
        chown(path, Some(node.owner.0), Some(node.owner.1))?;
    }
    Ok(())
}

pub(crate) fn folder() -> Kind {
    Kind::Folder { seen: Names::new(), kept: Names::new() }
}

fn owner(metadata: &fs::Metadata) -> (u32, u32) {
    (metadata.uid(), metadata.gid())
}
