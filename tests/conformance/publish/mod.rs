//! PUBLISH, section 3.3.

mod alias;
mod answers;
mod flags;
mod overlap;
mod properties;
mod retain;
mod topic;

use barnacle_wire::property::Variable;
use barnacle_wire::{Ack, Connect, Packet, Property, Publish, RawPacket, Subscribe, Unsubscribe, kind};

use crate::server::{Peer, Server};
use crate::support::*;
