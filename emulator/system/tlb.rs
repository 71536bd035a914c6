//! The model of cached translations.

/// Cached translations.
#[derive(Clone, Debug, Default)]
pub struct TranslationCache {}
