use std::fmt;

use serde_json::Value;

use super::{ClassifyBody, json_pointer::Expected};
use crate::{InvalidPointer, ResponseHead, Verdict};

/// How servers spell "not authenticated": a pointer into an error, and a value.
const SPELLINGS: [(&str, &str); 7] = [
    ("/extensions/code", "UNAUTHENTICATED"),
    ("/extensions/code", "AUTH_NOT_AUTHENTICATED"),
    ("/extensions/code", "invalid-jwt"),
    ("/extensions/code", "TOKEN_EXPIRED"),
    ("/extensions/errorType", "UNAUTHENTICATED"),
    ("/extensions/classification", "UNAUTHORIZED"),
    ("/errorType", "UnauthorizedException"),
];

/// A [`ClassifyBody`] for GraphQL: an error that says "not authenticated" is a challenge, whatever the
/// status, if nothing shows that the operation did anything.
///
/// # Which errors
///
/// | in an error of `errors` | said by |
/// |---|---|
/// | `extensions.code` = `UNAUTHENTICATED` | Apollo Server, GraphQL Yoga, NestJS, and many after them |
/// | `extensions.code` = `AUTH_NOT_AUTHENTICATED` | Hot Chocolate |
/// | `extensions.code` = `invalid-jwt` | Hasura |
/// | `extensions.code` = `TOKEN_EXPIRED` | Directus |
/// | `extensions.errorType` = `UNAUTHENTICATED` | Netflix DGS |
/// | `extensions.classification` = `UNAUTHORIZED` | Spring for GraphQL |
/// | `errorType` = `UnauthorizedException` | AWS AppSync |
///
/// Apollo's is tested against Apollo Server; the others are as their projects describe them, or as users
/// reported their answers, and were not run. [`code`](Self::code) and [`spelling`](Self::spelling) add to
/// them. Codes that deny a known user something (`FORBIDDEN`, `AUTH_NOT_AUTHORIZED`, `access-denied`) are
/// none of them: a new token would not help. GitHub, Shopify and PostGraphile answer a dead token by a
/// 401, which takes no look at the body.
///
/// # How much may have been done
///
/// An HTTP 401 says that the request was not applied (RFC 9110 §15.5.2). A GraphQL answer says so only
/// where `data` is missing: then the operation was not executed at all (GraphQL, section 7.1). Where
/// `data` is there, other fields may have been resolved, and other mutations done. [`GraphQlData`] says
/// how much of it may be there. The default takes a challenge where *every* field of the operation was
/// refused, as far as the answer tells: no data, each error says "not authenticated", and none of them is
/// about a field further down. What it cannot tell: of a mutation with several fields and `"data": null`,
/// an earlier field that needs no authentication may have been done, and is done again. Give such a
/// request [`NoReplay`](crate::NoReplay), or take [`GraphQlData::Absent`].
///
/// A batch (an array of answers) is a challenge if each of its answers is one; with
/// [`GraphQlData::Partial`], if any is.
///
/// # Which bodies
///
/// `application/json`, `application/graphql-response+json` and every other type that ends in `+json`. A
/// body that begins with data passes as soon as that is seen. Incremental delivery (`multipart/mixed`)
/// and subscriptions (`text/event-stream`) are never read.
///
/// It knows no paths, so whatever JSON passes is read as GraphQL. Where the same client also fetches
/// documents that strangers write, give GraphQL a stack of its own: one of them could look like a refusal,
/// and its request would be sent twice.
///
/// # One path for all operations
///
/// The session tells endpoints apart by their path, and here all operations have the same. One that is
/// refused whatever the token is therefore a challenge again after each answer to another: it leads to
/// fruitless refreshes, at most five in 30 s, and while the [brake](crate::SessionBuilder::brake) then holds
/// a token that is really dead is not renewed either. Send such an operation through a stack without this
/// layer.
///
/// ```
/// use http::Response;
/// use tower_reauth::{ClassifyBody, GraphQlErrors, ResponseHead, Verdict};
///
/// let response = Response::builder().header("content-type", "application/json").body(()).unwrap();
/// let head = ResponseHead::new(&response);
/// let graphql = GraphQlErrors::new().code("SESSION_GONE");
///
/// let refused = br#"{"errors":[{"message":"sign in","extensions":{"code":"SESSION_GONE"}}]}"#;
/// assert_eq!(graphql.classify(&head, refused), Some(Verdict::Challenge));
///
/// let denied = br#"{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}"#;
/// assert_eq!(graphql.classify(&head, denied), None);
/// ```
#[derive(Clone)]
pub struct GraphQlErrors {
    spellings: Vec<Expected>,
    data: GraphQlData,
}

/// How much of `data` may be in a GraphQL answer that is taken for a challenge.
///
/// ```
/// use tower_reauth::{GraphQlData, GraphQlErrors};
///
/// // For a client that only reads: any field that was refused is worth another try.
/// let graphql = GraphQlErrors::new().data(GraphQlData::Partial);
/// # let _ = graphql;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphQlData {
    /// No `data` at all: the operation was not executed. For clients that must not do a mutation twice,
    /// on servers that refuse a dead token before they execute.
    Absent,
    /// `data` is missing, `null`, or has `null` in each field, for each of which there is an error; and
    /// every error says "not authenticated" and is about a field of the operation itself, or about none.
    #[default]
    Refused,
    /// Whatever there is: one error that says "not authenticated" is enough. **A mutation that was done
    /// in part is sent again**, so this is for clients that only read, and for servers whose mutations
    /// may be repeated.
    Partial,
}

impl GraphQlErrors {
    /// All spellings of the table above.
    #[must_use]
    pub fn new() -> Self {
        let known = SPELLINGS.iter().map(|(pointer, value)| Expected::known(pointer, value));
        Self { spellings: known.collect(), data: GraphQlData::default() }
    }

    /// None of them: only what [`code`](Self::code) and [`spelling`](Self::spelling) add.
    #[must_use]
    pub fn none() -> Self {
        Self { spellings: Vec::new(), data: GraphQlData::default() }
    }

    /// One more value of `extensions.code` that says "not authenticated".
    ///
    /// Default: those of the table above.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.spellings.push(Expected::known("/extensions/code", code));
        self
    }

    /// One more spelling: where in an error to look, as a JSON pointer, and the value that says "not
    /// authenticated".
    ///
    /// Default: those of the table above.
    ///
    /// # Errors
    ///
    /// [`InvalidPointer`] if `pointer` is not a JSON pointer.
    ///
    /// ```
    /// use tower_reauth::GraphQlErrors;
    ///
    /// let graphql = GraphQlErrors::new()
    ///     .spelling("/extensions/category", "authentication")?
    ///     .spelling("/message", "Signature has expired")?;
    /// # let _ = graphql;
    /// # Ok::<(), tower_reauth::InvalidPointer>(())
    /// ```
    pub fn spelling(mut self, pointer: &str, value: &str) -> Result<Self, InvalidPointer> {
        self.spellings.push(Expected::new(pointer, value)?);
        Ok(self)
    }

    /// How much of `data` may be in an answer that is taken for a challenge.
    ///
    /// Default: [`GraphQlData::Refused`].
    #[must_use]
    pub fn data(mut self, data: GraphQlData) -> Self {
        self.data = data;
        self
    }

    fn refuses(&self, answer: &Value) -> bool {
        let Some(errors) = answer.get("errors").and_then(Value::as_array) else { return false };
        let is_refusal = |error: &Value| self.spellings.iter().any(|it| it.is_in(error));
        let data = answer.get("data");
        match (self.data, data) {
            (GraphQlData::Partial, _) | (_, None) => errors.iter().any(is_refusal),
            (GraphQlData::Absent, Some(_)) => false,
            (GraphQlData::Refused, Some(data)) => {
                !errors.is_empty()
                    && errors.iter().all(|error| is_refusal(error) && path(error).len() <= 1)
                    && is_refused(data, errors)
            }
        }
    }
}

impl Default for GraphQlErrors {
    fn default() -> Self {
        Self::new()
    }
}

impl ClassifyBody for GraphQlErrors {
    fn is_harmless(&self, begin: &[u8]) -> bool {
        match self.data {
            GraphQlData::Partial => false,
            GraphQlData::Absent | GraphQlData::Refused => Scan::of(begin).finds_data(),
        }
    }

    fn classify(&self, _: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict> {
        let refused = match serde_json::from_slice(body).ok()? {
            Value::Array(batch) if self.data == GraphQlData::Partial => {
                batch.iter().any(|answer| self.refuses(answer))
            }
            Value::Array(batch) => {
                !batch.is_empty() && batch.iter().all(|answer| self.refuses(answer))
            }
            answer => self.refuses(&answer),
        };
        refused.then_some(Verdict::Challenge)
    }
}

/// Its spellings are the program's, and may be what a server says.
impl fmt::Debug for GraphQlErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphQlErrors").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Whether no field of the operation came to anything, and each is accounted for.
fn is_refused(data: &Value, errors: &[Value]) -> bool {
    let accounted = |name: &String| {
        errors.iter().any(|error| path(error).first().is_some_and(|field| field == name.as_str()))
    };
    match data {
        // An error of a field that may not be null leaves nothing of the others.
        Value::Null => true,
        Value::Object(fields) => {
            !fields.is_empty()
                && fields.iter().all(|(name, field)| field.is_null() && accounted(name))
        }
        _ => false,
    }
}

/// Which field an error is about; empty where it is about none.
fn path(error: &Value) -> &[Value] {
    error.get("path").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The beginning of a JSON text, not yet read.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    /// It is scanned again with each frame that arrives, so no further than a name may be long.
    fn of(begin: &'a [u8]) -> Self {
        Self(begin.get(..512).unwrap_or(begin))
    }

    /// Whether the answer, or the first of a batch, begins with a field that came to something.
    fn finds_data(mut self) -> bool {
        self.take(b"[");
        self.take(b"{")
            && self.take(b"\"data\"")
            && self.take(b":")
            && self.take(b"{")
            && self.take_string()
            && self.take(b":")
            && self.peek().is_some_and(|byte| byte != b'n')
    }

    fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.first().copied()
    }

    fn take(&mut self, token: &[u8]) -> bool {
        self.peek();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_string(&mut self) -> bool {
        if !self.take(b"\"") {
            return false;
        }
        let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        // A name has no escapes (GraphQL, section 2.1.9).
        let Some(end) = end.filter(|end| self.0.get(*end) == Some(&b'"')) else { return false };
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        true
    }
}

#[cfg(test)]
mod tests;
