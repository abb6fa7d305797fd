//! No part of a token, and no text that a server wrote, is ever printed (case 67); what is no token is
//! refused (case 68).
//!
//! Every secret and every text of a server has the same word in it. It must not turn up in any `Debug`,
//! `Display` or chain of errors, nor in what the layers beneath trace.

mod flows;
mod printed;
mod sockets;
mod tokens;
mod types;
