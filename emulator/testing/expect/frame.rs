//! What delivery pushed.

use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::place::Place;
use crate::testing::run::Run;

/// Values of the frame; what is `None` may be anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameWanted {
    /// Saved RIP.
    pub rip: Option<Place>,
    /// Saved CS.
    pub cs: Option<u64>,
    /// Saved RFLAGS.
    pub rflags: Option<u64>,
    /// Saved RSP.
    pub rsp: Option<Place>,
    /// Saved SS.
    pub ss: Option<u64>,
    /// The error code.
    pub error_code: Option<u32>,
    /// CR2 after it.
    pub cr2: Option<Place>,
    /// The IST index.
    pub ist: Option<u8>,
    /// The vector.
    pub vector: Option<u8>,
}

impl FrameWanted {
    pub(super) fn check(&self, run: &Run) -> Result<Vec<Problem>, TestError> {
        let Some(root) = run.root() else {
            return Ok(vec![Problem::new("frame", "nothing was delivered")]);
        };
        let d = &root.delivery;
        let place = |p: &Option<Place>| match p {
            Some(p) => run
                .session
                .case
                .program
                .resolve("frame", p)
                .map(|a| Some(a.0)),
            None => Ok(None),
        };
        let rows = [
            (
                "vector",
                self.vector.map(u64::from),
                Some(d.id.vector.0.into()),
            ),
            ("rip", place(&self.rip)?, Some(d.pushed.rip.0)),
            ("cs", self.cs, Some(d.pushed.cs.0)),
            ("rflags", self.rflags, Some(d.pushed.rflags.0)),
            ("rsp", place(&self.rsp)?, Some(d.pushed.rsp.0)),
            ("ss", self.ss, Some(d.pushed.ss.0)),
            (
                "error_code",
                self.error_code.map(u64::from),
                d.error_code.map(u64::from),
            ),
            ("cr2", place(&self.cr2)?, d.cr2.map(|a| a.0)),
            ("ist", self.ist.map(u64::from), Some(d.ist.into())),
        ];
        let shown = |v: Option<u64>| v.map_or_else(|| "none".to_owned(), |v| format!("{v:#x}"));
        let diff: Vec<_> = rows
            .into_iter()
            .filter(|(_, wanted, got)| wanted.is_some() && wanted != got)
            .map(|(name, wanted, got)| (name.to_owned(), shown(wanted), shown(got)))
            .collect();
        if diff.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Problem {
            expected: "frame".to_owned(),
            text: format!("the frame of {} is another (expected -> pushed)", d.id),
            rip: Some(d.pushed.rip.0),
            diff,
        }])
    }
}
