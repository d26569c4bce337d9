//! What happens to every message between socket and store, piece by piece: decode, match, the session machine, commit, read,
//! encode. `cargo bench --bench hot_path`, or one piece: `cargo bench --bench hot_path -- commit`.

mod commit;
mod log;
mod session;
mod store;
mod topics;
mod wire;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, wire::bench, topics::bench, session::bench, commit::bench, log::bench);
criterion_main!(benches);
