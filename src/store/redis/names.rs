//! What a session's values are called in Redis.

/// The names of one session, all in one slot of a cluster: what stands in braces decides it.
pub(super) struct Names {
    pub(super) record: String,
    pub(super) lease: String,
    pub(super) fence: String,
    /// Where it is told that the lease was given back.
    pub(super) channel: String,
}

impl Names {
    pub(super) fn new(prefix: &str, session: &str) -> Self {
        let session = match session {
            // An empty tag is no tag. What is escaped never is a lone per cent sign.
            "" => "%".into(),
            session => escaped(session),
        };
        let stem = format!("{}{{{session}}}", escaped(prefix));
        Self {
            record: format!("{stem}:record"),
            lease: format!("{stem}:lease"),
            fence: format!("{stem}:fence"),
            channel: format!("{stem}:released"),
        }
    }
}

/// With no brace, or the tag would end early or begin in the prefix.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::Names;

    /// As the specification of clusters has it.
    fn tag(key: &str) -> &str {
        let Some((_, rest)) = key.split_once('{') else { return key };
        match rest.split_once('}') {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        }
    }

    #[test]
    fn all_names_of_a_session_have_one_tag() {
        for prefix in ["tower-reauth:", "", "{", "{}", "a{b}c", "}", "%"] {
            for session in ["alice", "", "{", "}", "{}", "}{", "a}b", "%", "%7B", "Zoë"] {
                let Names { record, lease, fence, channel } = Names::new(prefix, session);
                for name in [&lease, &fence, &channel] {
                    assert_eq!(tag(name), tag(&record), "{name} beside {record}");
                    assert_ne!(tag(name), name, "{name}");
                }
            }
        }
    }

    #[test]
    fn no_two_sessions_share_a_name() {
        let sessions = ["", "%", "%25", "{", "%7B", "}", "a", "a:record"];
        let mut names: Vec<_> = sessions
            .iter()
            .flat_map(|session| {
                let Names { record, lease, fence, channel } = Names::new("p:", session);
                [record, lease, fence, channel]
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), sessions.len() * 4);
    }

    #[test]
    fn names_are_as_documented() {
        let names = Names::new("tower-reauth:", "alice");
        assert_eq!(names.record, "tower-reauth:{alice}:record");
        assert_eq!(names.lease, "tower-reauth:{alice}:lease");
        assert_eq!(names.fence, "tower-reauth:{alice}:fence");
        assert_eq!(names.channel, "tower-reauth:{alice}:released");
    }
}
