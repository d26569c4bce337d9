//! Random histories of a few clients, against a model that keeps a plain list of everything.

use std::collections::{BTreeMap, BTreeSet};

use barnacle_storage::topics::topic_matches;
use barnacle_storage::*;
use proptest::prelude::*;

use crate::support::*;

const FILTERS: [&str; 5] = ["a", "a/#", "+/x", "#", "b/x"];
const TOPICS: [&str; 4] = ["a", "a/x", "b/x", "c"];
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Subscribe {
        client: usize,
        filter: usize,
        qos: u8,
    },
    Unsubscribe {
        client: usize,
        filter: usize,
    },
    /// Several publishes in one transaction.
    Publish {
        topics: Vec<usize>,
    },
    /// Matched now, published with the next step.
    PublishStale {
        topic: usize,
    },
    /// The client reads and moves its position by at most so many messages.
    Consume {
        client: usize,
        messages: usize,
    },
    Attach {
        client: usize,
        clean_start: bool,
    },
    Crash,
    CloseAndOpen,
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let filter = 0..FILTERS.len();
    let topic = 0..TOPICS.len();
    prop_oneof![
        6 => (client.clone(), filter.clone(), 0u8..=2)
            .prop_map(|(client, filter, qos)| Step::Subscribe { client, filter, qos }),
        3 => (client.clone(), filter).prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
        8 => prop::collection::vec(topic.clone(), 1..5).prop_map(|topics| Step::Publish { topics }),
        3 => topic.prop_map(|topic| Step::PublishStale { topic }),
        6 => (client.clone(), 1usize..6).prop_map(|(client, messages)| Step::Consume { client, messages }),
        1 => (client, any::<bool>()).prop_map(|(client, clean_start)| Step::Attach { client, clean_start }),
        1 => Just(Step::Crash),
        1 => Just(Step::CloseAndOpen),
        2 => Just(Step::Trim),
    ]
}

struct World {
    fixture: Option<Fixture>,
    clients: Vec<ModelClient>,
    published: BTreeMap<Lsn, &'static str>,
    stale: Option<(Operation, &'static str)>,
    tail_cache_bytes: usize,
}

struct ModelClient {
    name: String,
    client: Client,
    position: Lsn,
    /// Filter, QoS, start.
    subscriptions: BTreeMap<&'static str, (u8, Lsn)>,
    /// Those of them that were of QoS 1 or 2 at some time: their start stays.
    held: BTreeSet<&'static str>,
    /// Messages that a subscription of QoS 1 or 2 asked for, with the filters that did.
    owed: BTreeMap<Lsn, Vec<(&'static str, Lsn)>>,
}

impl World {
    fn new(tail_cache_bytes: usize) -> World {
        let fixture = fixture_with(|options| World::options(options, tail_cache_bytes));
        let clients = (0..CLIENTS)
            .map(|number| {
                let name = format!("client {number}");
                ModelClient {
                    client: fixture.attach(&name),
                    name,
                    position: Lsn(0),
                    subscriptions: BTreeMap::new(),
                    held: BTreeSet::new(),
                    owed: BTreeMap::new(),
                }
            })
            .collect();
        World { fixture: Some(fixture), clients, published: BTreeMap::new(), stale: None, tail_cache_bytes }
    }

    fn options(options: &mut Options, tail_cache_bytes: usize) {
        options.durability = Durability::Os;
        options.tail_cache_bytes = tail_cache_bytes;
        // Whatever is dead on the disk goes.
        options.trimming.dead_bytes = 1;
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().expect("open between the steps")
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe { client, filter, qos } => self.subscribe(client, FILTERS[filter], qos),
            Step::Unsubscribe { client, filter } => {
                let filter = FILTERS[filter];
                self.fixture().unsubscribe(&self.clients[client].client, filter);
                self.clients[client].subscriptions.remove(filter);
                self.clients[client].held.remove(filter);
            }
            Step::Publish { topics } => {
                let topics: Vec<_> = topics.into_iter().map(|topic| TOPICS[topic]).collect();
                let operations =
                    topics.iter().map(|topic| publish(&self.fixture().store, topic, "x")).collect();
                self.publish(operations, topics);
            }
            Step::PublishStale { topic } => {
                let next = (publish(&self.fixture().store, TOPICS[topic], "x"), TOPICS[topic]);
                if let Some((operation, topic)) = self.stale.replace(next) {
                    self.publish(vec![operation], vec![topic]);
                }
            }
            Step::Consume { client, messages } => self.consume(client, messages),
            Step::Attach { client, clean_start } => self.attach(client, clean_start),
            Step::Crash => {
                let tail_cache_bytes = self.tail_cache_bytes;
                let fixture = self.fixture.take().expect("open between the steps");
                self.reopened(fixture.reopen_with(|options| World::options(options, tail_cache_bytes)));
            }
            Step::CloseAndOpen => {
                let Fixture { directory, store, .. } = self.fixture.take().expect("open between the steps");
                store.close().expect("closes");
                let mut options = Options::new(directory.path());
                World::options(&mut options, self.tail_cache_bytes);
                let (store, recovery) = Store::open(options).expect("opens");
                self.reopened(Fixture { directory, store, recovery });
            }
            Step::Trim => self.fixture().store.trim(),
        }
    }

    fn subscribe(&mut self, client: usize, filter: &'static str, qos: u8) {
        let head = self.fixture().store.head();
        let subscribed = self.fixture().subscribe(&self.clients[client].client, filter, qos);
        let known = self.clients[client].subscriptions.get(filter).copied();
        assert_eq!(subscribed.existed, known.is_some());
        let start = match known {
            Some((_, start)) if self.clients[client].held.contains(filter) || qos == 0 => start,
            _ => head,
        };
        if qos > 0 {
            self.clients[client].held.insert(filter);
        }
        assert_eq!(subscribed.subscription.start, start);
        self.clients[client].subscriptions.insert(filter, (qos, start));
    }

    fn publish(&mut self, operations: Vec<Operation>, topics: Vec<&'static str>) {
        let first = self.fixture().commit(operations).lsn;
        for (index, topic) in topics.into_iter().enumerate() {
            let lsn = Lsn(first.0 + index as u64);
            self.published.insert(lsn, topic);
            for client in &mut self.clients {
                let asked = client
                    .subscriptions
                    .iter()
                    .filter(|(filter, (qos, _))| *qos > 0 && topic_matches(filter, topic));
                let filters: Vec<_> = asked.map(|(filter, (_, start))| (*filter, *start)).collect();
                if !filters.is_empty() {
                    client.owed.insert(lsn, filters);
                }
            }
        }
    }

    /// What a session would do: it takes in a pass, and saves its position.
    fn consume(&mut self, client: usize, messages: usize) {
        let fixture = self.fixture.as_ref().expect("open between the steps");
        let client = &mut self.clients[client];
        let budget = Budget { messages, bytes: usize::MAX };
        let pass = fixture.store.read(&client.client.reader, client.position, budget).expect("whole");
        assert!(pass.entries.len() <= messages && pass.through >= client.position);
        assert!(pass.entries.windows(2).all(|pair| pair[0].lsn < pair[1].lsn), "in order, each once");
        for entry in &pass.entries {
            assert!(entry.lsn > client.position && entry.lsn <= pass.through);
            assert_eq!(
                self.published.get(&entry.lsn).copied(),
                Some(&*entry.message.topic),
                "as it was published"
            );
        }
        // Whatever a subscription asked for that has been in force since is there.
        let covered = |lsn: Lsn| lsn > client.position && lsn <= pass.through;
        for (lsn, filters) in client.owed.iter().filter(|(lsn, _)| covered(**lsn)) {
            let in_force = |(filter, start): &(&str, Lsn)| {
                client.subscriptions.get(filter).is_some_and(|(_, known)| known == start && lsn > start)
            };
            if filters.iter().any(in_force) {
                assert!(pass.entries.iter().any(|entry| entry.lsn == *lsn), "{lsn:?} is missing in {pass:?}");
            }
        }
        client.position = pass.through;
        fixture.save(&client.client, Outbound { position: pass.through, ..Outbound::default() });
    }

    fn attach(&mut self, client: usize, clean_start: bool) {
        let name = &self.clients[client].name;
        // By the clock: a detached session of long ago has expired.
        let now_millis = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let attached = self.fixture().attached(Attach { clean_start, now_millis, ..attach(name) });
        assert_eq!(attached.present, !clean_start);
        let session = attached.session.expect("stored");
        let client = &mut self.clients[client];
        client.client = Client { id: session.id, epoch: session.epoch, reader: session.reader };
        if clean_start {
            client.subscriptions.clear();
            client.held.clear();
            client.owed.clear();
            client.position = session.outbound.position;
        }
        assert_eq!(session.outbound.position.max(client.position), client.position);
        let stored: BTreeMap<_, _> = session
            .subscriptions
            .iter()
            .map(|subscription| (&*subscription.filter, (subscription.options.qos, subscription.start)))
            .collect();
        assert_eq!(stored, client.subscriptions.iter().map(|(filter, known)| (*filter, *known)).collect());
    }

    fn reopened(&mut self, fixture: Fixture) {
        assert_eq!(fixture.recovery.lost, None);
        assert_eq!(fixture.recovery.sessions, CLIENTS);
        self.fixture = Some(fixture);
        // The routes of another run are not those of this one.
        self.stale = None;
        for client in 0..CLIENTS {
            self.attach(client, false);
        }
        // An LSN that nobody wanted is given out again: it never was on the disk.
        let head = self.fixture().store.head();
        self.published.split_off(&Lsn(head.0 + 1));
    }
}

/// A case opens the store several times: few by default, as many as `PROPTEST_CASES` says.
fn configuration() -> ProptestConfig {
    let given = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { 12 };
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..given }
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        steps in prop::collection::vec(step(), 1..80),
        tail_cache_bytes in prop::sample::select(vec![0, 2000, 1_000_000]),
    ) {
        let mut world = World::new(tail_cache_bytes);
        for step in steps {
            world.take(step);
        }
        for client in 0..CLIENTS {
            world.consume(client, usize::MAX);
        }
    }
}
