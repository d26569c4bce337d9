//! Proof that what an acknowledgement stands for is kept.

/// What every acknowledgement is built from: either the committer's token, or the knowledge that there was nothing to
/// keep. Nothing else makes one, so that no path can acknowledge before its commit (P1).
#[derive(Debug)]
pub struct Kept(());

impl Kept {
    /// From the committer's token.
    #[must_use]
    pub fn by(_: &barnacle_storage::Durable) -> Self {
        Self(())
    }

    /// Nothing of it outlives a connection: messages no durable subscription wants, QoS 0, sessions that end with
    /// their connection.
    pub(crate) fn nothing_to_keep() -> Self {
        Self(())
    }
}
