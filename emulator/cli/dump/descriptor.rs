//! Descriptors and hidden parts in words (SDM vol. 3, 3.4.5 and tables 3-1 and 3-2).

use iretrace::arch::Segment;
use iretrace::arch::descriptor::system_type;

/// `code 64-bit DPL 0 readable accessed`; the attributes are those of a hidden part.
pub fn words(attr: u32) -> String {
    let has = |bit: u32| attr & bit != 0;
    let dpl = (attr >> Segment::DPL_SHIFT) & 3;
    let mut words: Vec<String> = Vec::new();
    let mut say = |on: bool, word: &str| {
        if on {
            words.push(word.to_owned());
        }
    };
    if has(Segment::S) {
        let code = has(Segment::CODE);
        say(true, if code { "code" } else { "data" });
        let width = match (has(Segment::L), has(Segment::DB)) {
            (true, false) if code => "64-bit",
            (_, true) => "32-bit",
            (_, false) => "16-bit",
        };
        say(true, width);
        say(true, &format!("DPL {dpl}"));
        let second = has(Segment::WRITABLE_READABLE);
        say(code && second, "readable");
        say(!code && second, "writable");
        let third = has(Segment::CONFORMING_EXPAND);
        say(code && third, "conforming");
        say(!code && third, "expand-down");
        say(has(Segment::ACCESSED), "accessed");
    } else {
        say(true, &system((attr >> Segment::TYPE_SHIFT) & 0xf));
        say(true, &format!("DPL {dpl}"));
    }
    say(!has(Segment::P), "not present");
    words.join(" ")
}

/// The name of a system type in IA-32e mode.
fn system(kind: u32) -> String {
    let name = match kind as u8 {
        system_type::LDT => "LDT",
        system_type::TSS_AVAILABLE => "TSS available",
        system_type::TSS_BUSY => "TSS busy",
        system_type::CALL_GATE => "call gate",
        system_type::INTERRUPT_GATE => "interrupt gate",
        system_type::TRAP_GATE => "trap gate",
        other => return format!("reserved type {other:#x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_named() {
        let words = |s: Segment| words(s.attr);
        assert_eq!(
            words(Segment::flat_code64(8, 0)),
            "code 64-bit DPL 0 readable accessed"
        );
        assert_eq!(
            words(Segment::flat_code32(0x1b, 3)),
            "code 32-bit DPL 3 readable accessed"
        );
        assert_eq!(
            words(Segment::flat_data(0x10, 3)),
            "data 32-bit DPL 3 writable accessed"
        );
        // SDM vol. 3, table 3-2: type 11 is a busy TSS; type 0 is reserved.
        assert_eq!(super::words(Segment::P | 11 << 8), "TSS busy DPL 0");
        assert_eq!(super::words(0), "reserved type 0x0 DPL 0 not present");
    }
}
