//! SPDX licence expressions, and whether a choice of licences in them may be linked into a program
//! under GPL-2.0-only.
//!
//! The grammar is annex D of the SPDX specification, with `/` for `OR`, as older packages have it.
//! The judgement of each licence is the FSF's ("Various Licenses and Comments about Them").

/// Licences whose terms GPL version 2 already makes, or that ask for less.
const COMPATIBLE: &[&str] = &[
    // Permissive.
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
    // Copyleft that reaches GPL version 2. MPL-2.0 does by its section 3.3, except for files that
    // opt out of it, which SPDX calls `MPL-2.0-no-copyleft-exception`.
    "GPL-1.0-or-later",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "LGPL-2.0",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "MPL-2.0",
];

/// Licences that are incompatible alone and compatible with an exception that says so.
/// An exception to a compatible licence only adds permissions.
const COMPATIBLE_WITH: &[(&str, &str)] = &[("Apache-2.0", "LLVM-exception")];

/// Why an expression could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// This token, or the end (`None`), came where it cannot.
    Unexpected(Option<String>),
    /// More parentheses than any licence needs.
    TooDeep,
}

const MAX_DEPTH: u32 = 32;

/// Whether `expression` lets one choose only licences that are compatible with GPL-2.0-only.
pub fn is_compatible(expression: &str) -> Result<bool, Malformed> {
    let mut parser = Parser {
        tokens: tokens(expression),
        depth: 0,
    };
    let verdict = parser.any_of()?;
    match parser.tokens.pop() {
        None => Ok(verdict),
        Some(token) => Err(Malformed::Unexpected(Some(token.into()))),
    }
}

/// The tokens of `expression`, last one first.
fn tokens(expression: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in expression.split_whitespace() {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let end = match rest.find(['(', ')', '/']) {
                Some(0) => first.len_utf8(),
                Some(end) => end,
                None => rest.len(),
            };
            let (token, tail) = rest.split_at(end);
            tokens.push(token);
            rest = tail;
        }
    }
    tokens.reverse();
    tokens
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    depth: u32,
}

impl<'a> Parser<'a> {
    /// Takes the next token if it is the operator `name`.
    fn take(&mut self, name: &str) -> bool {
        let found = self
            .tokens
            .last()
            .is_some_and(|t| t.eq_ignore_ascii_case(name));
        if found {
            self.tokens.pop();
        }
        found
    }

    /// `a OR b`: the user chooses.
    fn any_of(&mut self) -> Result<bool, Malformed> {
        let mut verdict = self.all_of()?;
        while self.take("OR") || self.take("/") {
            verdict |= self.all_of()?;
        }
        Ok(verdict)
    }

    /// `a AND b`: both bind; stronger than OR.
    fn all_of(&mut self) -> Result<bool, Malformed> {
        let mut verdict = self.term()?;
        while self.take("AND") {
            verdict &= self.term()?;
        }
        Ok(verdict)
    }

    fn term(&mut self) -> Result<bool, Malformed> {
        if self.take("(") {
            if self.depth == MAX_DEPTH {
                return Err(Malformed::TooDeep);
            }
            self.depth += 1;
            let verdict = self.any_of()?;
            self.depth -= 1;
            return if self.take(")") {
                Ok(verdict)
            } else {
                Err(self.unexpected())
            };
        }
        let licence = self.identifier()?;
        let exception = if self.take("WITH") {
            Some(self.identifier()?)
        } else {
            None
        };
        Ok(judge(licence, exception))
    }

    fn identifier(&mut self) -> Result<&'a str, Malformed> {
        const RESERVED: [&str; 6] = ["(", ")", "/", "AND", "OR", "WITH"];
        match self.tokens.last() {
            Some(token) if !RESERVED.iter().any(|r| token.eq_ignore_ascii_case(r)) => {
                Ok(self.tokens.pop().expect("just seen"))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> Malformed {
        Malformed::Unexpected(self.tokens.last().map(|&t| t.to_owned()))
    }
}

fn judge(licence: &str, exception: Option<&str>) -> bool {
    // `GPL-2.0+` is the older spelling of `GPL-2.0-or-later`.
    let spelled_out = licence.strip_suffix('+').map(|l| format!("{l}-or-later"));
    let licence = spelled_out.as_deref().unwrap_or(licence);
    COMPATIBLE.iter().any(|c| c.eq_ignore_ascii_case(licence))
        || exception.is_some_and(|exception| {
            COMPATIBLE_WITH
                .iter()
                .any(|(l, e)| l.eq_ignore_ascii_case(licence) && e.eq_ignore_ascii_case(exception))
        })
}

#[test]
fn permissive_and_gpl_2_licences_pass() {
    for expression in [
        "MIT",
        "mit",
        "GPL-2.0",
        "GPL-2.0-only",
        "GPL-2.0+",
        "GPL-1.0+",
        "LGPL-2.1-or-later",
        "MPL-2.0",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "Unicode-3.0",
        "(((ISC)))",
    ] {
        assert_eq!(is_compatible(expression), Ok(true), "{expression}");
    }
}

#[test]
fn licences_that_gpl_2_does_not_allow_are_refused() {
    for expression in [
        "Apache-2.0",
        "Apache-2.0+",
        "GPL-3.0",
        "GPL-3.0-only",
        "GPL-3.0-or-later",
        "LGPL-3.0-or-later",
        "AGPL-3.0-only",
        "BSD-4-Clause",
        "OpenSSL",
        "CDDL-1.0",
        "MPL-2.0-no-copyleft-exception",
        "LicenseRef-our-own",
        // No exception but the one that is listed makes them fit.
        "Apache-2.0 WITH Classpath-exception-2.0",
        "GPL-3.0-only WITH LLVM-exception",
    ] {
        assert_eq!(is_compatible(expression), Ok(false), "{expression}");
    }
}

#[test]
fn the_llvm_exception_makes_apache_2_fit() {
    assert_eq!(is_compatible("Apache-2.0 WITH LLVM-exception"), Ok(true));
    assert_eq!(
        is_compatible("Apache-2.0 AND (Apache-2.0 WITH LLVM-exception)"),
        Ok(false)
    );
}

#[test]
fn or_is_a_choice_and_and_is_not() {
    for (expression, verdict) in [
        ("MIT OR Apache-2.0", true),
        ("Apache-2.0 OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("Apache-2.0 / GPL-3.0-only", false),
        ("Apache-2.0 OR GPL-3.0-only", false),
        ("MIT AND Apache-2.0", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        // AND binds tighter: the choice is MIT, or both of the others.
        ("MIT OR Apache-2.0 AND GPL-3.0-only", true),
        ("Apache-2.0 AND GPL-3.0-only OR MIT", true),
        ("Apache-2.0 AND (GPL-3.0-only OR MIT)", false),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
    ] {
        assert_eq!(is_compatible(expression), Ok(verdict), "{expression}");
    }
}

#[test]
fn what_is_no_expression_is_an_error() {
    for expression in [
        "",
        " ",
        "MIT OR",
        "OR MIT",
        "MIT Apache-2.0",
        "(MIT",
        "MIT)",
        "()",
        "/",
        "MIT WITH",
        "WITH MIT",
        "MIT AND AND MIT",
        "MIT//ISC",
    ] {
        assert!(is_compatible(expression).is_err(), "{expression:?}");
    }
    let deep = format!("{}MIT{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(is_compatible(&deep), Err(Malformed::TooDeep));
}
