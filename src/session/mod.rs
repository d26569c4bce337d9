//! The session machine: bytes' packets and the committer's answers in, packets and requests out. It does no I/O, reads
//! no clock, and knows neither the store nor the other sessions.
//!
//! - [`connect`](Terms): what CONNECT asks for and gets;
//! - `inbound`: what the client publishes; `outbound`: what it is sent;
//! - `subscriptions`: what a message is to this session; `given_up`: what was one of them lately;
//! - `keep_alive`, `topic_alias`, `will`, `authentication`: a small machine each;
//! - `machine`: one connection's session, that ties them together.

mod authentication;
mod clock;
mod connect;
mod delivery;
mod dropped;
mod given_up;
mod inbound;
mod keep_alive;
mod limits;
mod machine;
mod outbound;
mod request;
mod retained;
mod subscriptions;
#[cfg(test)]
pub(crate) mod tests;
mod topic_alias;
mod will;
mod wire;

pub use authentication::{Authentication, Exchange as AuthenticationExchange, Method, Methods, Step};
pub use clock::Now;
pub use connect::{Terms, will_of};
pub use delivery::{Delivery, Place};
pub use dropped::Dropped;
pub use limits::Limits;
pub use machine::{Close, Restored, Session, Want};
pub use outbound::{Exchange, OutboundRecord, Taken};
pub use request::{Done, Granted, Incoming, Request, RetainedFrom};
pub use retained::Scan;
pub use subscriptions::{Subscription, SubscriptionOptions, Subscriptions};
pub use will::Will;

/// A copy that does not keep the read buffer alive, for what outlives its packet.
fn detached(text: &bytestring::ByteString) -> bytestring::ByteString {
    bytestring::ByteString::from(&**text)
}
