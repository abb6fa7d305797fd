//! What the machine decides, event by event.
