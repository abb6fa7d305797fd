//! What came to the token endpoint.

use std::fmt;

use http::{HeaderMap, Method, StatusCode, header, request};

/// A request that came to an [`AuthorizationServer`](super::AuthorizationServer)'s token endpoint.
///
/// Its `Debug` shows the names of headers and parameters, and no value.
#[derive(Clone)]
pub struct TokenRequest {
    method: Method,
    headers: HeaderMap,
    form: Vec<(String, String)>,
    status: Option<StatusCode>,
}

impl TokenRequest {
    pub(super) fn new(head: request::Parts, body: &[u8]) -> Self {
        let form = form_urlencoded::parse(body).into_owned().collect();
        Self { method: head.method, headers: head.headers, form, status: None }
    }

    /// The method; the endpoint takes `POST` only.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first parameter of this name in the form. One without a value is as good as none
    /// (RFC 6749 §3.2).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.form.iter().find(|(key, value)| key == name && !value.is_empty())?;
        Some(value)
    }

    /// The names of all parameters, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.form.iter().map(|(name, _)| name.as_str())
    }

    /// The status that was decided on, whether or not the answer arrived. `None` until then, or if the
    /// connection was cut instead.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    pub(super) fn decide(&mut self, status: Option<StatusCode>) {
        self.status = status;
    }

    /// What is wrong with it as a form, if anything (RFC 6749 §3.2).
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let essence = media_type.and_then(|it| it.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Some("the body is not a form");
        }
        // RFC 8707 §2, RFC 8693 §2.1.
        let several = |name: &str| matches!(name, "resource" | "audience");
        let repeated = |(index, (name, _)): (usize, &(String, String))| {
            !several(name) && self.form[..index].iter().any(|(earlier, _)| earlier == name)
        };
        self.form.iter().enumerate().any(repeated).then_some("a parameter comes more than once")
    }

    /// Whether the client says who it is: by `client_id` as a public client does, or by `Basic`
    /// (RFC 6749 §2.3.1).
    pub(super) fn names_client(&self) -> bool {
        let authorization = self.headers.get(header::AUTHORIZATION);
        let basic = authorization.and_then(|value| value.as_bytes().first_chunk::<6>());
        self.parameter("client_id").is_some()
            || basic.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest")
            .field("method", &self.method)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("parameters", &self.parameters().collect::<Vec<_>>())
            .field("status", &self.status)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(media_type: &str, body: &str) -> TokenRequest {
        let request = Request::post("/token").header("content-type", media_type).body(()).unwrap();
        TokenRequest::new(request.into_parts().0, body.as_bytes())
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_form_is_a_form_in_any_case_and_with_a_charset() {
        assert_eq!(request(FORM, "a=1&b=2").flaw(), None);
        assert_eq!(request("Application/X-WWW-Form-urlencoded; charset=UTF-8", "").flaw(), None);
        assert!(request("application/json", "{}").flaw().is_some());
    }

    #[test]
    fn a_parameter_that_comes_twice_is_a_flaw() {
        assert!(request(FORM, "a=1&b=2&a=1").flaw().is_some());
    }

    #[test]
    fn a_parameter_is_decoded_and_one_without_a_value_is_absent() {
        let request = request(FORM, "refresh_token=a%2Bb+c&scope=");
        assert_eq!(request.parameter("refresh_token"), Some("a+b c"));
        assert_eq!(request.parameter("scope"), None);
    }

    #[test]
    fn its_debug_shows_no_value() {
        let shown = format!("{:?}", request(FORM, "refresh_token=canary&client_id=bird"));
        assert!(shown.contains("refresh_token") && !shown.contains("canary"), "{shown}");
    }
}
