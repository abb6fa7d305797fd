use std::{fmt, sync::Arc, time::Duration};

use tower::Layer;

use super::Inspect;

/// Applies [`Inspect`]; see the [module's page](super).
pub struct InspectLayer<C> {
    settings: Arc<Settings<C>>,
}

/// What all requests share.
pub(super) struct Settings<C> {
    pub(super) classify: C,
    pub(super) limit: usize,
    pub(super) patience: Duration,
}

impl<C> InspectLayer<C> {
    /// Let this classifier judge the bodies that it suspects.
    pub fn new(classifier: C) -> Self {
        let patience = Duration::from_secs(5);
        Self { settings: Arc::new(Settings { classify: classifier, limit: 64 * 1024, patience }) }
    }
}

impl<C: Clone> InspectLayer<C> {
    /// How many bytes of a body are read ahead, counting one for an empty frame. A longer body passes as
    /// soon as that is known, by its declared length before anything is read of it.
    ///
    /// Default: 64 KiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.settings).limit = bytes;
        self
    }

    /// How long a response is held back at most, counted from when its body first had to be waited for.
    ///
    /// Default: 5 s.
    #[must_use]
    pub fn patience(mut self, longest: Duration) -> Self {
        Arc::make_mut(&mut self.settings).patience = longest;
        self
    }
}

impl<S, C> Layer<S> for InspectLayer<C> {
    type Service = Inspect<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Inspect { inner, settings: self.settings.clone() }
    }
}

impl<C> Clone for InspectLayer<C> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone() }
    }
}

impl<C: Clone> Clone for Settings<C> {
    fn clone(&self) -> Self {
        Self { classify: self.classify.clone(), ..*self }
    }
}

impl<C> fmt::Debug for InspectLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectLayer")
            .field("limit", &self.settings.limit)
            .field("patience", &self.settings.patience)
            .finish_non_exhaustive()
    }
}
