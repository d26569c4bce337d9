//! Malformed and misused packets, in depth: tables of what a client may do wrong, each case on a connection of its own that
//! has answered a PINGREQ before. The answer is the standard's: the right reason in CONNACK or DISCONNECT of MQTT 5, the end
//! of the connection in MQTT 3.1.1, never a violation that goes unnoticed or a connection that hangs.

mod header;
mod length;
mod misused;
mod packets;
mod properties;
mod values;
