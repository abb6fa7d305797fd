//! The operating system's secret storage: GNOME Keyring on a session bus of its own, and the kernel's keyrings.
//!
//! Both are found by what stands in the environment of a process, or by which session it belongs to. So each
//! test sets up a storage and runs [`inside`] it parts of this same program, in processes of their own.

mod desktop;
mod inside;
mod kernel;
mod part;
mod sessions;
