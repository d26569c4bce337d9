//! A new subscriber looks at the retained messages.

use crate::books::finding::{Kind, Wrong};
use crate::books::message::MessageId;
use crate::books::topics::{RETAINED_FILTER, Topic, retained_topics, topics};
use crate::world::World;
use barnacle_wire::{Client, ClientError, Connect, Packet, Subscribe, Version};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a retained message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for one that should not come.
const QUIET: Duration = Duration::from_millis(50);

/// Subscribes anew and compares. The broker must be running.
pub(crate) fn look(world: &World, version: Version) -> Result<(), Wrong> {
    let begin: HashMap<Topic, usize> = {
        let books = world.books();
        retained_topics().map(|topic| (topic, books.ledger.retained_now(topic))).collect()
    };
    let found = fetch(world, version, &begin)
        .map_err(|error| Kind::Answer.says(format!("looking at retained messages: {error}")))?;
    let mut books = world.books();
    for topic in retained_topics() {
        let allowed = books.ledger.retained_since(topic, begin[&topic]);
        let found = found.get(&topic).copied();
        if !allowed.contains(&found) {
            let text =
                format!("{} has the retained message {found:?}, allowed are {allowed:?}", topics()[topic]);
            return Err(Kind::Retained.says(text));
        }
        match found {
            Some(_) => books.coverage.retained_found += 1,
            None => books.coverage.retained_absent += 1,
        }
    }
    Ok(())
}

fn fetch(
    world: &World,
    version: Version,
    begin: &HashMap<Topic, usize>,
) -> Result<HashMap<Topic, MessageId>, ClientError> {
    let mut client = Client::open(world.address, version)?;
    client.send(&Connect::new(version, "retained-reader").encode())?;
    client.read(PATIENCE)?;
    client.send(&Subscribe::new(1, RETAINED_FILTER, 0).encode(version))?;
    let mut found = HashMap::new();
    let (started, mut last) = (Instant::now(), Instant::now());
    while started.elapsed() < PATIENCE {
        match client.read(QUIET) {
            Ok(Packet::Publish(publish)) if publish.retain => {
                if let Some((id, topic)) = MessageId::parse(&publish.topic, &publish.payload) {
                    found.insert(topic, id);
                    last = Instant::now();
                }
            }
            Ok(_) | Err(ClientError::Timeout(_)) => {}
            Err(error) => return Err(error),
        }
        let ledger = &world.books().ledger;
        let is_due = |topic: Topic| !ledger.retained_since(topic, begin[&topic]).contains(&None);
        let complete = retained_topics().all(|topic| found.contains_key(&topic) || !is_due(topic));
        if complete && last.elapsed() >= QUIET {
            break;
        }
    }
    client.disconnect();
    Ok(found)
}
