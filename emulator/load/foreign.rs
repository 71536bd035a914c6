//! Options that are for another kind of image: ignored, they would silently do nothing.

use super::error::LoadError;
use super::image::{Format, LoadOptions};

/// Refuses the options of all kinds of image but its `own`; `what` says what it is.
///
/// # Errors
/// [`LoadError::Option`].
pub(super) fn refuse_foreign(
    name: &str,
    what: &str,
    options: &LoadOptions,
    own: Format,
) -> Result<(), LoadError> {
    let faults = [
        (Format::Flat, flat(what, options)),
        (Format::Linux, linux(what, options)),
        (Format::Assembly, assembly(what, options)),
    ];
    match faults
        .into_iter()
        .find(|(kind, fault)| *kind != own && fault.is_some())
    {
        Some((_, Some((problem, mend)))) => Err(LoadError::Option {
            file: name.to_owned(),
            problem,
            mend,
        }),
        _ => Ok(()),
    }
}

/// The problem and its mend.
type Fault = Option<(String, &'static str)>;

fn flat(what: &str, options: &LoadOptions) -> Fault {
    (options.base.is_some() || options.flat).then(|| {
        (
            format!("a base address was given, but this is {what}, which has its own"),
            "leave the base out, or ask for a flat binary",
        )
    })
}

fn linux(what: &str, options: &LoadOptions) -> Fault {
    let given = if options.linux.append.is_some() {
        "a kernel command line"
    } else {
        options.linux.initrd.as_ref().map(|_| "an initrd")?
    };
    Some((
        format!("{given} was given, but this is {what}"),
        "leave it out, or give a Linux bzImage (/boot/vmlinuz-...)",
    ))
}

fn assembly(what: &str, options: &LoadOptions) -> Fault {
    let define = options.define.first()?;
    Some((
        format!("{define} is for the assembler, but this is {what}"),
        "leave definitions out, or give an assembly source",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LinuxOptions;

    #[test]
    fn each_option_is_refused_by_all_kinds_but_its_own() {
        let linux = |append: Option<&str>, initrd: Option<&str>| LoadOptions {
            linux: LinuxOptions {
                append: append.map(str::to_owned),
                initrd: initrd.map(Into::into),
            },
            ..LoadOptions::default()
        };
        let define = "A=1".parse().unwrap();
        let kinds = [Format::Elf64, Format::Flat, Format::Assembly, Format::Linux];
        for (options, own, word) in [
            (
                LoadOptions {
                    base: Some(0),
                    ..LoadOptions::default()
                },
                Format::Flat,
                "base",
            ),
            (
                LoadOptions {
                    flat: true,
                    ..LoadOptions::default()
                },
                Format::Flat,
                "base",
            ),
            (
                LoadOptions {
                    define: vec![define],
                    ..LoadOptions::default()
                },
                Format::Assembly,
                "A=1",
            ),
            (linux(Some("quiet"), None), Format::Linux, "command line"),
            (linux(None, Some("cpio")), Format::Linux, "initrd"),
        ] {
            for kind in kinds {
                let refused = refuse_foreign("x", "an image", &options, kind);
                assert_eq!(refused.is_ok(), kind == own, "{options:?}, {kind:?}");
                if let Err(fault) = refused {
                    let fault = fault.to_string();
                    assert!(fault.starts_with("x: ") && fault.contains(word), "{fault}");
                    assert!(fault.contains("this is an image"), "{fault}");
                }
            }
        }
    }
}
