//! `InspectLayer`: bodies polled by hand, verdicts through the whole stack, and posts over sockets.

mod bodies;
mod in_flight;
mod script;
mod server;
mod verdicts;
