//! What both servers can be told apart from their work: to be slow, to fail, to hold answers back.

use std::time::Duration;

use http::Response;

use super::{
    body::ResponseBody,
    fault::{Fault, FaultQueue, Outcome},
    hold::{Gate, Held, Hold},
};
use crate::sync::{Arc, Mutex, lock};

#[derive(Debug, Default)]
pub(super) struct Conduct(Mutex<Orders>);

#[derive(Debug, Default)]
struct Orders {
    faults: FaultQueue,
    before: Duration,
    after: Duration,
    gate: Option<Arc<Gate>>,
}

/// One request that has arrived, and what is to become of it.
#[must_use]
pub(super) struct Turn {
    fault: Option<Fault>,
}

impl Conduct {
    pub(super) fn fail_next(&self, times: usize, fault: Fault) {
        lock(&self.0).faults.push(times, fault);
    }

    pub(super) fn recover(&self) {
        lock(&self.0).faults.clear();
    }

    pub(super) fn delay(&self, answer: Duration) {
        lock(&self.0).after = answer;
    }

    pub(super) fn delay_before(&self, work: Duration) {
        lock(&self.0).before = work;
    }

    pub(super) fn hold(&self, what: Held) -> Hold {
        let (hold, gate) = Hold::new(what);
        lock(&self.0).gate = Some(gate);
        hold
    }

    /// Take the fault meant for this request, then wait until its work begins.
    pub(super) async fn arrive(&self) -> Turn {
        let (fault, before) = {
            let mut orders = lock(&self.0);
            (orders.faults.next(), orders.before)
        };
        pause(before).await;
        Turn { fault }
    }

    /// Send the answer when its time has come.
    pub(super) async fn answer(&self, turn: Turn, answer: Response<ResponseBody>) -> Outcome {
        let outcome = match &turn.fault {
            Some(fault) => fault.spoil(answer),
            None => Ok(answer),
        };
        self.send(outcome).await
    }

    /// Wait as every answer waits, then let `outcome` go.
    pub(super) async fn send(&self, outcome: Outcome) -> Outcome {
        let (after, gate) = {
            let orders = lock(&self.0);
            (orders.after, orders.gate.clone())
        };
        pause(after).await;
        if let Some(gate) = gate {
            gate.pass(outcome.as_ref().ok().map(Response::status)).await;
        }
        outcome
    }
}

impl Turn {
    /// The outcome of a request whose work is not to be done.
    pub(super) fn instead(&self) -> Option<Outcome> {
        self.fault.as_ref()?.instead()
    }
}

/// A server that is not slow needs no timer, and so no runtime.
async fn pause(length: Duration) {
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
}
