//! Disk full (P8): publishes are refused or held, in order; everything else goes on, nobody loses the connection, and it
//! ends by itself once there is room.

mod consumers;
mod publisher;
mod small_disk;
mod subscriber;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use barnacle_wire::{Publish, Subscribe, Version};
use tempfile::TempDir;

use crate::broker::{Broker, Setup};
use publisher::Publisher;
use small_disk::SmallDisk;
use subscriber::{Received, Subscriber};

const KEEP_ALIVE_SECONDS: u16 = 2;

/// Three keep-alives: twice what a broker that does not listen would be forgiven.
const KEPT_FULL: Duration = Duration::from_secs(3 * KEEP_ALIVE_SECONDS as u64);

const MIB: u64 = 1 << 20;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was acknowledged on a topic, and what its publisher speaks.
struct Published {
    topic: String,
    version: Version,
    numbers: BTreeSet<u64>,
}

/// A broker on a small disk, and clients of each kind.
struct Scene {
    broker: Broker,
    disk: SmallDisk,
    publishers: Vec<Publisher>,
    /// Receives everything as it comes.
    live: Subscriber,
    /// Has a backlog from before, and takes it slowly.
    slow: Subscriber,
}

/// Free space below which the broker refuses, where a test does not want it to notice too late.
const WATERMARK: u64 = 48 * MIB;

/// Messages that wait for the slow subscriber from the beginning.
const BACKLOG: u64 = 2000;

impl Scene {
    fn new(payload_bytes: usize, min_free_bytes: u64) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let disk = SmallDisk::mount(directory.path(), 288 * MIB);
        disk.take("reserve", 64 * MIB);
        let setup = Setup::new()
            .setting("storage.min_free_bytes", &min_free_bytes.to_string())
            .setting("storage.warn_free_bytes", &(WATERMARK + 8 * MIB).to_string())
            .setting("storage.ballast_bytes", &(64 * MIB).to_string());
        let broker = disk.under(setup).start_in(directory);
        broker.new_session(Version::V311, "offline").subscribe(&Subscribe::new(1, "load/#", 2));
        broker.new_session(Version::V5, "live").subscribe(&Subscribe::new(1, "load/#", 2).and("live", 0));
        broker.new_session(Version::V5, "slow").subscribe(&Subscribe::new(1, "backlog", 1));
        let mut source = broker.client(Version::V5, "source");
        for number in 1..=BACKLOG {
            source.deliver(&Publish::new("backlog", payload(number, 64)).qos(1, 1));
        }
        let address = broker.address();
        let live = Subscriber::start(address, Version::V5, "live", Duration::ZERO);
        let slow = Subscriber::start(address, Version::V5, "slow", Duration::from_millis(20));
        let kinds = [(Version::V5, 1), (Version::V5, 2), (Version::V311, 1), (Version::V311, 2)];
        let publishers =
            kinds.map(|(version, qos)| Publisher::start(address, version, qos, payload_bytes)).into();
        Self { broker, disk, publishers, live, slow }
    }

    /// Waits until all publishers wait: those that can be told are, the others are held.
    fn until_full(&self) {
        self.until("publishers of MQTT 5 are refused", || {
            let told = |publisher: &&Publisher| publisher.version == Version::V5;
            self.publishers.iter().filter(told).all(|told| told.progress.refused.load(Relaxed) > 0)
        });
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}");
            assert!(!self.publishers.iter().any(Publisher::has_ended), "a publisher has failed");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The disk stays full for three keep-alives: nothing is acknowledged, and everything else goes on.
    fn stays_full(&self) {
        let acknowledged = || -> Vec<u64> {
            self.publishers.iter().map(|publisher| publisher.progress.acknowledged.load(Relaxed)).collect()
        };
        // A publish that was on its way when the disk filled up is still acknowledged.
        let mut settled = acknowledged();
        let mut since = Instant::now();
        let mut refused = 0;
        let begun = Instant::now();
        let mut source = self.broker.client(Version::V311, "source");
        while since.elapsed() < KEPT_FULL {
            assert!(begun.elapsed() < PATIENCE, "publishes are acknowledged on a full disk");
            let received = (self.live.received.load(Relaxed), self.slow.received.load(Relaxed));
            // QoS 0 is not kept, and waits for nobody.
            source.publish(&Publish::new("live", payload(refused, 64))).expect("it is connected");
            self.until("deliveries go on", || {
                self.live.received.load(Relaxed) > received.0 && self.slow.received.load(Relaxed) > received.1
            });
            refused += 1;
            if acknowledged() != settled {
                settled = acknowledged();
                since = Instant::now();
            }
            assert!(!self.publishers.iter().any(Publisher::has_ended), "a publisher has failed");
        }
    }

    /// There is room again: whatever was refused or held is acknowledged, on the same connections. Returns what each
    /// topic was given.
    fn finish(mut self) -> (Broker, SmallDisk, Vec<Published>) {
        let publishers = std::mem::take(&mut self.publishers);
        let published: Vec<_> = publishers
            .into_iter()
            .map(|publisher| Published {
                topic: format!("load/{}", publisher.name),
                version: publisher.version,
                numbers: publisher.finish(),
            })
            .collect();
        let total: u64 = published.iter().map(|published| published.numbers.len() as u64).sum();
        eprintln!("{total} messages were acknowledged");
        let Scene { broker, disk, live, slow, .. } = self;
        slow.finish();
        let deadline = Instant::now() + PATIENCE;
        while live.received.load(Relaxed) < total {
            assert!(Instant::now() < deadline, "{} of {total} arrived", live.received.load(Relaxed));
            thread::sleep(Duration::from_millis(5));
        }
        has_all(&live.finish(), &published);
        (broker, disk, published)
    }
}

/// Everything that was acknowledged, and what a client of MQTT 3.1.1 sent, in its order: nothing of it was refused.
fn has_all(received: &Received, published: &[Published]) {
    for Published { topic, version, numbers } in published {
        let received = &received[topic];
        let set: BTreeSet<u64> = received.iter().copied().collect();
        let missing: Vec<u64> = numbers.difference(&set).copied().collect();
        assert!(missing.is_empty(), "{topic}: {missing:?} are lost");
        assert!(*version == Version::V5 || received.is_sorted(), "{topic} is out of order");
    }
}

/// What is offline through it all has everything after SIGKILL.
fn survives_a_kill(mut broker: Broker, published: &[Published]) {
    broker.kill_and_start_again();
    let total: u64 = published.iter().map(|published| published.numbers.len() as u64).sum();
    let offline = Subscriber::start(broker.address(), Version::V311, "offline", Duration::ZERO);
    let deadline = Instant::now() + PATIENCE;
    while offline.received.load(Relaxed) < total {
        assert!(Instant::now() < deadline, "{} of {total} arrived", offline.received.load(Relaxed));
        thread::sleep(Duration::from_millis(5));
    }
    has_all(&offline.finish(), published);
}

#[test]
fn a_disk_that_fills_up_under_load_stops_publishes_and_nothing_else() {
    let scene = Scene::new(16 << 10, WATERMARK);
    scene.until_full();
    scene.stays_full();
    scene.disk.give_back("reserve");
    let (broker, _disk, published) = scene.finish();
    assert!(!broker.log().contains("writing has failed"), "the watermark is reached first");
    survives_a_kill(broker, &published);
}

#[test]
fn a_disk_filled_to_the_last_byte_by_another_loses_nothing() {
    // Without a watermark: a write fails, and the ballast has to help.
    let scene = Scene::new(16 << 10, 0);
    let sent = || scene.publishers.iter().map(|one| one.progress.acknowledged.load(Relaxed)).min();
    scene.until("all publish", || sent() > Some(100));
    scene.disk.fill("others");
    scene.until_full();
    scene.stays_full();
    // It takes what the broker has let go of, too.
    scene.disk.fill("others-again");
    let begun = Instant::now();
    scene.until("nobody is disconnected", || begun.elapsed() > KEPT_FULL);
    scene.disk.give_back("others");
    scene.disk.give_back("others-again");
    let (broker, _disk, published) = scene.finish();
    for said in ["the ballast is let go of", "writing has failed", "writing succeeds again"] {
        assert!(broker.log().contains(said), "the log does not say: {said}");
    }
    survives_a_kill(broker, &published);
}

#[test]
fn what_is_consumed_makes_room() {
    let scene = Scene::new(16 << 10, WATERMARK);
    scene.until_full();
    let acknowledged =
        || scene.publishers.iter().map(|one| one.progress.acknowledged.load(Relaxed)).sum::<u64>();
    let (before, free) = (acknowledged(), scene.disk.free_bytes());
    let offline = Subscriber::start(scene.broker.address(), Version::V311, "offline", Duration::ZERO);
    scene.until("publishes are taken again", || acknowledged() > 2 * before);
    eprintln!("{} MiB were free when full, {} MiB are now", free / MIB, scene.disk.free_bytes() / MIB);
    offline.finish();
    scene.disk.give_back("reserve");
    scene.finish();
}

/// A payload that tells its number.
fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![b'.'; bytes];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().expect("a payload begins with its number"))
}
