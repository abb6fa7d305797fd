//! Counts instructions, by callgrind, and allocations.

use std::{
    collections::HashMap,
    env, fmt, fs,
    io::ErrorKind,
    panic,
    process::{self, Command},
    thread,
};

use crate::{
    allocator,
    cases::{CASES, Run},
};

const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

/// What one request costs.
#[derive(Clone, Copy)]
pub struct Cost {
    pub instructions: f64,
    pub allocations: f64,
    /// The bytes of these.
    pub bytes: f64,
}

/// What one request of each case costs.
pub struct Costs(HashMap<&'static str, Cost>);

impl Costs {
    /// # Errors
    ///
    /// What is missing on this machine.
    pub fn measure() -> Result<Self, String> {
        // Counts of instructions do not disturb each other. Those of allocations would.
        let (one, other) = CASES.split_at(CASES.len() / 2);
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| instructions(one));
            let other = instructions(other);
            (one.join(), other)
        });
        let mut instructions = one.unwrap_or_else(|panic| panic::resume_unwind(panic))?;
        instructions.append(&mut other?);
        let costs = CASES.iter().zip(instructions).map(|((case, run), instructions)| {
            let (allocations, bytes) = allocations(run);
            (*case, Cost { instructions, allocations, bytes })
        });
        Ok(Self(costs.collect()))
    }

    /// # Panics
    ///
    /// If there is no such case.
    pub fn of(&self, case: &str) -> Cost {
        self.0[case]
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<15}{:>13}{:>13}{:>13}", "case", "instructions", "allocations", "bytes")?;
        for (case, _) in CASES {
            let Cost { instructions, allocations, bytes } = self.of(case);
            writeln!(f, "{case:<15}{instructions:>13.1}{allocations:>13.2}{bytes:>13.1}")?;
        }
        Ok(())
    }
}

fn allocations(run: &Run) -> (f64, f64) {
    let count = |times| {
        let before = allocator::so_far();
        run(times);
        let after = allocator::so_far();
        (after.0 - before.0, after.1 - before.1)
    };
    // The first run sets up what later ones find.
    count(1);
    let (few, many) = (count(FEW), count(MANY));
    (per_request(few.0, many.0), per_request(few.1, many.1))
}

fn instructions(cases: &[(&str, Run)]) -> Result<Vec<f64>, String> {
    let of = |case| Ok(per_request(callgrind(case, FEW)?, callgrind(case, MANY)?));
    cases.iter().map(|(case, _)| of(case)).collect()
}

fn per_request(few: u64, many: u64) -> f64 {
    (many as f64 - few as f64) / (MANY - FEW) as f64
}

/// The instructions of a run of its own of this program.
fn callgrind(case: &str, times: u64) -> Result<u64, String> {
    let failed = |error: &dyn fmt::Display| format!("callgrind of {case}: {error}");
    let report = env::temp_dir().join(format!("callgrind-{}-{case}-{times}", process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(env::current_exe().map_err(|error| failed(&error))?)
        .args([case, &times.to_string()])
        .status()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => "valgrind is missing: apt-get install valgrind".to_owned(),
            _ => failed(&error),
        })?;
    if !status.success() {
        return Err(failed(&status));
    }
    let text = fs::read_to_string(&report).map_err(|error| failed(&error))?;
    let _ = fs::remove_file(&report);
    let total = text.lines().find_map(|line| line.strip_prefix("summary: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| failed(&"no sum"))
}
