//! What a broker is put on: its disk, its network.

pub(crate) mod disk;
pub(crate) mod network;
