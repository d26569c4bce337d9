//! RocksDB's own files, as far as saving data from damage needs to know them.
//!
//! RocksDB reads them everywhere else. Here they are read and written past it, for three things that it does not offer:
//! to tell a torn end of the write-ahead log from damage in its middle, to leave out the one batch that is damaged
//! instead of all that stand behind it, and to take one damaged table file out of a database that is closed.

mod crc32c;
mod frames;
pub(crate) mod manifest;
pub(crate) mod wal;
