//! What Redis does in one step.
//!
//! Each may be run twice with the same arguments, since the answer to the first run may have been lost.

use std::{sync::LazyLock, time::Duration};

use ::redis::{Script, Value};
use zeroize::Zeroizing;

use super::{fault::Fault, link::Question, names::Names};

/// Write a record if what is there is still what was read, and, for the mark of a lease's holder, if no
/// later lease was granted.
static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local there = redis.call('GET', KEYS[1])
        local read, new, number, life = ARGV[1] ~= '' and ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        if there == new then return {1, false} end
        if there ~= read then return {0, there} end
        if number ~= '' then
            local newest = redis.call('GET', KEYS[2])
            if newest and newest ~= number then return {2, false} end
        end
        if life ~= '' then redis.call('SET', KEYS[1], new, 'PX', life)
        else redis.call('SET', KEYS[1], new) end
        return {1, false}",
    )
});

/// Grant the lease if nobody holds it, with the next number.
static GRANT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
        local number = redis.call('INCR', KEYS[2])
        if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return {1, number}",
    )
});

/// Prolong the lease. One that lapsed, or was lost with all of Redis, is taken up again if nobody was
/// granted one since.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return 0 end
        local newest = redis.call('GET', KEYS[2])
        if not holder and newest and newest ~= ARGV[4] then return 0 end
        if not newest then redis.call('SET', KEYS[2], ARGV[4]) end
        if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1",
    )
});

/// Give the lease back if it is still this owner's, and tell those who wait. Whoever may not publish has
/// them poll.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1])
        redis.pcall('PUBLISH', ARGV[2], '')
        return 1",
    )
});

/// How a write went.
pub(super) enum Written {
    Done,
    /// This is there instead of what was read.
    Other(Option<Zeroizing<Vec<u8>>>),
    /// A later lease was granted.
    Fenced,
}

/// How a request for the lease went.
pub(super) enum Asked {
    /// Granted, with this number.
    Granted(i64),
    /// Somebody else's, for that long if they do not renew it.
    Held(Option<Duration>),
}

pub(super) fn read(names: &Names) -> Question<'static> {
    Question::Command(::redis::Cmd::get(&names.record))
}

pub(super) fn store<'a>(
    names: &Names,
    read: Option<&[u8]>,
    new: &[u8],
    number: Option<i64>,
    life: Option<Duration>,
) -> Question<'a> {
    let mut script = STORE.prepare_invoke();
    script.key(&names.record).key(&names.fence);
    script.arg(read.unwrap_or_default()).arg(new).arg(optional(number)).arg(millis(life));
    Question::Script(script)
}

pub(super) fn grant<'a>(
    names: &Names,
    owner: &str,
    duration: Duration,
    life: Option<Duration>,
) -> Question<'a> {
    let mut script = GRANT.prepare_invoke();
    script.key(&names.lease).key(&names.fence);
    script.arg(owner).arg(millis(Some(duration))).arg(millis(life));
    Question::Script(script)
}

pub(super) fn renew<'a>(
    names: &Names,
    owner: &str,
    number: i64,
    duration: Duration,
    life: Option<Duration>,
) -> Question<'a> {
    let mut script = RENEW.prepare_invoke();
    script.key(&names.lease).key(&names.fence);
    script.arg(owner).arg(millis(Some(duration))).arg(millis(life)).arg(number);
    Question::Script(script)
}

pub(super) fn release<'a>(names: &Names, owner: &str) -> Question<'a> {
    let mut script = RELEASE.prepare_invoke();
    script.key(&names.lease).arg(owner).arg(&names.channel);
    Question::Script(script)
}

/// What [`read`] found.
pub(super) fn text(answer: Value) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(text) => Ok(Some(Zeroizing::new(text))),
        _ => Err(Fault::Refused),
    }
}

/// What [`store`] did.
pub(super) fn written(answer: Value) -> Result<Written, Fault> {
    match pair(answer)? {
        (Value::Int(1), _) => Ok(Written::Done),
        (Value::Int(2), _) => Ok(Written::Fenced),
        (_, there) => Ok(Written::Other(text(there)?)),
    }
}

/// What [`grant`] did.
pub(super) fn asked(answer: Value) -> Result<Asked, Fault> {
    match pair(answer)? {
        (Value::Int(1), Value::Int(number)) => Ok(Asked::Granted(number)),
        // Below zero: it never ends by itself.
        (_, Value::Int(left)) => {
            Ok(Asked::Held(u64::try_from(left).ok().map(Duration::from_millis)))
        }
        _ => Err(Fault::Refused),
    }
}

/// Whether [`renew`] did.
pub(super) fn renewed(answer: &Value) -> bool {
    *answer == Value::Int(1)
}

fn pair(answer: Value) -> Result<(Value, Value), Fault> {
    match answer {
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([first, second]) => Ok((first, second)),
            Err(_) => Err(Fault::Refused),
        },
        _ => Err(Fault::Refused),
    }
}

/// The longest time that Redis is told: some thirty years, as the clocks of this crate have it.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

fn millis(time: Option<Duration>) -> String {
    optional(time.map(|time| time.clamp(Duration::from_millis(1), LONGEST).as_millis()))
}

fn optional(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_within_what_redis_takes() {
        assert_eq!(millis(None), "");
        assert_eq!(millis(Some(Duration::ZERO)), "1");
        assert_eq!(millis(Some(Duration::from_secs(10))), "10000");
        assert!(millis(Some(Duration::MAX)).parse::<i64>().is_ok());
    }

    #[test]
    fn an_answer_of_another_shape_is_a_fault() {
        for answer in [Value::Nil, Value::Okay, Value::Array(vec![]), Value::Int(1)] {
            assert!(written(answer.clone()).is_err());
            assert!(asked(answer.clone()).is_err());
            assert!(text(Value::Array(vec![answer])).is_err());
        }
        let odd = Value::Array(vec![Value::Int(0), Value::Int(0)]);
        assert!(written(odd).is_err());
        let endless = Value::Array(vec![Value::Int(0), Value::Int(-1)]);
        assert!(matches!(asked(endless), Ok(Asked::Held(None))));
    }
}
