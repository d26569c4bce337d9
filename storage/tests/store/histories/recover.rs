//! Opening after a crash: what has come back, whether it may have come back so, and whether all of it is there.

use std::collections::BTreeSet;

use barnacle_storage::*;

use super::model::{self, Model};
use super::session::Session;
use super::steps::{CLIENTS, Step};
use super::world::{Interrupted, Judged, Place, World, Wrong, ensure, interruptible, same};

impl World {
    /// Opens the store after a crash or an end, as often as that is itself interrupted, and finds out what has come back.
    pub(super) fn recover(&mut self) -> Judged {
        self.abandon();
        let mut interrupted = false;
        loop {
            let before = self.memory().map(Memory::fork);
            match interruptible(|| Store::open_stepped(self.options(), self.now_millis)) {
                Err(Interrupted) => {
                    interrupted = true;
                    self.coverage.count("crashes while opening");
                    self.add_begun();
                }
                Ok(Err(error)) => {
                    self.coverage.count("openings that failed");
                    self.expect_error(&error.to_string())?;
                    interrupted = true;
                    self.add_begun();
                }
                Ok(Ok((store, stepper, recovery))) => {
                    self.opened(store, stepper);
                    return self.judge(&recovery, before, interrupted);
                }
            }
        }
    }

    /// Opening was interrupted, and may have written its first batch.
    fn add_begun(&mut self) {
        let begun: Vec<(u64, Model)> = self
            .possible
            .iter()
            .flat_map(|(commit, models)| {
                // A number that was acknowledged is not used again, even if its batch is lost.
                let next = (*commit).max(self.commit) + 1;
                models.iter().map(move |model| (next, model.clone()))
            })
            .collect();
        for (commit, mut model) in begun {
            model.settle(self.now_millis);
            let known = self.possible.entry(commit).or_default();
            if !known.contains(&model) {
                known.push(model);
            }
        }
    }

    fn judge(&mut self, recovery: &Recovery, before: Option<Memory>, interrupted: bool) -> Judged {
        self.coverage.count("recoveries");
        let found = recovery.lost.map_or(recovery.commit - 1, |(first, _)| first - 1);
        let (durable, acknowledged) = (self.durable, self.commit);
        ensure(
            || format!("{recovery}: batches up to {durable} were acknowledged as durable"),
            found >= durable,
        )?;
        if !interrupted {
            let lost = (acknowledged > found).then_some((found + 1, acknowledged));
            same("what is reported as lost", recovery.lost, lost)?;
            self.coverage
                .add("batches lost that a weak mode had acknowledged", acknowledged.saturating_sub(found));
            self.coverage.add("batches kept that were not acknowledged", found.saturating_sub(acknowledged));
        }
        let candidates = self.possible.get(&found).cloned().unwrap_or_default();
        let known: Vec<_> = self.possible.keys().collect();
        let mut complaints = vec![format!(
            "batch {found} has come back, {durable} was durable, {acknowledged} acknowledged, {known:?} were possible"
        )];
        for candidate in candidates {
            match self.fits(&candidate, recovery, before.as_ref()) {
                Ok(settled) => {
                    self.take_over(found, recovery.commit, settled);
                    return self.compare();
                }
                Err(Wrong(complaint)) => complaints.push(complaint),
            }
        }
        Err(Wrong(complaints.join("\nor: ")))
    }

    /// Whether this is what has come back; if so, how it stands now.
    fn fits(&mut self, candidate: &Model, recovery: &Recovery, before: Option<&Memory>) -> Judged<Model> {
        let mut settled = candidate.clone();
        let interrupted_sessions = candidate.connected();
        let ended = settled.settle(self.now_millis);
        same("the recovered head", recovery.head, settled.head)?;
        same("the recovered sessions", recovery.sessions, settled.sessions.len())?;
        same("the recovered subscriptions", recovery.subscriptions, settled.subscriptions())?;
        same("the interrupted sessions", recovery.interrupted_sessions, interrupted_sessions)?;
        same("the sessions that ended while opening", model::ended(&recovery.ended), ended)?;
        if let Some(memory) = before {
            self.look_through(memory, candidate, recovery)?;
        }
        Ok(settled)
    }

    fn take_over(&mut self, found: u64, commit: u64, settled: Model) {
        // What was lost does not come back later.
        self.possible.retain(|number, _| *number <= found);
        self.commit = commit;
        self.possible.insert(commit, vec![settled.clone()]);
        self.model = settled;
        if self.settings.durability == Durability::Fsync {
            self.note_synced();
        }
    }

    /// Looks at copies of the disk, from the disk alone: on one, reads everything that is there and goes on with it for a while;
    /// on another, lets everything end.
    fn look_through(&mut self, memory: &Memory, candidate: &Model, recovery: &Recovery) -> Judged {
        let mut copy = self.copy(memory, candidate, recovery)?;
        copy.look_at_everything()?;
        self.coverage.merge(copy.coverage);
        let mut copy = self.copy(memory, candidate, recovery)?;
        copy.look_at_ends()?;
        self.coverage.merge(copy.coverage);
        Ok(())
    }

    fn copy(&self, memory: &Memory, candidate: &Model, recovery: &Recovery) -> Judged<World> {
        let mut copy = World::new(Place::Memory(memory.fork()), self.settings);
        copy.settings.tail_cache_bytes = 0;
        copy.now_millis = self.now_millis;
        let (store, stepper, again) = Store::open_stepped(copy.options(), copy.now_millis)
            .map_err(|error| Wrong(format!("a copy does not open: {error}")))?;
        copy.opened(store, stepper);
        same("the recovery of a copy", (again.head, again.lost), (recovery.head, recovery.lost))?;
        copy.messages = self.messages;
        copy.commit = again.commit;
        copy.durable = again.commit;
        copy.model = candidate.clone();
        copy.model.settle(copy.now_millis);
        copy.compare()?;
        Ok(copy)
    }

    /// Every session comes back, reads all that waits for it and all that it has under way; then something new comes, and
    /// what is consumed is trimmed.
    pub(super) fn look_at_everything(&mut self) -> Judged {
        self.attach_everybody()?;
        self.read_retained()?;
        self.read_everything()?;
        self.publish_everywhere()?;
        self.read_everything()?;
        self.trim()?;
        self.read_everything()
    }

    /// Every session expires when it should and not before; those that never do are ended by a Clean Start.
    fn look_at_ends(&mut self) -> Judged {
        let deadlines: BTreeSet<u64> =
            self.model.sessions.values().filter_map(Session::expires_at_millis).collect();
        for deadline in deadlines {
            for now_millis in [deadline - 1, deadline] {
                self.now_millis = now_millis;
                self.take_alone(&Step::Expire)?;
            }
            self.coverage.count("deadlines looked at");
        }
        for client in 0..CLIENTS.len() {
            let clean_start = true;
            self.take_alone(&Step::Attach { client, clean_start, session_expiry_interval: 0, will: false })?;
        }
        Ok(())
    }
}
