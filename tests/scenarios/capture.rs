//! A subscriber that writes down what this crate tells it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use tracing::{
    Dispatch, Event, Id, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// What is written in a field, as text.
pub(crate) type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) parent: Option<u64>,
    pub(crate) follows: Vec<u64>,
    pub(crate) fields: Fields,
    /// How often it is entered now, and was.
    pub(crate) inside: usize,
    pub(crate) entered: usize,
    pub(crate) closed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Fields,
    /// The name of the span that it was told in.
    pub(crate) within: Option<&'static str>,
}

#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    spans: Vec<Span>,
    events: Vec<Told>,
}

impl Capture {
    /// For this thread, until the guard is dropped.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let capture = Self::default();
        // A place in the code that another thread reached for the first time just before this subscriber was
        // there may be remembered as one that nobody listens to. So there is always somebody, and what is
        // remembered is looked up anew.
        static LISTENER: OnceLock<Dispatch> = OnceLock::new();
        LISTENER.get_or_init(|| Dispatch::new(Registry::default()));
        let guard = tracing::subscriber::set_default(Registry::default().with(capture.clone()));
        tracing::callsite::rebuild_interest_cache();
        (capture, guard)
    }

    /// Every span of a refresh so far.
    pub(crate) fn refreshes(&self) -> Vec<Span> {
        let spans = &self.written().spans;
        spans.iter().filter(|span| span.target == "tower_reauth").cloned().collect()
    }

    /// The one refresh that there was since the last call.
    #[track_caller]
    pub(crate) fn one_refresh(&self) -> Span {
        let refreshes = self.refreshes();
        assert_eq!(refreshes.len(), 1, "{refreshes:#?}");
        self.written().spans.clear();
        refreshes[0].clone()
    }

    /// The events since the last call.
    pub(crate) fn events(&self) -> Vec<Told> {
        std::mem::take(&mut self.written().events)
    }

    /// Forget what was told.
    pub(crate) fn clear(&self) {
        *self.written() = Written::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        let written = self.written();
        written.events.is_empty() && written.spans.is_empty()
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap()
    }

    fn span(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        let id = id.into_u64();
        // Ids are used again; the newest span of an id is the one that lives.
        let mut written = self.written();
        if let Some(span) = written.spans.iter_mut().rev().find(|span| span.id == id) {
            change(span);
        }
    }
}

impl Span {
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"))
    }

    /// Cause, outcome, attempts and waiters.
    #[track_caller]
    pub(crate) fn story(&self) -> String {
        let field = |name| self.field(name);
        let (cause, outcome) = (field("cause"), field("outcome"));
        format!("{cause} {outcome} {} {}", field("attempts"), field("waiters"))
    }
}

impl Told {
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"))
    }
}

struct Writer<'a>(&'a mut Fields);

impl Visit for Writer<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        let parent = context.span(id).and_then(|span| Some(span.parent()?.id().into_u64()));
        let mut span = Span {
            id: id.into_u64(),
            name: metadata.name(),
            target: metadata.target(),
            parent,
            ..Span::default()
        };
        attributes.record(&mut Writer(&mut span.fields));
        self.written().spans.push(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.span(id, |span| values.record(&mut Writer(&mut span.fields)));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        self.span(id, |span| span.follows.push(follows.into_u64()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "tower_reauth" {
            return;
        }
        let mut fields = Fields::new();
        event.record(&mut Writer(&mut fields));
        let message = fields.remove("message").unwrap_or_default();
        let within = context.lookup_current().map(|span| span.name());
        let level = *event.metadata().level();
        self.written().events.push(Told { level, message, fields, within });
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        self.span(id, |span| {
            span.inside += 1;
            span.entered += 1;
        });
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        self.span(id, |span| span.inside -= 1);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.span(&id, |span| span.closed = true);
    }
}
