//! Session state, the QoS handshakes and what happens to them when connections end: sections 4.1 to 4.6, 4.8, 4.9.

mod delivery;
mod expiry;
mod flow_control;
mod group_leave;
mod groups;
mod lasting;
mod ordering;
mod packet_size;
mod qos_1;
mod qos_2_in;
mod qos_2_out;
mod session_expiry;
mod take_over;
mod will_delay;

use barnacle_wire::{Ack, Connect, Packet, Property, Publish, Subscribe, Unsubscribe, kind};

use crate::server::{Peer, Server};
use crate::support::*;
