//! Sessions by their client identifiers, which stand in the sessions alone.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Map, Session};
use crate::SessionId;

type Sessions = Map<SessionId, Box<Session>>;

/// An index of sessions: nine bytes each. Whoever asks has the sessions themselves.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    table: HashTable<SessionId>,
    hasher: RandomState,
}

impl Clients {
    /// An index of all of these.
    pub(super) fn of(sessions: &[(SessionId, Box<Session>)]) -> Clients {
        let mut clients = Clients { table: HashTable::with_capacity(sessions.len()), ..Clients::default() };
        for (id, session) in sessions {
            let hash = clients.hasher.hash_one(session.client_id.as_str());
            clients.table.insert_unique(hash, *id, |_| unreachable!("there is room for all of them"));
        }
        clients
    }

    /// The session of a client.
    pub(super) fn get(&self, client_id: &str, sessions: &Sessions) -> Option<SessionId> {
        let is_it = |id: &SessionId| sessions[id].client_id == client_id;
        self.table.find(self.hasher.hash_one(client_id), is_it).copied()
    }

    /// Adds one of the sessions.
    pub(super) fn insert(&mut self, id: SessionId, sessions: &Sessions) {
        let hash = |id: &SessionId| self.hasher.hash_one(sessions[id].client_id.as_str());
        self.table.insert_unique(hash(&id), id, hash);
    }

    /// Takes one out that is still among the sessions.
    pub(super) fn remove(&mut self, id: SessionId, sessions: &Sessions) {
        let Some(session) = sessions.get(&id) else { return };
        let hash = self.hasher.hash_one(session.client_id.as_str());
        if let Ok(entry) = self.table.find_entry(hash, |known| *known == id) {
            entry.remove();
        }
    }
}
