//! What a broker is put on: its process, its disk, its network.

pub(crate) mod disk;
pub(crate) mod network;
pub(crate) mod process;
