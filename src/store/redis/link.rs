//! The one connection to Redis, made when it is needed and again when it failed.

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ScriptInvocation, Value, aio::MultiplexedConnection,
};
use tokio::{runtime::Handle, sync::OnceCell, time::timeout};

use super::fault::Fault;
use crate::sync::{Mutex, lock};

type Connection = Arc<OnceCell<MultiplexedConnection>>;

/// Several stores share one. Their commands go over it side by side.
pub(super) struct Link {
    client: Client,
    current: Mutex<Connection>,
}

/// What Redis can be asked. All of it may be asked twice: a question whose answer was lost is asked again.
pub(super) enum Question<'a> {
    Command(Cmd),
    Script(ScriptInvocation<'a>),
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self { client, current: Mutex::default() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Ask, and wait so long for the answer.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        mut limit: Duration,
    ) -> Result<Value, Fault> {
        if Handle::try_current().is_err() {
            return Err(Fault::NoRuntime);
        }
        let mut connection = lock(&self.current).clone();
        if connection.initialized() {
            // It may have died unnoticed, so there must be time for another one. A process that was stopped
            // meanwhile has that time yet.
            match over(&self.client, &connection, question, limit / 2).await {
                Err(fault) if fault != Fault::OtherType => self.leave(&connection),
                answer => return answer,
            }
            connection = lock(&self.current).clone();
            limit /= 2;
        }
        let answer = over(&self.client, &connection, question, limit).await;
        if answer.is_err() {
            self.leave(&connection);
        }
        answer
    }

    /// Whatever failed, it may be the connection's fault: the next question goes over a new one.
    fn leave(&self, failed: &Connection) {
        let mut current = lock(&self.current);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::default();
        }
    }
}

async fn over(
    client: &Client,
    connection: &OnceCell<MultiplexedConnection>,
    question: &Question<'_>,
    limit: Duration,
) -> Result<Value, Fault> {
    let asked = async {
        // Of many that find none, one connects.
        let mut connection = connection.get_or_try_init(|| connect(client)).await?.clone();
        match question {
            Question::Command(command) => command.query_async(&mut connection).await,
            Question::Script(script) => script.invoke_async(&mut connection).await,
        }
    };
    match timeout(limit, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Unanswered),
    }
}

async fn connect(client: &Client) -> ::redis::RedisResult<MultiplexedConnection> {
    // The limit is the question's.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}
