//! One figure, its goal, and where it is beyond its limit.

use std::fmt;

pub struct Row {
    pub what: &'static str,
    pub ours: String,
    pub goal: String,
    /// What is beyond its limit, with the limit.
    pub beyond: Vec<String>,
}

impl Row {
    pub fn is_met(&self) -> bool {
        self.beyond.is_empty()
    }

    pub fn markdown(&self) -> String {
        format!("| {} | {} | {} |", self.what, self.ours, self.goal)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.ours)?;
        self.beyond.iter().try_for_each(|beyond| write!(f, "\n       {beyond}"))
    }
}
