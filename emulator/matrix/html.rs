//! The report as a page.
use super::report::MatrixReport;
/// The page.
#[must_use]
pub fn html(_: &MatrixReport) -> String {
    String::new()
}
