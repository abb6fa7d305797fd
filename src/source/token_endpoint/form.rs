//! The body of a token request (RFC 6749 appendix B).

use bytes::Bytes;
use zeroize::Zeroizing;

/// Parameters, each at most once (RFC 6749 §3.2): the first of a name counts.
#[derive(Clone)]
pub(crate) struct Form<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Form<'a> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// RFC 6749 §3.2: a parameter without a value is one that was left out.
    pub(crate) fn field(mut self, name: &'a str, value: &'a str) -> Self {
        if !value.is_empty() && self.0.iter().all(|(present, _)| *present != name) {
            self.0.push((name, value));
        }
        self
    }

    /// One value of a parameter that may have several (RFC 8707 §2, RFC 8693 §2.1).
    pub(crate) fn repeated(mut self, name: &'a str, value: &'a str) -> Self {
        if !value.is_empty() && !self.0.contains(&(name, value)) {
            self.0.push((name, value));
        }
        self
    }

    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(name));
        self
    }

    /// Bytes that are zeroized when their last holder lets go of them.
    pub(crate) fn encode(&self) -> Bytes {
        Bytes::from_owner(self.text())
    }

    fn text(&self) -> Zeroizing<String> {
        // Room for every byte as `%XX`: a buffer that grew would leave a copy of the secret behind.
        let room = self.0.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
        let mut text = Zeroizing::new(String::with_capacity(room));
        for (name, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            text.push('=');
            text.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_form_encoded() {
        let form = Form::new().field("a b", "c d&e=f+%/~").field("g", "hé\r\n");
        assert_eq!(form.encode(), "a+b=c+d%26e%3Df%2B%25%2F%7E&g=h%C3%A9%0D%0A");
    }

    #[test]
    fn a_parameter_is_sent_once_and_never_empty() {
        let form = Form::new().field("a", "1").field("b", "").field("a", "2").field("b", "3");
        assert_eq!(form.encode(), "a=1&b=3");
        assert_eq!(Form::new().encode(), "");
    }

    #[test]
    fn a_parameter_that_may_have_several_values_has_each_once() {
        let form = Form::new().repeated("a", "1").repeated("a", "2").repeated("a", "1");
        assert_eq!(form.repeated("a", "").field("a", "3").encode(), "a=1&a=2");
    }

    #[test]
    fn a_parameter_is_taken_away_by_its_name() {
        let form = Form::new().field("a", "1").field("b", "2").field("c", "3").without(&["a", "c"]);
        assert_eq!(form.encode(), "b=2");
    }

    #[test]
    fn the_buffer_never_grows() {
        let value = "\u{ff}".repeat(1000);
        let text = Form::new().field(&value, &value).field("b", &value).text();
        let room = 3 * (2000 + 2000 + 1 + 2000) + 4;
        assert!((room - 10..=room).contains(&text.len()));
        assert_eq!(text.capacity(), room);
    }
}
