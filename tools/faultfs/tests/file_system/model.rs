//! Long random histories of every operation, beside a model that is plain maps and byte vectors. What is read must be what
//! the model says at once; what is there after a cut must be what it says is durable, or, where the cut keeps a part,
//! something that the file's history can explain.
//!
//! `FAULTFS_SEED=n` repeats one history.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use barnacle_faultfs::Cut;
use rustix::fs::FallocateFlags;

use crate::mounted::{Lab, names, sync_folder};

const FOLDERS: [&str; 3] = ["", "one", "two"];
const LONGEST: u64 = 80_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A file's content now, as durable, and after each change since that was so.
#[derive(Clone, Default)]
struct Body {
    now: Vec<u8>,
    durable: Vec<u8>,
    since: Vec<Vec<u8>>,
}

impl Body {
    fn changed(&mut self) {
        self.since.push(self.now.clone());
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.since.clear();
    }

    /// Each byte as it was at some moment, or zero where the file had not reached before.
    fn explains(&self, found: &[u8]) -> bool {
        let versions = || std::iter::once(&self.durable).chain(&self.since);
        let longest = versions().map(Vec::len).max().unwrap_or(0);
        let explained =
            |at: usize, byte: u8| versions().any(|version| version.get(at).copied().unwrap_or(0) == byte);
        found.len() <= longest && found.iter().enumerate().all(|(at, byte)| explained(at, *byte))
    }
}

type Names = BTreeMap<(usize, String), usize>;

/// What has to be there.
#[derive(Default)]
struct Model {
    bodies: Vec<Body>,
    now: Names,
    durable: Names,
}

impl Model {
    fn sync_folder(&mut self, folder: usize) {
        self.durable.retain(|(of, _), _| *of != folder);
        let own = self.now.iter().filter(|((of, _), _)| *of == folder);
        self.durable.extend(own.map(|(name, body)| (name.clone(), *body)));
    }
}

struct History {
    lab: Lab,
    model: Model,
    random: Random,
    open: Vec<(File, usize)>,
}

impl History {
    fn path(&self, (folder, name): &(usize, String)) -> PathBuf {
        self.lab.data().join(FOLDERS[*folder]).join(name)
    }

    fn some_name(&mut self) -> (usize, String) {
        (self.random.below(3) as usize, format!("file-{}", self.random.below(5)))
    }

    fn file_at(&mut self, name: &(usize, String)) -> (File, usize) {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path(name));
        let file = file.expect("opened");
        let body = *self.model.now.entry(name.clone()).or_insert_with(|| {
            self.model.bodies.push(Body::default());
            self.model.bodies.len() - 1
        });
        (file, body)
    }

    fn step(&mut self) {
        let name = self.some_name();
        match self.random.below(20) {
            0 => self.remove(&name),
            1 | 2 => self.rename(name),
            3 => self.link(name),
            4 | 5 => {
                sync_folder(&self.lab.data().join(FOLDERS[name.0])).expect("synced");
                self.model.sync_folder(name.0);
            }
            6 if self.open.len() < 5 => {
                let opened = self.file_at(&name);
                self.open.push(opened);
            }
            6 => drop(self.open.remove(0)),
            7..=9 if !self.open.is_empty() => {
                let at = self.random.below(self.open.len() as u64) as usize;
                let (file, body) = self.open.swap_remove(at);
                self.use_file(&file, body);
                self.open.push((file, body));
            }
            _ => {
                let (file, body) = self.file_at(&name);
                self.use_file(&file, body);
            }
        }
    }

    fn remove(&mut self, name: &(usize, String)) {
        let removed = fs::remove_file(self.path(name));
        assert_eq!(removed.is_ok(), self.model.now.remove(name).is_some(), "{removed:?}");
    }

    fn rename(&mut self, from: (usize, String)) {
        let mut to = self.some_name();
        let across = self.random.below(3) == 0;
        if !across {
            to.0 = from.0;
        }
        let Some(body) = self.model.now.get(&from).copied() else { return };
        fs::rename(self.path(&from), self.path(&to)).expect("renamed");
        // Two names of one file: POSIX wants nothing done.
        if self.model.now.get(&to) != Some(&body) {
            self.model.now.remove(&from);
            self.model.now.insert(to.clone(), body);
        }
        // Which names rest upon which is tested apart; here both directories follow at once.
        for folder in [from.0, to.0].into_iter().filter(|_| from.0 != to.0) {
            sync_folder(&self.lab.data().join(FOLDERS[folder])).expect("synced");
            self.model.sync_folder(folder);
        }
    }

    fn link(&mut self, from: (usize, String)) {
        let to = self.some_name();
        let linked = fs::hard_link(self.path(&from), self.path(&to));
        let body = self.model.now.get(&from).copied();
        let possible = body.is_some() && !self.model.now.contains_key(&to);
        assert_eq!(linked.is_ok(), possible, "{linked:?}");
        if let Some(body) = body.filter(|_| possible) {
            self.model.now.insert(to, body);
        }
    }

    fn use_file(&mut self, file: &File, body: usize) {
        let at = self.random.below(LONGEST);
        let longest = if self.random.below(4) == 0 { 20_000 } else { 300 };
        let length = 1 + self.random.below(longest);
        let end = (at + length) as usize;
        let body = &mut self.model.bodies[body];
        let allocate = |flags| rustix::fs::fallocate(file, flags, at, length).expect("allocated");
        match self.random.below(12) {
            0 | 1 => {
                file.sync_data().expect("synced");
                body.sync();
                return;
            }
            2 => {
                let mut found = vec![0xee; length as usize];
                let count = file.read_at(&mut found, at).expect("read");
                let expected = &body.now[body.now.len().min(at as usize)..body.now.len().min(end)];
                assert!(found[..count] == *expected, "{count} bytes from {at} on differ");
                return;
            }
            3 => {
                let size = self.random.below(LONGEST);
                file.set_len(size).expect("resized");
                body.now.resize(size as usize, 0);
            }
            4 => {
                allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE);
                let size = body.now.len();
                body.now[size.min(at as usize)..size.min(end)].fill(0);
            }
            5 => allocate(FallocateFlags::KEEP_SIZE),
            6 => {
                allocate(FallocateFlags::empty());
                let size = body.now.len().max(end);
                body.now.resize(size, 0);
            }
            _ => {
                // At the end, as logs grow, more often than anywhere.
                let at = if self.random.below(2) == 0 { body.now.len() as u64 } else { at };
                let value = 1 + self.random.below(255) as u8;
                let data = vec![value; length as usize];
                file.write_all_at(&data, at).expect("written");
                let size = body.now.len().max(at as usize + data.len());
                body.now.resize(size, 0);
                body.now[at as usize..at as usize + data.len()].copy_from_slice(&data);
            }
        }
        body.changed();
        assert_eq!(file.metadata().expect("metadata").len(), body.now.len() as u64);
    }

    /// Every name and every byte, seen through the mount.
    fn compare_all(&self) {
        assert_eq!(names_below(self.lab.data()), self.model.now.keys().cloned().collect::<Vec<_>>());
        for (name, body) in &self.model.now {
            let found = fs::read(self.path(name)).expect("read");
            assert!(found == self.model.bodies[*body].now, "{name:?} differs");
        }
    }

    /// One of the ends, and the beginning after it.
    fn end(&mut self) {
        let seed = self.random.below(1 << 40);
        self.open.clear();
        match self.random.below(5) {
            0 => {
                self.lab.unmount();
                self.model.durable.clone_from(&self.model.now);
                self.model.bodies.iter_mut().for_each(Body::sync);
            }
            1 | 2 => {
                let report = self.lab.cut(Cut::DropAll);
                assert_eq!(report.files, self.model.durable.len() as u64);
            }
            3 => self.cut_in_part(Cut::Subset { seed }),
            _ => self.cut_in_part(Cut::Torn { seed }),
        }
        for body in &mut self.model.bodies {
            body.now.clone_from(&body.durable);
            body.since.clear();
        }
        self.model.now.clone_from(&self.model.durable);
        self.lab.mount();
        self.compare_all();
    }

    /// A cut that keeps a part: what is there has to be explained, and is where the model goes on from.
    fn cut_in_part(&mut self, cut: Cut) {
        let now = self.model.now.clone();
        self.lab.cut(cut);
        let found = names_below(self.lab.durable());
        for (name, body) in &self.model.durable {
            // A durable name that nothing has touched since is there.
            assert!(now.get(name) != Some(body) || found.contains(name), "{name:?} is gone");
        }
        let bodies = std::mem::take(&mut self.model.bodies);
        self.model.durable.clear();
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        for name in found {
            use std::os::unix::fs::MetadataExt;
            let path = self.lab.durable().join(FOLDERS[name.0]).join(&name.1);
            let content = fs::read(&path).expect("read");
            assert!(bodies.iter().any(|body| body.explains(&content)), "nothing explains {name:?}");
            let body = *known.entry(fs::metadata(&path).expect("there").ino()).or_insert_with(|| {
                self.model.bodies.push(Body { durable: content, ..Body::default() });
                self.model.bodies.len() - 1
            });
            self.model.durable.insert(name, body);
        }
    }
}

fn names_below(root: &Path) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, folder) in FOLDERS.iter().enumerate() {
        let inner = names(&root.join(folder)).into_iter().filter(|name| !FOLDERS.contains(&name.as_str()));
        found.extend(inner.map(|name| (at, name)));
    }
    found
}

fn run(seed: u64) {
    let Some(lab) = Lab::new() else { return };
    println!("FAULTFS_SEED={seed}");
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut history = History { lab, model: Model::default(), random, open: Vec::new() };
    for folder in &FOLDERS[1..] {
        fs::create_dir(history.lab.data().join(folder)).expect("made");
    }
    sync_folder(history.lab.data()).expect("synced");
    for _ in 0..4 {
        for _ in 0..80 {
            history.step();
        }
        history.compare_all();
        history.end();
    }
}

#[test]
fn random_histories_are_as_the_model_says() {
    match std::env::var("FAULTFS_SEED") {
        Ok(seed) => run(seed.parse().expect("a number")),
        Err(_) => (0..40).for_each(run),
    }
}
